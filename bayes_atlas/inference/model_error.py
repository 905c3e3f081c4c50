"""Learn the errors of a posterior's law from the runs that it was fitted to."""

from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
import xarray as xr

from bayes_atlas.arrays import Floats, Integers
from bayes_atlas.law_error.coordinates import Coordinates
from bayes_atlas.law_error.learned import GROUP, stored
from bayes_atlas.law_error.learning import KAPPAS, Language, Rows, learn_together
from bayes_atlas.law_error.population import Population, population
from bayes_atlas.laws._burn_in import SITES as BURN_IN
from bayes_atlas.laws._burn_in import extra
from bayes_atlas.observations.curves import CurveData, Curves
from bayes_atlas.observations.kind import Observations
from bayes_atlas.posterior import Posterior

MOST = 1500  # rows of a language that its law's errors are learned from


def with_law_error(posterior: Posterior, data: Observations, prior: Population | None = None) -> Posterior:
    """Return `posterior` with the group ``law_error``, where its law and its table have what that takes.

    Args:
        posterior: a fitted posterior.
        data: what it was fitted to.
        prior: what is known about tables in general; by default from public tables.
    """
    if not isinstance(data, CurveData) or not _can_be_learned(posterior, data):
        return posterior
    known = prior or population()
    parameters = {name: _parameters(posterior, name) for name in data.languages}
    coordinates = Coordinates.of(*(each for pair in parameters.values() for each in pair if each))
    languages = {
        name: _language(posterior, data, name, coordinates, *parameters[name], known.normal_log_q)
        for name in data.languages
    }
    learned = dict(zip(languages, learn_together(list(languages.values()), KAPPAS), strict=True))
    group = stored(languages, learned, KAPPAS, known.log_prior(KAPPAS))
    return replace(posterior, draws=posterior.draws.assign({GROUP: xr.DataTree(group)}))


def _can_be_learned(posterior: Posterior, data: CurveData) -> bool:
    law, draws = posterior.law, posterior.draws["posterior"]
    optional = getattr(law, "OPTIONAL", ())
    return (
        hasattr(law, "RUNNING")
        and "sigma" in draws
        and all(name in draws for name in law.PARAMETERS if name not in optional)
        and all(name in data.covariates for name in law.COVARIATES)
    )


@dataclass(frozen=True)
class _Noise:
    """Posterior means of the noise: see `bayes_atlas.modelling.curve_noise`."""

    sigma: Floats  # (language,)
    kappa_stage: float
    kappa_epochs: float
    memory: float
    size_effect: float
    burn_in: dict[str, Floats]  # parameters of `bayes_atlas.laws._burn_in`, the first ``(language,)``; empty without it

    @classmethod
    def of(cls, posterior: Posterior) -> "_Noise":
        draws = posterior.draws["posterior"].to_dataset().mean(("chain", "draw"))

        def mean(name: str) -> float:
            return float(draws[name]) if name in draws else 0.0

        return cls(
            draws["sigma"].to_numpy().astype(float),
            mean("kappa_stage"),
            mean("kappa_epochs"),
            mean("memory"),
            mean("size_effect_scale"),
            {each: draws[site].to_numpy().astype(float) for each, site in BURN_IN.items() if site in draws},
        )


def _parameters(posterior: Posterior, name: str) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Return draws of a language's parameters, and draws from their prior; the latter empty if not all are known."""
    prior: dict[str, Floats] = {}
    drawn = posterior.parameters(name)
    if "prior" in posterior.draws:
        own = posterior.draws["prior"].to_dataset().stack(sample=("chain", "draw"), create_index=False)
        own = own.sel(language=name)
        prior = {each: own[each].transpose("sample", ...).to_numpy().astype(float) for each in drawn if each in own}
    return drawn, prior if len(prior) == len(drawn) else {}


def _language(
    posterior: Posterior,
    data: CurveData,
    name: str,
    coordinates: Coordinates,
    drawn: dict[str, Floats],
    prior: dict[str, Floats],
    log_q: tuple[float, float],
) -> Language:
    law, reference = posterior.law, posterior.info.references[name]
    log_units = {
        "alpha": float(np.log(reference["params"])),
        "beta": float(np.log(reference["tokens"])),
        "phi": 0.0,
        "psi": 0.0,
    }
    return Language(
        law=law,
        rows=_rows(data, data.languages.index(name), law.COVARIATES, _Noise.of(posterior)),
        drawn=drawn,
        prior=prior,
        coordinates=coordinates,
        log_units={each: log_units[each] for each in law.RUNNING},
        log_q=log_q,
        borrows=len(data.languages) > 1,
    )


def _rows(data: CurveData, language: int, wanted: tuple[str, ...], noise: _Noise) -> Rows:
    """Return the rows of a language: whole curves of all sizes and lengths, up to `MOST` rows."""
    curves = data.curves
    own = np.flatnonzero(np.asarray(curves.language.of_curve) == language)
    observed = np.asarray(curves.observed)[own]
    if (total := int(observed.sum())) > MOST:
        order = np.lexsort([data.loss[own, 0], np.asarray(curves.size.of_curve)[own]])
        kept = np.sort(order[np.linspace(0, len(own) - 1, max(int(len(own) * MOST / total), 1)).round().astype(int)])
        own, observed = own[kept], observed[kept]
    stage = np.asarray(curves.stage)[own]
    log_scale = np.log(noise.sigma[language]) + noise.kappa_stage * stage
    if curves.epochs is not None:
        epochs = np.asarray(curves.epochs)
        of_language = np.asarray(curves.language.of_curve) == language
        typical = epochs[of_language][np.asarray(curves.observed)[of_language]].mean()
        log_scale = log_scale + noise.kappa_epochs * (epochs[own] - typical)
    persistence = np.zeros_like(stage)
    if noise.memory and stage.shape[1] > 1:
        persistence[:, 1:] = np.asarray(curves.persistence(jnp.asarray(noise.memory)))[own, 1:]
    columns = {name: data.covariates[name] for name in wanted}
    return Rows(
        covariates={
            name: None if values is None else np.asarray(values, dtype=float)[own][observed][:, None]
            for name, values in columns.items()
        },
        log_loss=(np.log(data.loss[own]) - _burn_in(curves, own, noise))[observed],
        scale=np.exp(log_scale)[observed],
        curve=np.repeat(np.arange(len(own)), observed.sum(axis=1)),
        persistence=persistence[observed],
        size=np.repeat(np.asarray(curves.size.of_curve)[own], observed.sum(axis=1)),
        size_effect=noise.size_effect,
    )


def _burn_in(curves: Curves, own: Integers, noise: _Noise) -> Floats:
    """Return the extra log loss of early checkpoints, ``(run, step)``; an error of the law is an error after it."""
    if curves.age is None or not noise.burn_in:
        return np.zeros(())
    log_tokens, log_params = (np.asarray(each)[own] for each in curves.age)
    at_start = noise.burn_in["burn_in"][np.asarray(curves.language.of_curve)[own], None]
    return np.asarray(extra(log_tokens, log_params, **noise.burn_in | {"burn_in": at_start}))
