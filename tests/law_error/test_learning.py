"""Errors of a law are found where they were planted, and not where there are none."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import xarray as xr

from bayes_atlas.law_error.learned import GROUP, LawError, stored
from bayes_atlas.law_error.learning import KAPPAS, learn_together
from bayes_atlas.laws import chinchilla

STUDIES = 24
FLAT = np.zeros(len(KAPPAS))


def wrong(posterior_like, study):
    """The errors of a study's law as a posterior stores them."""
    drawn = study.language.drawn
    arrays = {name: (("chain", "draw", "language"), values[None, :, None]) for name, values in drawn.items()}
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(arrays, {"language": ["en"]})})
    units = {"en": {"params": 1e9, "tokens": 2e10}}
    info = posterior_like.info.model_copy(update={"references": units, "languages": ["en"], "sources": {"en": []}})
    posterior = replace(posterior_like, draws=tree, info=info)
    learned = learn_together([study.language], KAPPAS)
    group = stored({"en": study.language}, {"en": learned[0]}, KAPPAS, FLAT)
    return LawError.of(replace(posterior, draws=posterior.draws.assign({GROUP: xr.DataTree(group)})))


BUDGET = np.exp(3.5)  # 12 times the largest of the runs


def best(loss):
    """Log size of least loss on a budget line, for each draw."""
    line = np.linspace(-3, 6, 361)
    values = loss(np.exp(line), BUDGET / np.exp(line))
    return line[np.argmin(values, axis=0)]


def optimum_of(error, drawn=None):
    """Log optimal sizes of the draws of a law with its errors, or of the law alone."""

    def loss(params, tokens):
        if drawn is not None:
            return chinchilla.loss(params[:, None], tokens[:, None], **drawn)
        count = len(error.chosen)
        at = {"params": params[:, None] * np.ones(count), "tokens": tokens[:, None] * np.ones(count)}
        return chinchilla.loss(**at, **error.bend("en").local(chinchilla, at, error.parameters("en")))

    return best(loss)


def test_a_law_that_holds_is_hardly_doubted(tiny_posterior, make_study):
    study = make_study(0, kappa=0.0, log_q=0.0)
    error = wrong(tiny_posterior, study)
    assert error.probability[KAPPAS > 0.3].sum() < 0.05
    found = error.learned
    q = found["mean"].to_numpy()[0, 0, 0]
    assert abs(q) < 4 * found["log_q_sd"].to_numpy()[0, 0]
    moved, alone = optimum_of(error), optimum_of(error, study.language.drawn)
    assert np.median(moved) == pytest.approx(np.median(alone), abs=0.5)
    assert moved.std() > alone.std()


def test_planted_errors_are_found(tiny_posterior, make_study):
    error = wrong(tiny_posterior, make_study(2, kappa=0.3, log_q=0.6, rows=200))
    assert error.probability[KAPPAS < 0.08].sum() < 0.1
    best_kappa = int(error.probability.argmax())
    found = error.learned
    q, sd = (found[name].to_numpy()[0, best_kappa] for name in ("mean", "log_q_sd"))
    assert abs(q[0] - 0.6) < 4 * sd
    assert sd < 0.35  # less than before the runs


@pytest.mark.slow
def test_intervals_of_the_optimum_hold_beyond_the_runs(tiny_posterior, make_study):
    """24 studies of a law that errs as public tables do, at 12 times the largest budget.

    The count of intervals that hold the true optimum is within the .9999 interval of its binomial. Of intervals that
    assume the law, fewer than three quarters do.
    """
    held = alone = 0
    for seed in range(STUDIES):
        study = make_study(100 + seed, kappa=0.2, log_q=0.35)
        truth = best(lambda params, tokens, study=study: study.loss(params, tokens))
        error = wrong(tiny_posterior, study)
        for count, draws in (("held", optimum_of(error)), ("alone", optimum_of(error, study.language.drawn))):
            lower, upper = np.quantile(draws, [0.05, 0.95])
            inside = bool(lower <= truth <= upper)
            held, alone = held + (count == "held" and inside), alone + (count == "alone" and inside)
    least, most = scipy.stats.binom.interval(0.9999, STUDIES, 0.9)
    assert least <= held <= most
    assert alone < 0.75 * STUDIES


def test_a_language_alone_borrows_nothing_and_others_move_together(make_study):
    """Two languages of one table: what one lends the other moves with both."""
    one, other = (replace(make_study(seed, kappa=0.0, log_q=0.8).language, borrows=True) for seed in (5, 6))
    together = learn_together([one, other], KAPPAS[3:4])
    apart = [learn_together([replace(each, borrows=False)], KAPPAS[3:4])[0] for each in (one, other)]
    for joint, own in zip(together, apart, strict=True):
        moved = joint[0].centre - own[0].centre
        spread = np.sqrt(np.diag(own[0].transport @ own[0].transport.T)) * 0.3 + 0.3
        assert (np.abs(moved) < 3 * spread).all()


def test_size_effects_and_checkpoints_enter_the_noise(make_study):
    """A row that repeats another adds little where both drift together."""
    rows = make_study(7, kappa=0.1, log_q=0.3).language.rows
    twice = {name: np.repeat(values, 2, axis=0) for name, values in rows.covariates.items()}
    persistence = np.tile([0.0, 0.99], len(rows.log_loss))
    curve = np.repeat(rows.curve, 2)
    doubled = replace(
        rows,
        covariates=twice,
        log_loss=np.repeat(rows.log_loss, 2),
        scale=np.repeat(rows.scale, 2),
        curve=curve,
        persistence=persistence,
        size=np.repeat(rows.size, 2),
    )
    ones = np.ones((len(rows.log_loss), 1))
    single, double = rows.white(ones), doubled.white(np.repeat(ones, 2, axis=0))
    assert (double**2).sum() == pytest.approx((single**2).sum(), rel=0.01)
