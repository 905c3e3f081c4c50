"""Posterior predictive of held-out rows: a mixture, over draws, of Student-t distributions of log loss.

`predict` evaluates the posterior's law at each draw. It adds size effects and noise
(`bayes_atlas.modelling.curve_noise`): the effect of a model size is drawn anew for sizes that were not fitted, and the
noise depends on language, stage of training and number of epochs. It needs neither jax nor numpyro.

Intervals and draws are of each row by itself. The density is that of a run's rows together (`Prediction.log_density`),
as in leave-one-out cross-validation: residuals of checkpoints of one curve are correlated.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp
from scipy.stats import t as student_t

from bayes_atlas.arrays import Flags, Floats, Integers, Rng
from bayes_atlas.data.covariates import Units, covariates
from bayes_atlas.data.names import source_of
from bayes_atlas.data.outliers import NU
from bayes_atlas.data.runs import CLOSEST, last_rows, tokens_by_source, total_tokens
from bayes_atlas.data.size_groups import SizeGroups
from bayes_atlas.data.text import plural
from bayes_atlas.decisions.objective import LEARNED
from bayes_atlas.errors import InputError
from bayes_atlas.law_error.learned import LawError
from bayes_atlas.laws import _burn_in as _burn_in_law
from bayes_atlas.posterior import Posterior


@dataclass(frozen=True)
class Together:
    """Which rows have a joint density: those of a run, curve by curve and in order of tokens."""

    order: Integers  # (row,) positions of rows, run by run
    run_starts: Flags  # (row,) in that order: True for the first row of a run
    curve_starts: Flags  # (row,) the same for curves
    across: Integers  # (row,) positions in that order, checkpoint by checkpoint of a run, over its languages
    checkpoint_starts: Flags  # (row,) in the order `across`: True for the first row of a checkpoint

    @classmethod
    def of(cls, rows: xr.Dataset, *, alone: bool = False) -> "Together":
        """Group rows of a run table by run and language; with `alone` no two rows have correlated residuals."""
        run, language = (np.unique(rows[name].to_numpy(), return_inverse=True)[1] for name in ("run", "language"))
        tokens = rows["tokens"].to_numpy()
        order = np.lexsort([tokens, language, run])
        starts = _changes(run[order])
        stage = np.round(np.log(tokens[last_rows(rows)] / tokens), 6)[order]
        across = np.lexsort([np.arange(len(order)), stage, run[order]])
        checkpoint_starts = _changes(run[order][across]) | _changes(stage[across]) | alone
        return cls(order, starts, _changes(language[order]) | starts | alone, across, checkpoint_starts)

    def of_run(self, given: Floats) -> Floats:
        """Sum over the rows of each run up to each, ``(row, ..)``; in the order of rows that was given."""
        return self.back(_running(given[self.order], self.run_starts))

    def apart(self, together: Floats) -> Floats:
        """Return what each row adds to such sums: the inverse of `of_run`."""
        return self.back(_steps(together[self.order], self.run_starts))

    def back(self, ordered: Floats) -> Floats:
        """Return values ``(row, ..)`` in the order of rows that was given."""
        found = np.empty_like(ordered)
        found[self.order] = ordered
        return found


def _changes(values: Floats | Integers) -> Flags:
    """Return True where a value differs from the one before it, and for the first."""
    return np.append(True, values[1:] != values[:-1])


def _running(values: Floats, starts: Flags) -> Floats:
    """Sum values ``(row, ..)`` from the last start up to each row."""
    total = np.cumsum(values, axis=0)
    first = np.maximum.accumulate(np.where(starts, np.arange(len(starts)), 0))
    return np.asarray(total - (total[first] - values[first]))


def _steps(sums: Floats, starts: Flags) -> Floats:
    """Return the inverse of `_running`."""
    before = np.roll(sums, 1, axis=0)
    before[starts] = 0.0
    return sums - before


@dataclass(frozen=True)
class Prediction:
    """Predictive distributions of loss, one for each row."""

    location: Floats  # (row, draw) of log loss
    scale: Floats  # broadcasts to (row, draw); relative noise of loss
    together: Together | None = None  # rows with a joint density; None if each has its own
    persistence: Floats | None = None  # (row, draw) correlation with the row before on the same curve; 0 for the first
    shared: Floats | None = None  # (draw,) correlation of a checkpoint's rows; None if curves of a run are independent

    def draw(self, rng: Rng, least: int = 2000) -> Floats:
        """Draw losses ``(row, draw)``: one for each draw of the posterior, or several if it has fewer than `least`."""
        times = -(-least // self.location.shape[1])
        location, scale = (np.tile(np.broadcast_to(each, self.location.shape), times) for each in self._both)
        return np.exp(location + scale * rng.standard_t(NU, location.shape))

    def log_density(self, loss: Floats) -> Floats:
        """Return the log predictive density of `loss` ``(row,)``, per unit of loss, given the rows of the run before.

        The sum over a run is the log of the mean over draws of the joint density of its rows: a multivariate Student-t
        distribution of them all or, if curves are independent given a draw, of each curve.
        """
        if self.together is None:
            of_log = np.asarray(student_t.logpdf(np.log(loss)[:, None], NU, *self._both))
            return np.asarray(logsumexp(of_log, axis=1) - np.log(of_log.shape[1]) - np.log(loss))
        joint = self.together.of_run(self._of_curves(loss, self.together))
        return self.together.apart(logsumexp(joint, axis=1) - np.log(joint.shape[1])) - np.log(loss)

    def _of_curves(self, loss: Floats, together: Together) -> Floats:
        """Return log densities of log losses ``(row, draw)``, each given the correlated rows before it."""
        order, starts = together.order, together.curve_starts
        white = ((np.log(loss)[:, None] - self.location) / self.scale)[order]
        persistence = np.zeros((len(order), 1)) if self.persistence is None else self.persistence[order]
        before = np.roll(white, 1, axis=0)
        before[starts] = 0.0
        fresh = 1 - persistence**2
        white, log_scale = (white - persistence * before) / np.sqrt(fresh), np.log(fresh) / 2
        if self.shared is not None:
            known, spread = _of_others(white, self.shared, together)
            white, log_scale, starts = (white - known) / spread, log_scale + np.log(spread), together.run_starts
        squares = _running(white**2, starts)
        half = (NU + _running(np.ones((len(order), 1)), starts)) / 2
        joint = gammaln(half) - half * np.log1p(squares / NU) - (half - NU / 2) * np.log(NU * np.pi)
        joint = np.where(starts[:, None], joint - gammaln(NU / 2), joint - np.roll(joint, 1, axis=0))
        return together.back(joint - log_scale) - np.log(self.scale)

    @property
    def _both(self) -> tuple[Floats, Floats]:
        return self.location, self.scale


def _of_others(white: Floats, shared: Floats, together: Together) -> tuple[Floats, Floats]:
    """Return what the rows of a checkpoint before each row say about it, ``(row, draw)``: mean and scale.

    As `bayes_atlas.modelling.curve_noise.CurveStudentT` does, by regression on the sum of n equally correlated ones.
    """
    across, starts = together.across, together.checkpoint_starts
    total = _running(white[across], starts) - white[across]
    n = _running(np.ones((len(across), 1)), starts) - 1
    known = 1 + (n - 1) * shared
    mean, spread = np.empty_like(white), np.empty_like(white)
    mean[across] = shared / known * total
    spread[across] = np.sqrt((1 - shared) * (1 + n * shared) / known)
    return mean, spread


def predict(
    posterior: Posterior, rows: xr.Dataset, fitted: xr.Dataset, *, seed: int = 0, law_error: str = LEARNED
) -> Prediction:
    """The posterior predictive of the losses of `rows`.

    Args:
        posterior: of a law of size and data: chinchilla, data_constrained, atlas, capacity, family_share, or your own.
        rows: a run table, whole runs of it: stages of training are relative to a run's last row.
        fitted: the run table that `posterior` was fitted to, which says what number of epochs is typical and which
            model sizes have an effect already.
        seed: of the effects of new sizes.
        law_error: ``learned`` or ``none``; see `bayes_atlas.decisions.objective.objective`.

    Raises:
        InputError: `rows` have a language or a source without an estimate in the posterior, the law needs more than a
            run table and the posterior have, or the posterior has no noise (`sigma`).
    """
    error = LawError.of(posterior) if law_error == LEARNED else None
    law = np.log(expected(posterior, rows, fitted, error)) + _burn_in(posterior, rows, fitted)
    noise = _Noise.of(posterior, rows, fitted, np.random.default_rng(seed), error)
    together = Together.of(rows)
    return Prediction(
        location=law + noise.size_effect,
        scale=np.exp(noise.log_scale),
        together=together,
        persistence=_persistence(posterior, rows, together),
        shared=posterior.drawn("shared")["shared"] if _has(posterior, "shared") else None,
    )


def _persistence(posterior: Posterior, rows: xr.Dataset, together: Together) -> Floats | None:
    """Return each row's correlation ``(row, draw)`` with the one before on its curve, as in `modelling.curve_noise`."""
    if not _has(posterior, "memory"):
        return None
    log_tokens = np.log(rows["tokens"].to_numpy())[together.order]
    apart = np.maximum(np.diff(log_tokens, prepend=-np.inf), CLOSEST)
    apart[together.curve_starts] = np.inf
    return together.back(np.exp(-apart[:, None] / posterior.drawn("memory")["memory"]))


