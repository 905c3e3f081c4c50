"""Errors of a law are found where they were planted, and not where there are none."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from bayes_atlas.law_error import learning
from bayes_atlas.law_error.learned import LawError
from bayes_atlas.law_error.learning import KAPPAS, learn_together
from bayes_atlas.laws import chinchilla
from tests.law_error.studies import law_alone, posterior_of, study

STUDIES = 24


def wrong(posterior_like, study):
    """The errors of a study's law as a posterior stores them."""
    return LawError.of(posterior_of(study, posterior_like))


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
        return error.bend("en").loss(chinchilla, at, error.parameters("en"))

    return best(loss)


def test_a_law_that_holds_is_hardly_doubted(tiny_posterior):
    known = study(0, kappa=0.0, log_q=0.0)
    error = wrong(tiny_posterior, known)
    assert error.probability[KAPPAS > 0.3].sum() < 0.05
    found = error.learned
    q = found["mean"][0, 0, 0]
    assert abs(q) < 4 * found["log_q_sd"][0, 0]
    moved, alone = optimum_of(error), optimum_of(error, known.language.drawn)
    assert np.median(moved) == pytest.approx(np.median(alone), abs=0.5)
    assert moved.std() > alone.std()


def test_planted_errors_are_found(tiny_posterior):
    error = wrong(tiny_posterior, study(2, kappa=0.3, log_q=0.6, rows=200))
    assert error.probability[KAPPAS < 0.08].sum() < 0.1
    best_kappa = int(error.probability.argmax())
    found = error.learned
    q, sd = (found[name][0, best_kappa] for name in ("mean", "log_q_sd"))
    assert abs(q[0] - 0.6) < 4 * sd
    assert sd < 0.35  # less than before the runs


@pytest.mark.slow
def test_intervals_of_the_optimum_hold_beyond_the_runs(tiny_posterior):
    """24 studies of a law that errs as public tables do, at 12 times the largest budget.

    The count of intervals that hold the true optimum is within the .9999 interval of its binomial. Of intervals that
    assume the law, fewer than three quarters do.
    """
    held = alone = 0
    for seed in range(STUDIES):
        known = study(100 + seed, kappa=0.2, log_q=0.35)
        truth = best(known.loss)
        error = wrong(tiny_posterior, known)
        for count, draws in (("held", optimum_of(error)), ("alone", optimum_of(error, known.language.drawn))):
            lower, upper = np.quantile(draws, [0.05, 0.95])
            inside = bool(lower <= truth <= upper)
            held, alone = held + (count == "held" and inside), alone + (count == "alone" and inside)
    least, most = scipy.stats.binom.interval(0.9999, STUDIES, 0.9)
    assert least <= held <= most
    assert alone < 0.75 * STUDIES


def test_what_the_runs_say_nothing_of_is_the_priors():
    """One run tells the level of loss and no exponent."""
    many = study(3, kappa=0.0, log_q=0.0).language
    assert (many.contraction > 0.5).all()
    one = {name: getattr(many.rows, name)[:1] for name in ("log_loss", "scale", "curve", "persistence", "size")}
    rows = replace(many.rows, covariates={name: each[:1] for name, each in many.rows.covariates.items()}, **one)
    alone = replace(many, rows=rows, drawn=law_alone(rows, np.random.default_rng(0)))
    told = dict(zip(alone.coordinates.labels, alone.contraction, strict=True))
    assert told["E"] > 0.9  # the level
    assert max(told["alpha"], told["beta"]) < 0.2


def pooled(language):
    """The language as if others had lent it most of what is known: its draws are close together."""
    drawn = {name: values.mean() * (values / values.mean()) ** 0.3 for name, values in language.drawn.items()}
    return replace(language, drawn=drawn, borrows=True)


def test_languages_that_lend_count_their_own_runs_once(monkeypatch):
    """Without errors, pooled languages stay where their common fit had them, and do not move towards their own runs."""
    monkeypatch.setattr(learning, "DRIFT", 1e-4)
    monkeypatch.setattr(learning, "ALIKE", 1e-3)
    monkeypatch.setattr(learning, "SCALES", (1.0, 1.0))
    same = [study(20, kappa=0.0, log_q=0.0, again=seed).language for seed in range(4)]
    own = [replace(each, log_q=(0.0, 1e-3)) for each in same]
    means = np.array([each.middle for each in own])
    spreads = np.array([np.cov(each.vectors.T) for each in own])
    between, centre = spreads.mean(axis=0), means.mean(axis=0)
    together, away = [], []
    for number, (each, mean, spread) in enumerate(zip(own, means, spreads, strict=True)):
        covariance = np.linalg.inv(np.linalg.inv(spread) + np.linalg.inv(between))
        pooled_mean = covariance @ (np.linalg.solve(spread, mean) + np.linalg.solve(between, centre))
        drawn = np.random.default_rng(number).multivariate_normal(pooled_mean, covariance, 3000)
        together.append(replace(each, drawn=each.coordinates.unpack(drawn), prior={}, borrows=True))
        away.append((mean - pooled_mean) / np.sqrt(np.diag(covariance)))
    found = [each[0] for each in learn_together(together, [1e-4])]
    moved = [
        (each.centre - language.middle) / np.sqrt(np.diag(each.covariance))
        for each, language in zip(found, together, strict=True)
    ]
    towards = (np.array(away) * moved).sum(axis=0) / (np.array(away) ** 2).sum(axis=0)
    assert np.abs(towards).max() < 0.2  # .5 if their own runs counted twice


def test_searches_end_at_a_mode():
    """Also where walks are as large as they can be."""
    known = study(2, kappa=0.3, log_q=0.6, rows=200).language
    (found,) = learn_together([known], KAPPAS)
    assert max(each.decrement for each in found) < 0.05


def test_what_languages_lent_moves_with_them():
    """Were it held where the law alone has it, languages could not move to where the law with its errors is."""
    together = [pooled(study(seed, kappa=0.0, log_q=0.8).language) for seed in (5, 6)]
    held = [each.learn(0.16)[0] for each in together]
    moved = [found[0] for found in learn_together(together, [0.16])]
    for pinned, joint, language in zip(held, moved, together, strict=True):
        assert np.abs(pinned.centre - language.middle).max() < 0.02
        assert np.abs(joint.centre - language.middle).max() > 0.1
    assert sum(each.log_evidence for each in moved) > sum(each.log_evidence for each in held) + 5


def test_size_effects_and_checkpoints_enter_the_noise():
    """A row that repeats another adds little where both drift together."""
    rows = study(7, kappa=0.1, log_q=0.3).language.rows
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
