"""Bayesian scaling laws for multilingual pretraining: how big, how much data, in which languages, and how sure.

    runs = read_runs("runs.csv")
    posterior = fit(runs, model="atlas")
    print(optimum(posterior, language="sw", compute=1e21).summary())

Each name loads its module when first used: `fit` needs jax and numpyro, reading a posterior and deciding do not.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayes_atlas.data.bilingual_design import bilingual_study
    from bayes_atlas.data.crossings import read_crossings
    from bayes_atlas.data.runs import read_runs, runs_from_frame
    from bayes_atlas.data.transfer_scores import read_scores, scores_from_frame
    from bayes_atlas.decisions.bayes_action import Action, bayes_action, cautious_action
    from bayes_atlas.decisions.crossover import Crossover, find_crossover
    from bayes_atlas.decisions.expand import Expansion, Frontier, expand, frontier
    from bayes_atlas.decisions.mixture import Mixture, mixture
    from bayes_atlas.decisions.optimum import Optimum, optimum
    from bayes_atlas.decisions.scenario import plan, read_scenario
    from bayes_atlas.decisions.tax import Tax, efficiency_tax
    from bayes_atlas.decisions.trajectory import Trajectory, trajectory
    from bayes_atlas.decisions.transfer_map import TransferMap, transfer_map
    from bayes_atlas.decisions.transfer_scores import BilingualScores, transfer_scores
    from bayes_atlas.errors import InputError
    from bayes_atlas.inference.fit import fit, fit_many
    from bayes_atlas.posterior import Posterior, load_posterior
    from bayes_atlas.validation.held_out import Validation, validate
    from bayes_atlas.validation.law_error_within import Misfit, with_misfit
    from bayes_atlas.validation.loo import LeaveOneOut, leave_one_out
    from bayes_atlas.validation.predict import predict
    from bayes_atlas.validation.stack import predict_stack

__all__ = [
    "Action",
    "BilingualScores",
    "Crossover",
    "Expansion",
    "Frontier",
    "InputError",
    "LeaveOneOut",
    "Misfit",
    "Mixture",
    "Optimum",
    "Posterior",
    "Tax",
    "Trajectory",
    "TransferMap",
    "Validation",
    "bayes_action",
    "bilingual_study",
    "cautious_action",
    "efficiency_tax",
    "expand",
    "find_crossover",
    "fit",
    "fit_many",
    "frontier",
    "leave_one_out",
    "load_posterior",
    "mixture",
    "optimum",
    "plan",
    "predict",
    "predict_stack",
    "read_crossings",
    "read_runs",
    "read_scenario",
    "read_scores",
    "runs_from_frame",
    "scores_from_frame",
    "trajectory",
    "transfer_map",
    "transfer_scores",
    "validate",
    "with_misfit",
]

_HOMES = {
    "Action": "decisions.bayes_action",
    "BilingualScores": "decisions.transfer_scores",
    "bilingual_study": "data.bilingual_design",
    "transfer_scores": "decisions.transfer_scores",
    "Crossover": "decisions.crossover",
    "find_crossover": "decisions.crossover",
    "read_crossings": "data.crossings",
    "Expansion": "decisions.expand",
    "Frontier": "decisions.expand",
    "InputError": "errors",
    "Mixture": "decisions.mixture",
    "Optimum": "decisions.optimum",
    "Posterior": "posterior",
    "Tax": "decisions.tax",
    "Trajectory": "decisions.trajectory",
    "bayes_action": "decisions.bayes_action",
    "cautious_action": "decisions.bayes_action",
    "efficiency_tax": "decisions.tax",
    "expand": "decisions.expand",
    "fit": "inference.fit",
    "fit_many": "inference.fit",
    "frontier": "decisions.expand",
    "LeaveOneOut": "validation.loo",
    "leave_one_out": "validation.loo",
    "load_posterior": "posterior",
    "Misfit": "validation.law_error_within",
    "mixture": "decisions.mixture",
    "optimum": "decisions.optimum",
    "plan": "decisions.scenario",
    "predict": "validation.predict",
    "predict_stack": "validation.stack",
    "read_runs": "data.runs",
    "read_scenario": "decisions.scenario",
    "read_scores": "data.transfer_scores",
    "runs_from_frame": "data.runs",
    "scores_from_frame": "data.transfer_scores",
    "TransferMap": "decisions.transfer_map",
    "trajectory": "decisions.trajectory",
    "transfer_map": "decisions.transfer_map",
    "Validation": "validation.held_out",
    "validate": "validation.held_out",
    "with_misfit": "validation.law_error_within",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