# The law


def expected(posterior: Posterior, rows: xr.Dataset, fitted: xr.Dataset, error: LawError | None = None) -> Floats:
    """The law, without noise and effects of sizes: loss ``(row, draw)``. Other arguments and errors as `predict`."""
    languages = rows["language"].to_numpy()
    names = np.unique(languages)
    for name in names:
        posterior.language(str(name))
    loss = [_of_language(posterior, str(name), rows.isel(row=languages == name), fitted, error) for name in names]
    found = np.empty((len(languages), loss[0].shape[1]))
    for name, own in zip(names, loss, strict=True):
        found[languages == name] = own
    return found


def _of_language(
    posterior: Posterior, language: str, rows: xr.Dataset, fitted: xr.Dataset, error: LawError | None
) -> Floats:
    drawn = dict((error or posterior).parameters(language))
    law = posterior.law
    asked = _covariates(posterior, language, rows, fitted, drawn)
    if needed := set(law.PARAMETERS) - {*drawn, *getattr(law, "OPTIONAL", ())}:
        raise InputError(
            f"{posterior.name} has no draws of {', '.join(sorted(needed))}, which the law {posterior.info.law!r} needs "
            f"for a run table; validate a law of size and data, such as chinchilla or atlas"
        )
    if error is not None:
        return error.bend(language).loss(law, asked, drawn)
    return np.asarray(law.loss(**asked, **drawn), dtype=float)


