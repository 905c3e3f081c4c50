"""`optimum`: the compute-optimal size and data for a budget."""

from dataclasses import asdict
from functools import partial

from bayes_atlas.cli.answers import draw_optimum, print_optimum, show
from bayes_atlas.cli.arguments import LEARNED, Compute, LawError, PosteriorName
from bayes_atlas.cli.options import Limits, Shown, Training

PANEL = "Decisions"


def optimum(
    posterior: PosteriorName,
    compute: Compute,
    *,
    training: Training,
    limits: Limits,
    law_error: LawError = LEARNED,
    shown: Shown,
) -> None:
    """Find the compute-optimal size and data for a budget, with intervals, and the plan to act on.

    Examples:

    - `bayes-atlas optimum chinchilla-2022 --compute 5.88e23`

    - `bayes-atlas optimum datablations-2023 --compute 1e21 --unique 1e9`

    - `bayes-atlas optimum ./mine --compute 1e20 --law-error none`

    - `bayes-atlas optimum ./mine --compute 1e22 --weight sw=3 --weight en=1 --unique sw=7.7e8 --served 1e12`
    """
    from bayes_atlas.decisions.optimum import optimum as decide
    from bayes_atlas.posterior import load_posterior

    request = {**training.request(), **asdict(limits), "law_error": law_error}
    decision = decide(load_posterior(posterior), compute=compute, **request)
    show(
        decision,
        shown,
        partial(print_optimum, decision, shown.probability),
        partial(draw_optimum, decision),
    )
