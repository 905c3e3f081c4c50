"""Calibration: ranks and bands are exact, wrong posteriors are found, and a shipped model is calibrated."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from arviz_stats.ecdf_utils import ecdf_pit
from scipy.stats import chi2, kstest

from bayes_atlas.catalogue import model_names
from benchmarks.rank_bands import bands, below, holm, p_value, rank
from benchmarks.sbc import (
    CENTRAL,
    FEWEST,
    RANKED,
    Calibration,
    calibrate,
    corrected,
    lines,
    looks,
    main,
    ranks_of,
    read_ranks,
)
from benchmarks.sbc_designs import BUDGET, DESIGNS, Design, design

TABLES = 200


def normal_ranks(seed, *, tables=TABLES, shift=0.0, scale=1.0):
    """Ranks in a conjugate problem: prior N(0, 1), one measurement with sd 1; the posterior moved and rescaled."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=tables)
    centre, spread = (truth + rng.normal(size=tables)) / 2, np.sqrt(0.5)
    drawn = centre + spread * (shift + scale * rng.normal(size=(RANKED, tables)))
    return rank(drawn, truth, rng)


# Ranks


def test_a_rank_counts_the_draws_below():
    draws = np.array([[1.0, 5.0], [2.0, 6.0], [3.0, 7.0]])
    assert rank(draws, np.array([2.5, 0.0]), np.random.default_rng(0)).tolist() == [2, 0]


def test_ties_have_a_random_order():
    rng = np.random.default_rng(0)
    found = rank(np.full((3, 4000), np.inf), np.full(4000, np.inf), rng)
    counts = np.bincount(found, minlength=4)
    assert ((counts - 1000) ** 2 / 1000).sum() < chi2.ppf(1 - 1e-6, 3)


def test_the_central_ranks_are_nine_tenths():
    assert (CENTRAL[1] - CENTRAL[0] + 1) / (RANKED + 1) == 0.9
    assert CENTRAL[0] + CENTRAL[1] == RANKED


def test_every_scalar_and_every_decision_is_ranked():
    designed = Design({}, "y", None, lambda sites: {"sum": sites["a"].sum(axis=-1)})
    drawn = {"a": np.arange(6.0).reshape(3, 2), "b": np.array([0.0, 1.0, 2.0])}
    found = ranks_of({"a": np.array([9.0, 2.0]), "b": np.array(1.5)}, drawn, designed, np.random.default_rng(0))
    assert found == {"a[0]": 3, "a[1]": 1, "b": 2, "sum": 3}


# Bands


@pytest.mark.parametrize(("tables", "draws"), [(1, 3), (3, 2), (4, 4)])
def test_p_values_are_exact(tables, draws):
    """Every set of ranks is equally probable: p is the share of sets that are as far from uniform."""
    every = np.stack(np.meshgrid(*[np.arange(draws + 1)] * tables), axis=-1).reshape(-1, tables)
    p = np.array([p_value(ranks, draws) for ranks in every])
    assert p == pytest.approx([(p <= own * (1 + 1e-9)).mean() for own in p])


def test_p_values_of_uniform_ranks_are_uniform():
    """Kolmogorov-Smirnov, one in a million; p-values are all but continuous at 200 tables."""
    rng = np.random.default_rng(0)
    found = [p_value(rng.integers(0, RANKED, TABLES, endpoint=True), RANKED) for _ in range(300)]
    assert kstest(found, "uniform").pvalue > 1e-6


@pytest.mark.parametrize("probability", [0.95, 0.99])
def test_ranks_leave_the_band_when_their_p_value_says_so(probability):
    rng = np.random.default_rng(1)
    lower, upper = bands(50, 19, probability)
    for _ in range(200):
        ranks = np.minimum(rng.integers(0, 20, 50), rng.integers(0, 30, 50)).clip(0, 19)
        counts = below(ranks, 19)
        assert ((counts < lower) | (counts > upper)).any() == (p_value(ranks, 19) <= 1 - probability)


def test_the_band_agrees_with_that_of_arviz():
    """ArviZ simulates the band at 99 points for continuous values; ends differ by two counts at most."""
    points, _, low, high = ecdf_pit(np.linspace(0, 1, RANKED + 1), 0.95, 4000, rng=np.random.default_rng(0))
    lower, upper = bands(RANKED + 1, RANKED, 0.95)
    assert points[1:-1] == pytest.approx(np.arange(1, RANKED + 1) / (RANKED + 1))
    assert np.abs(low[1:-1] * (RANKED + 1) - lower).max() <= 2
    assert np.abs(high[1:-1] * (RANKED + 1) - upper).max() <= 2