def _covariates(
    posterior: Posterior, language: str, rows: xr.Dataset, fitted: xr.Dataset, drawn: dict[str, Floats]
) -> dict[str, Any]:
    """Return the covariates of each row in the posterior's units, to broadcast with draws: ``(row, 1[, source])``."""
    units = Units(**posterior.info.references[language])
    found = covariates(rows, posterior.law.COVARIATES, units)
    asked: dict[str, Any] = {name: values[:, None] for name, values in found.items()}
    if "source_tokens" in posterior.law.COVARIATES:
        asked |= _borrowed(posterior, language, rows, fitted, drawn)
    return asked


def _borrowed(
    posterior: Posterior, language: str, rows: xr.Dataset, fitted: xr.Dataset, drawn: dict[str, Floats]
) -> dict[str, Any]:
    """Return the tokens of the language's named sources and of all others, and cut `drawn["tau"]` to named sources.

    If the fit left out other sources although its runs have them, this was an option of the fit. The prediction then
    leaves them out, too.
    """
    named = posterior.info.sources.get(language, []) if "tau" in drawn else []
    unit = posterior.info.references[language]["tokens"]
    columns = tokens_by_source(rows, {language: named}, unit)
    if "tau" in drawn:
        drawn["tau"] = drawn["tau"][:, : len(named)]
    given = ["source_tokens", "source_unique"] if named else []
    if "tau_other" in drawn:
        given += ["other_tokens", "other_unique"]
    elif columns["other_tokens"].any():
        own = fitted.isel(row=fitted["language"].to_numpy() == language)
        if not tokens_by_source(own, {language: named}, unit)["other_tokens"].any():
            _refuse_unknown(posterior, language, rows, named)
    return {name: columns[name][:, None] for name in given}


def _burn_in(posterior: Posterior, rows: xr.Dataset, fitted: xr.Dataset) -> Floats:
    """Return the extra log loss of early checkpoints, ``(row, draw)``, or zero ``(1, 1)`` if it was no part of the fit.

    The law's errors leave it as it is. Sizes are in units of the fitted table.
    """
    if not _has(posterior, "burn_in"):
        return np.zeros((1, 1))
    drawn = posterior.drawn(*_burn_in_law.SITES.values())
    code = [posterior.info.languages.index(name) for name in rows["language"].to_numpy()]
    unit = posterior.info.references[posterior.info.languages[0]]["params"]
    found = _burn_in_law.extra(
        (np.log(total_tokens(rows)) - np.log(total_tokens(fitted)).mean())[:, None],
        np.log(rows["params"].to_numpy() / unit)[:, None],
        **{
            each: drawn[site][:, code].T if each == "burn_in" else drawn[site]
            for each, site in _burn_in_law.SITES.items()
        },
    )
    return np.asarray(found)


