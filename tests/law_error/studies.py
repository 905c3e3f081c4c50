"""Simulated tables of one language under a law with planted errors, and the posterior of the law alone."""

from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from scipy.optimize import least_squares

from bayes_atlas.law_error.coordinates import Coordinates
from bayes_atlas.law_error.learned import GROUP, stored
from bayes_atlas.law_error.learning import KAPPAS, Language, Rows, learn_together
from bayes_atlas.law_error.walks import Walk
from bayes_atlas.law_error.wrong_law import Bend
from bayes_atlas.laws import chinchilla

LAW = {"E": 1.8, "A": 0.35, "B": 0.45, "alpha": 0.35, "beta": 0.35}
SIGMA = 0.003
UNITS = {"alpha": np.log(1e9), "beta": np.log(2e10)}
COUNT = 1000  # draws of a posterior
COORDINATES = Coordinates.of({name: np.ones(2) for name in LAW})


def prior(rng, count=2000):
    """Draws of the priors of `models/chinchilla.py`."""
    size, irreducible = (1 / (1 + np.exp(-rng.normal(mean, 1.0, count))) for mean in (-1.5, 1.2))
    level = np.exp(rng.normal(1.0, 2.0, count))
    rest = level * (1 - size)
    exponents = {name: np.exp(rng.normal(np.log(0.35), 0.4, count)) for name in ("alpha", "beta")}
    return {"E": rest * irreducible, "A": level * size, "B": rest * (1 - irreducible)} | exponents


@dataclass(frozen=True)
class Study:
    """A table and its truth."""

    language: Language
    bend: Bend  # of one draw: the truth
    truth: dict[str, np.ndarray]

    def loss(self, params, tokens):
        """The true loss; sizes in their units, 1-D."""
        at = {"params": np.asarray(params)[:, None], "tokens": np.asarray(tokens)[:, None]}
        return self.bend.loss(chinchilla, at, self.truth)[:, 0]


def study(seed, *, kappa, log_q, rows=60, again=None):
    """Runs along isoFLOP sweeps of five budgets, with Student-t noise; `again` seeds other noise of the same runs."""
    rng = np.random.default_rng(seed)
    truth = {name: np.array([value * np.exp(0.15 * rng.standard_normal())]) for name, value in LAW.items()}
    walks = {}
    for name in ("alpha", "beta"):
        first = round(UNITS[name] / 0.5) - 30
        walks[name] = Walk(first, first + 30, kappa * np.sqrt(0.5) * rng.standard_normal((1, 60)))
    bend = Bend(walks, np.array([log_q]), np.zeros(1), UNITS)
    budgets = np.repeat(np.linspace(-3, 1, 5), rows // 5)
    params = np.exp(budgets / 2 + rng.uniform(-1.2, 1.2, rows))
    tokens = np.exp(budgets) / params
    known = Study(None, bend, truth)
    expected = np.log(known.loss(params, tokens))
    log_loss = expected + SIGMA * (rng if again is None else np.random.default_rng(again)).standard_t(4, rows)
    data = Rows(
        covariates={"params": params[:, None], "tokens": tokens[:, None]},
        log_loss=log_loss,
        scale=np.full(rows, SIGMA * 1.3),
        curve=np.arange(rows),
        persistence=np.zeros(rows),
        size=np.zeros(rows, dtype=int),
        size_effect=0.0,
    )
    language = Language(chinchilla, data, law_alone(data, rng), prior(rng), COORDINATES, UNITS, (0.35, 0.4))
    return Study(language, bend, truth)


def law_alone(data, rng):
    """A normal posterior of the law alone, in the coordinates, under its priors."""
    known = COORDINATES.pack(prior(np.random.default_rng(0)))
    mean, precision = known.mean(axis=0), np.linalg.inv(np.cov(known.T))
    root = np.linalg.cholesky(precision).T

    def residuals(vector):
        drawn = COORDINATES.unpack(vector[None])
        missed = np.log(chinchilla.loss(**data.covariates, **drawn))[:, 0] - data.log_loss
        return np.append(missed / data.scale, root @ (vector - mean))

    start = COORDINATES.pack({name: np.array([value]) for name, value in LAW.items()})[0]
    found = least_squares(residuals, start)
    covariance = np.linalg.inv(found.jac.T @ found.jac)
    return COORDINATES.unpack(rng.multivariate_normal(found.x, covariance, COUNT))


def posterior_of(study, like):
    """A posterior of en of the Chinchilla law, with the errors that a study shows; the rest is `like` another."""
    arrays = {
        name: (("chain", "draw", "language"), values[None, :, None]) for name, values in study.language.drawn.items()
    }
    (learned,) = learn_together([study.language], KAPPAS)
    group = stored({"en": study.language}, {"en": learned}, KAPPAS, np.zeros(len(KAPPAS)))
    groups = {"posterior": xr.Dataset(arrays, {"language": ["en"]}), GROUP: group}
    update = {
        "references": {"en": {"params": 1e9, "tokens": 2e10}},
        "languages": ["en"],
        "sources": {"en": []},
        "sampling": like.info.sampling.model_copy(update={"chains": 1, "kept": COUNT}),
    }
    return replace(like, draws=xr.DataTree.from_dict(groups), info=like.info.model_copy(update=update))
