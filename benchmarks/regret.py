"""Value of decisions from a posterior, on simulated studies with known truth.

* `optimum`: size and data for a budget far beyond the runs. The plan of least expected loss competes with the plan of
  the point fit of Hoffmann et al. (2022): Huber loss on log loss, summed, L-BFGS from a grid of starts. Regret is the
  true loss of a plan above the least true loss. Waste is the share of the budget that the loss of the plan does not
  require.
* `expand`: the factors of growing to four times as many languages.
* `mixture`: the gain of the chosen mixture over uniform sampling, for three languages.

For each it prints the number of studies whose 90 % intervals contain the truth. Run from the root of the checkout:

    python benchmarks/regret.py --studies 50
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayes_atlas import Posterior, runs_from_frame
from bayes_atlas.decisions.bayes_action import bayes_action
from bayes_atlas.decisions.expand import expand
from bayes_atlas.decisions.mixture import Plan, mixture
from bayes_atlas.decisions.objective import objective
from bayes_atlas.decisions.optimum import optimum
from bayes_atlas.inference.fit import fit_many
from bayes_atlas.laws import atlas, capacity, chinchilla
from bayes_atlas.validation.baselines import huber

type Floats = NDArray[np.float64]

REFERENCE = {"params": 1e9, "tokens": 2e10}
NOISE, DEGREES = 0.005, 5  # Student-t on log loss
BUDGET = 1e23  # FLOPs; the largest run has 2.4e21
SIZES = np.geomspace(5e7, 2e9, 8)
TOKENS_PER_PARAM = np.array([5.0, 15.0, 40.0, 100.0])
PROBABILITY = 0.9
FACTOR = 4.0
LANGUAGES = ("en", "fr", "sw")


@dataclass(frozen=True)
class Study:
    """Runs and the parameters they were simulated from, in units of `REFERENCE`; arrays ``(language[, source])``."""

    runs: xr.Dataset
    truth: dict[str, Floats]


def posteriors(studies: Sequence[Study], model: str, warmup: int, draws: int) -> list[Posterior]:
    """A posterior of each study, all sampled in one program."""
    tables = [study.runs for study in studies]
    return fit_many(tables, model, warmup=warmup, draws=draws, sources=len(LANGUAGES) - 1)


# Studies


def draw_terms(rng: np.random.Generator, languages: int = 1) -> dict[str, Floats]:
    """E, A, B, alpha and beta of a typical law, by language."""
    return {
        "E": rng.uniform(0.6, 1.8, languages),
        "A": np.exp(rng.normal(np.log(0.25), 0.3, languages)),
        "B": np.exp(rng.normal(np.log(0.35), 0.3, languages)),
        "alpha": np.exp(rng.normal(np.log(0.36), 0.15, languages)),
        "beta": np.exp(rng.normal(np.log(0.34), 0.15, languages)),
    }


def noisy(rng: np.random.Generator, loss: Floats) -> Floats:
    """Losses as measured."""
    return loss * np.exp(NOISE * np.sqrt((DEGREES - 2) / DEGREES) * rng.standard_t(DEGREES, loss.shape))


def to_study(columns: dict[str, Any], truth: dict[str, Floats]) -> Study:
    """A study of runs with a row each."""
    table = pd.DataFrame(columns)
    if "run" not in table:
        table.insert(0, "run", [f"r{row}" for row in range(len(table))])
    return Study(runs_from_frame(table, "simulated"), truth)


def study_of_optimum(rng: np.random.Generator) -> Study:
    """Eight sizes at four amounts of data."""
    truth = draw_terms(rng)
    params, per_param = (grid.ravel() for grid in np.meshgrid(SIZES, TOKENS_PER_PARAM))
    tokens = params * per_param
    one = {name: value[0] for name, value in truth.items()}
    loss = chinchilla.loss(params / REFERENCE["params"], tokens / REFERENCE["tokens"], **one)
    return to_study({"language": "en", "params": params, "tokens": tokens, "loss": noisy(rng, loss)}, truth)


def study_of_expansion(rng: np.random.Generator) -> Study:
    """Six sizes, two amounts of data and six numbers of languages."""
    truth = draw_terms(rng) | {"phi": rng.normal(0.11, 0.03, 1), "psi": rng.normal(-0.04, 0.03, 1)}
    params, per_param, languages = (
        grid.ravel() for grid in np.meshgrid(np.geomspace(5e7, 2e9, 6), [10.0, 60.0], [1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    )
    tokens = params * per_param
    one = {name: value[0] for name, value in truth.items()}
    loss = capacity.loss(params / REFERENCE["params"], tokens / REFERENCE["tokens"], languages, **one)
    return to_study(
        {"language": "en", "params": params, "tokens": tokens, "languages": languages, "loss": noisy(rng, loss)}, truth
    )


def study_of_mixture(rng: np.random.Generator) -> Study:
    """Forty runs on random mixtures of three languages, each evaluated on all."""
    truth = draw_terms(rng, len(LANGUAGES)) | {"tau": rng.normal(0.1, 0.1, (len(LANGUAGES), len(LANGUAGES) - 1))}
    truth["lam"] = np.full(len(LANGUAGES), 0.2)
    rows = []
    for run in range(40):
        params = float(rng.choice(SIZES))
        shares = rng.dirichlet(np.full(len(LANGUAGES), 1.5)).clip(0.02)
        tokens = 3 * params * rng.choice(TOKENS_PER_PARAM) * shares
        for index, name in enumerate(LANGUAGES):
            own = {key: value[index] for key, value in truth.items()}
            others = np.delete(tokens, index) / REFERENCE["tokens"]
            sizes = params / REFERENCE["params"], tokens[index] / REFERENCE["tokens"]
            loss = noisy(rng, np.asarray(atlas.loss(*sizes, None, source_tokens=others, **own)))
            amounts = {f"tokens.{source}": amount for source, amount in zip(LANGUAGES, tokens, strict=True)}
            rows.append({"run": f"r{run}", "language": name, "params": params, "loss": float(loss)} | amounts)
    return to_study({name: [row[name] for row in rows] for name in rows[0]}, truth)


def true_posterior(study: Study, like: Posterior) -> Posterior:
    """The truth as a posterior of one draw, so that decisions can be asked what is true."""
    languages = like.info.languages
    names = list(LANGUAGES) if len(languages) > 1 else languages
    order = [names.index(name) for name in languages]
    dims = ("chain", "draw", "language", "source")
    arrays = {name: (dims[: value.ndim + 2], value[order][None, None]) for name, value in study.truth.items()}
    info = like.info.model_copy(
        update={
            "sources": {name: [other for other in names if other != name] for name in languages},
            "references": dict.fromkeys(languages, REFERENCE),
        }
    )
    return Posterior(xr.DataTree.from_dict({"posterior": xr.Dataset(arrays, {"language": languages})}), info, "truth")


# What is measured


def inside(draws: Floats, truth: float) -> bool:
    """Whether the interval of `draws` holds the truth."""
    lower, upper = np.quantile(draws, [(1 - PROBABILITY) / 2, (1 + PROBABILITY) / 2])
    return bool(lower <= truth <= upper)


def waste(truth: dict[str, float], loss: float) -> float:
    """Share of `BUDGET` that would not have been needed for `loss`: along the frontier, loss - E is a power of C."""
    params, tokens = chinchilla.optimum(BUDGET, **truth)
    best = chinchilla.loss(params, tokens, **truth) - truth["E"]
    power = truth["alpha"] * truth["beta"] / (truth["alpha"] + truth["beta"])
    return float(1 - ((loss - truth["E"]) / best) ** (-1 / power))


def measure_optimum(study: Study, posterior: Posterior) -> dict[str, float]:
    """Regret and waste of both plans, and whether intervals hold the true size and data."""
    one = {name: float(value[0]) for name, value in study.truth.items()}
    one["A"] *= REFERENCE["params"] ** one["alpha"]
    one["B"] *= REFERENCE["tokens"] ** one["beta"]
    params, tokens = chinchilla.optimum(BUDGET, **one)
    best = chinchilla.loss(params, tokens, **one)
    found = optimum(posterior, compute=BUDGET)
    action = bayes_action(found)
    params_run, tokens_run, loss_run = (study.runs[name].to_numpy() for name in ("params", "tokens", "loss"))
    of_point = chinchilla.optimum(BUDGET, **huber(params_run, tokens_run, loss_run)._asdict())
    measured: dict[str, float] = {
        "params held": inside(found.params, params),
        "tokens held": inside(found.tokens, tokens),
    }
    for name, plan in {"Bayes action": (action.params, action.tokens), "Huber point fit": of_point}.items():
        loss = chinchilla.loss(*plan, **one)
        measured |= {f"regret, {name}": loss - best, f"waste, {name}": waste(one, loss)}
    return measured


def measure_expansion(study: Study, posterior: Posterior) -> dict[str, float]:
    """Whether intervals hold the true factors."""
    found = expand(posterior, factor=FACTOR)
    true = expand(true_posterior(study, posterior), factor=FACTOR)
    return {f"{name} held": inside(draws, float(true.quantities[name][0])) for name, draws in found.quantities.items()}


def measure_mixture(study: Study, posterior: Posterior) -> dict[str, float]:
    """Whether the interval holds the true gain over uniform sampling, and that gain itself."""
    found = mixture(posterior, compute=BUDGET)
    truth = objective(true_posterior(study, posterior), weights=found.objective.weights)

    def loss(plan: Plan) -> float:
        return float(truth.loss(plan.params, {name: share * plan.tokens for name, share in plan.shares.items()})[0])

    gain = loss(found.baselines["uniform"]) - loss(found.plan)
    return {"gain held": inside(found.gains["uniform"], gain), "true gain over uniform": gain}


STUDIES = {
    "optimum": ("chinchilla", study_of_optimum, measure_optimum),
    "expand": ("capacity", study_of_expansion, measure_expansion),
    "mixture": ("atlas", study_of_mixture, measure_mixture),
}


def main() -> None:
    """Print a table for each decision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=50)
    parser.add_argument("--decisions", nargs="+", choices=STUDIES, default=list(STUDIES))
    parser.add_argument("--warmup", type=int, default=500)
    parser.add_argument("--draws", type=int, default=500)
    arguments = parser.parse_args()
    for decision in arguments.decisions:
        model, simulate, measure = STUDIES[decision]
        studies = [simulate(np.random.default_rng([number, len(decision)])) for number in range(arguments.studies)]
        fitted = posteriors(studies, model, arguments.warmup, arguments.draws)
        table = pd.DataFrame([measure(study, posterior) for study, posterior in zip(studies, fitted, strict=True)])
        failed = sum(bool(posterior.failed_checks) for posterior in fitted)
        print(f"\n{decision}: {len(studies)} studies, of which {failed} failed a check of the sampling")
        for name, values in table.items():
            if str(name).endswith("held"):
                print(f"  {name:36} {values.mean():8.0%} of {PROBABILITY:.0%} intervals")
            else:
                mean, median, worst = values.mean(), values.median(), values.max()
                print(f"  {name:36} mean {mean:10.3g}   median {median:10.3g}   worst {worst:10.3g}")


if __name__ == "__main__":
    main()