def _refuse_unknown(posterior: Posterior, language: str, rows: xr.Dataset, named: list[str]) -> None:
    trained = rows["source"].to_numpy()[(rows["source_tokens"] > 0).any("row").to_numpy()]
    unknown = [name for name in trained.tolist() if name not in (*named, source_of(language))]
    raise InputError(
        f"rows of {language} also train on tokens of {', '.join(unknown)}, and {posterior.name} has no estimate of "
        f"their transfer; fit it to runs with these mixtures, or hold out other runs"
    )


# Noise and size effects


def noise_scale(posterior: Posterior, rows: xr.Dataset, fitted: xr.Dataset) -> Floats:
    """Return the relative noise of loss ``(row, draw)``: the scale of `predict`. Arguments and errors as `predict`."""
    return np.exp(_Noise.of(posterior, rows, fitted, np.random.default_rng(0)).log_scale)


@dataclass(frozen=True)
class _Noise:
    log_scale: Floats  # (row, draw)
    size_effect: Floats  # (row, draw), or (1, 1) if there is none

    @classmethod
    def of(
        cls, posterior: Posterior, rows: xr.Dataset, fitted: xr.Dataset, rng: Rng, error: LawError | None = None
    ) -> "_Noise":
        code = np.array([posterior.info.languages.index(name) for name in rows["language"].to_numpy()])
        log_scale = np.log(posterior.drawn("sigma")["sigma"])[:, code].T
        last = last_rows(rows)
        if _has(posterior, "kappa_stage"):
            tokens = rows["tokens"].to_numpy()
            log_scale = (
                log_scale + np.log(tokens[last] / tokens)[:, None] * posterior.drawn("kappa_stage")["kappa_stage"]
            )
        if _has(posterior, "kappa_epochs"):
            beyond = _log_epochs(rows) - _typical_log_epochs(fitted, posterior.info.languages)[code]
            log_scale = log_scale + beyond[:, None] * posterior.drawn("kappa_epochs")["kappa_epochs"]
        if error is None:
            return cls(log_scale, _size_effect(posterior, rows, fitted, rng))
        names = rows["language"].to_numpy().tolist()
        noise, effects = ({name: each(name) for name in set(names)} for each in (error.noise, error.size_effect))
        size_effect = _size_effect(posterior, rows, fitted, rng, anew=True)
        log_factor = np.log(np.stack([noise[name] for name in names]))
        return cls(log_scale + log_factor, size_effect * np.stack([effects[name] for name in names]))


def _has(posterior: Posterior, site: str) -> bool:
    return site in posterior.draws["posterior"]


def _log_epochs(rows: xr.Dataset) -> Floats:
    return np.log(np.maximum(rows["tokens"].to_numpy() / rows["unique"].to_numpy(), 1.0))


def _typical_log_epochs(fitted: xr.Dataset, languages: list[str]) -> Floats:
    language, epochs = fitted["language"].to_numpy(), _log_epochs(fitted)
    return np.array([epochs[language == name].mean() for name in languages])


def _size_effect(posterior: Posterior, rows: xr.Dataset, fitted: xr.Dataset, rng: Rng, *, anew: bool = False) -> Floats:
    """Return effects of sizes: known ones of sizes that were fitted, and new draws for others or, with `anew`, all."""
    if not _has(posterior, "size_effect_scale"):
        return np.zeros((1, 1))
    drawn = posterior.drawn("size_effect", "size_effect_scale")
    groups = SizeGroups.of(*_sizes(fitted.isel(row=np.unique(last_rows(fitted)))))
    if len(groups.keys.T) != drawn["size_effect"].shape[1]:
        raise InputError(
            f"{posterior.name} has {plural(drawn['size_effect'].shape[1], 'model size')}, but {fitted.attrs['name']} "
            f"has {len(groups.keys.T)}; give the fitted run table"
        )
    held_out = _sizes(rows.isel(row=last_rows(rows)))
    known = groups.find(*held_out)
    own = SizeGroups.of(*held_out)
    fresh = rng.standard_normal((len(own.keys.T), len(drawn["size_effect_scale"]))) * drawn["size_effect_scale"]
    return np.where((known[:, None] >= 0) & (not anew), drawn["size_effect"].T[known], fresh[own.find(*held_out)])


def _sizes(rows: xr.Dataset) -> tuple[Floats, Floats, NDArray[np.str_]]:
    return rows["params"].to_numpy(), rows["unique"].to_numpy(), rows["language"].to_numpy()