def test_many_looks_are_corrected_by_holm():
    assert holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]


# Posteriors that are right and wrong


def test_a_right_posterior_is_not_blamed():
    """Fails once in 10,000."""
    assert p_value(normal_ranks(0), RANKED) > 1e-4


@pytest.mark.parametrize("wrong", [{"scale": 0.5}, {"scale": 2.0}, {"shift": 0.5}, {"shift": -0.5}])
def test_a_wrong_posterior_is_found(wrong):
    assert p_value(normal_ranks(0, **wrong), RANKED) < 1e-4


def test_draws_that_ignore_the_data_are_found_by_the_log_likelihood_alone():
    rng = np.random.default_rng(0)
    truth, drawn = rng.normal(size=TABLES), rng.normal(size=(RANKED, TABLES))
    measured = truth + 0.3 * rng.normal(size=TABLES)
    fits = [-((measured - values) ** 2) for values in (drawn, truth)]
    assert p_value(rank(drawn, truth, rng), RANKED) > 1e-4
    assert p_value(rank(*fits, rng), RANKED) < 1e-4


# The report


def made_up(failed=0, **wrong):
    ranks = {"right": normal_ranks(0), "other": normal_ranks(1, **wrong)}
    return Calibration("made-up", ranks, [["no_divergences"]] * failed + [[]] * (TABLES - failed), 2, 1.0)


def test_all_looks_are_counted():
    found = made_up(failed=30)
    taken = looks(found)
    assert [(look.tables, look.quantity, len(look.ranks)) for look in taken] == [
        ("all", "right", TABLES),
        ("all", "other", TABLES),
        ("passed", "right", TABLES - 30),
        ("passed", "other", TABLES - 30),
    ]
    assert corrected(taken).min() == pytest.approx(min(1.0, 4 * min(look.p for look in taken)))


@pytest.mark.parametrize("failed", [0, TABLES - FEWEST + 1, TABLES])
def test_no_second_look_without_enough_other_tables(failed):
    assert {look.tables for look in looks(made_up(failed=failed))} == {"all"}


def test_the_report_names_the_worst_quantity():
    shown = "\n".join(lines([made_up(scale=0.5)]))
    row = next(line for line in shown.splitlines() if line.startswith("| made-up"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:3] == ["made-up", "200 (all)", "2"]
    assert float(cells[4]) < 1e-4
    assert cells[5:8] == ["other", "1 of 2", "1 of 2"]
    assert cells[-3:] == ["0", "2", "1"]
    assert "made-up (all) other: p" in shown
    assert "made-up, fits by failed check: none" in shown


def test_the_report_counts_failed_checks():
    assert "made-up, fits by failed check: no_divergences 30" in "\n".join(lines([made_up(failed=30)]))


def test_the_csv_gives_the_same_report_later(tmp_path):
    found = [made_up(failed=1), replace(made_up(scale=0.5), model="wrong")]
    frame = pd.concat([each.frame() for each in found])
    assert len(frame) == 2 * 2 * TABLES
    frame.to_csv(tmp_path / "ranks.csv", index=False)
    assert list(lines(read_ranks(tmp_path / "ranks.csv"))) == list(lines(found))


@pytest.mark.parametrize(
    ("given", "rule"),
    [(["--tables", "5"], "give at least 20"), (["--models", "atlas", "atlas"], "atlas is there twice")],
)
def test_a_run_that_cannot_be_reported_is_refused(given, rule, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["sbc", *given])
    with pytest.raises(SystemExit):
        main()
    assert rule in capsys.readouterr().err


# Models


def test_every_shipped_model_has_a_design():
    assert set(DESIGNS) == set(model_names())


def test_the_optimum_is_where_the_loss_is_least():
    sites = {"A": np.array([0.4]), "B": np.array([0.6]), "alpha": np.array([0.3]), "beta": np.array([0.4])}
    best = np.exp(design("chinchilla").derived(sites)["log_optimal_params"][0])

    def loss(params):
        return 0.4 * params**-0.3 + 0.6 * (BUDGET / 6 / params) ** -0.4

    assert loss(best) < min(loss(best * 1.01), loss(best / 1.01))


@pytest.mark.slow
def test_chinchilla_is_calibrated():
    """Of 20 tables; one quantity with a corrected p below 1e-4 fails it: for a right sampler once in 10,000 at most."""
    found = calibrate("chinchilla", 20, warmup=300, draws=300)
    assert found.dropped == 0
    assert {"log_likelihood", "log_optimal_params[0]", "sigma[1]", "size_effect[9]"} <= set(found.ranks)
    assert corrected(looks(found)).min() > 1e-4
