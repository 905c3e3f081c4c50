"""What `review_fit` finds of a fit: runs that failed, predictions that do not hold, priors that decide."""

import json
from dataclasses import replace

import arviz as az
import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from bayes_atlas.data.runs import read_runs, runs_from_frame
from bayes_atlas.inference.evaluate import NotStoredError, Replay, stored_log_prior
from bayes_atlas.inference.fit import fit
from bayes_atlas.laws import chinchilla
from bayes_atlas.posterior import load_posterior
from bayes_atlas.validation import review as checking
from bayes_atlas.validation.review import Influence, PredictedRows, Review, Sensitivity, review_fit

FAILED, BEFORE = "p2-t4", "p2-t3"  # the failed run, and the one of its size with less data
DATA = ("log_likelihood", "observed_data", "constant_data")
TRUTH = {"E": 1.5, "A": 0.5, "B": 0.6, "alpha": 0.33, "beta": 0.28}


@pytest.fixture(scope="module")
def fitted():
    """A short fit of 24 runs, with noise of half a percent, of which one failed and ended 40 % too high."""
    rng = np.random.default_rng(0)
    rows = []
    for p, params in enumerate((1e8, 4e8, 1.6e9, 6.4e9)):
        for t, tokens in enumerate((2e9, 6e9, 1.8e10, 5.4e10, 1.6e11, 4.8e11)):
            loss = chinchilla.loss(params / 1e9, tokens / 2e10, **TRUTH) * np.exp(0.005 * rng.normal())
            rows.append((f"p{p}-t{t}", "en", params, tokens, loss * (1.4 if f"p{p}-t{t}" == FAILED else 1)))
    table = pd.DataFrame(rows, columns=["run", "language", "params", "tokens", "loss"])
    return fit(runs_from_frame(table, "failed.csv"), "chinchilla", chains=2, warmup=200, draws=200)


@pytest.fixture(scope="module")
def checked(fitted):
    return review_fit(fitted)


def without(posterior, *groups):
    """`posterior` as if these groups had not been stored."""
    return replace(posterior, draws=posterior.draws.drop_nodes(groups))


def predictive(scale, rows=400, centre=0.0):
    """Standard normal values, predicted by normals of this scale around `centre`."""
    rng = np.random.default_rng(0)
    names = [f"r{row}" for row in range(rows)]
    draws = centre + scale * rng.normal(size=(rows, 1000))
    return PredictedRows("score", names, np.ones(rows, dtype=bool), rng.normal(size=rows), draws)


NOTHING = Review(False, None, None, None, None, None, None, None, {})


# Runs


def test_a_failed_run_is_named(checked):
    assert next(iter(checked.weights)) == FAILED
    assert checked.weights[FAILED] < 0.01
    assert checked.outdone[FAILED] == BEFORE
    assert checked.posterior.worst()[0]["row"] == FAILED
    assert checked.posterior.worst()[0]["deviations"] > 10
    assert any(f"the law does not account for {FAILED}" in remark for remark in checked.remarks)
    assert any(f"{FAILED} (by {BEFORE})" in remark for remark in checked.remarks)


def test_all_is_checked_where_all_is_stored(checked, fitted):
    assert checked.missing == {}
    assert len(checked.posterior.observed) == len(checked.prior.observed) == 24
    assert checked.posterior.within_band
    assert checked.prior.inside(0.9) > 0.9
    np.testing.assert_allclose(checked.posterior.observed, fitted.draws["observed_data"]["loss"][:, 0], rtol=1e-6)
    assert {each.parameter for each in checked.sensitivity} == {f"{name}[en]" for name in (*TRUTH, "sigma")}
    assert all(each.likelihood > 0 for each in checked.sensitivity)
    assert checked.influence.runs == 24
    told = json.loads(json.dumps(checked.to_dict(), allow_nan=False))
    assert set(told["outlying"]) == set(checked.weights)
    assert told["posterior_predictive"]["coverage"]["0.9"] == pytest.approx(checked.posterior.inside(0.9))


def test_without_data_it_says_what_is_missing(fitted):
    found = review_fit(without(fitted, *DATA))
    assert (found.prior, found.posterior, found.weights, found.influence, found.outdone) == (None,) * 5
    assert len(found.missing) == 4
    assert "fit again without --without-data" in found.missing["prior and posterior prediction"]
    assert "log_likelihood" in found.missing["PSIS-LOO and sensitivity to the likelihood"]
    assert [each.likelihood for each in found.sensitivity] == [None] * 6


def test_data_of_earlier_versions_lack_the_layout_of_the_runs(fitted):
    draws = fitted.draws.copy()
    draws["constant_data"] = draws["constant_data"].to_dataset().drop_vars("size_weight")
    with pytest.raises(NotStoredError, match="earlier versions did not store; fit again"):
        Replay.of(replace(fitted, draws=draws))


def test_a_model_that_has_changed_is_not_run(fitted, monkeypatch):
    monkeypatch.setattr(checking, "is_stale", lambda posterior, model=None: True)
    found = review_fit(fitted)
    assert found.stale
    assert (found.prior, found.posterior, found.weights) == (None,) * 3
    assert "has changed since" in found.missing["prior and posterior prediction"]
    assert found.sensitivity is not None  # of what was stored
    assert found.outdone[FAILED] == BEFORE


# Priors


def test_the_log_prior_is_that_of_what_stands_at_the_top(fitted):
    stored = stored_log_prior(fitted)
    drawn = fitted.draws["posterior"]
    np.testing.assert_allclose(stored["alpha_location"], norm.logpdf(drawn["alpha_location"], np.log(0.35), 0.4), 1e-5)
    assert set(stored) == {str(name) for name in drawn if str(name).endswith("_location")}
    assert az.psense(fitted.draws, var_names="alpha", group="prior")["alpha"].item() > 0


@pytest.mark.parametrize("lost", [("log_prior",), ("log_prior", *DATA)])
def test_a_log_prior_that_was_not_stored_is_computed_from_the_model(fitted, lost):
    stored, computed = stored_log_prior(fitted), stored_log_prior(without(fitted, *lost))
    for name, values in stored.items():
        np.testing.assert_allclose(computed[name], values, rtol=1e-5)


def test_priors_in_the_units_of_a_table_need_the_table():
    with pytest.raises(NotStoredError, match="log_prior, as the model's priors depend on the table; fit again"):
        stored_log_prior(load_posterior("transfer-atlas"))


def test_a_prior_that_decides_is_diagnosed():
    diagnoses = [
        Sensitivity("a", prior, likelihood).diagnosis
        for prior, likelihood in ((0.01, 0.3), (0.2, 0.3), (0.2, 0.01), (0.2, None))
    ]
    assert diagnoses == ["", "prior-data conflict", "strong prior or weak likelihood", "depends on its prior"]
    (remark,) = replace(NOTHING, sensitivity=[Sensitivity("alpha[en]", 0.2, 0.01)]).remarks
    assert remark.startswith(
        "strong prior or weak likelihood: alpha[en]; the runs say little about these; add runs that identify them"
    )


def test_a_prior_that_excludes_what_happened_is_remarked():
    (remark,) = replace(NOTHING, prior=predictive(0.1, centre=5.0)).remarks
    assert "intervals contain only 0% of the observations" in remark
    assert replace(NOTHING, prior=predictive(10.0)).remarks == []


# Predictions


def test_calibrated_predictions_stay_inside_the_band():
    found = predictive(1.0)
    assert found.within_band
    assert [found.inside(level) for level in (0.5, 0.9)] == pytest.approx([0.5, 0.9], abs=0.06)
    assert replace(NOTHING, posterior=found).remarks == []


@pytest.mark.parametrize(
    ("scale", "centre", "verdict"), [(0.5, 0.0, "narrower"), (2.0, 0.0, "wider"), (1.0, 0.5, "narrower")]
)
def test_predictions_that_are_too_narrow_too_wide_or_off_leave_it(scale, centre, verdict):
    (remark,) = replace(NOTHING, posterior=predictive(scale, centre=centre)).remarks
    assert (
        f"leave the 95% band of uniform values: predictions are {verdict} than the scatter of the fitted runs" in remark
    )


def test_only_the_last_rows_of_runs_count_for_the_band():
    found = predictive(1.0)
    repeated = replace(found, last=np.arange(400) % 4 == 3)
    assert repeated.band == pytest.approx(2 * found.band, rel=0.02)


def test_curves_that_decide_are_named():
    influence = Influence(elpd=1.0, se=0.1, p=2.0, runs=9, limit=0.7, above={"r1": 0.9})
    (remark,) = replace(NOTHING, influence=influence).remarks
    assert remark.startswith("PSIS-LOO is unreliable for r1 (Pareto k above 0.7)")


# Real runs


@pytest.mark.slow
def test_the_outliers_of_chinchilla_are_named_and_move_little(data_folder):
    runs = read_runs(data_folder / "chinchilla.csv")
    marked = runs["outlier"].to_numpy().astype(str) == "True"
    kept, left = (fit(table, "chinchilla", chains=2, warmup=400, draws=600) for table in (runs, runs.isel(row=~marked)))
    named = review_fit(kept).weights
    assert set(list(named)[:5]) == set(runs["run"].to_numpy()[marked].tolist())
    for name in ("E", "alpha", "beta"):
        with_them, without_them = (np.log(posterior.parameters("en")[name]) for posterior in (kept, left))
        assert abs(with_them.mean() - without_them.mean()) < without_them.std(), name


@pytest.mark.slow
@pytest.mark.large
def test_the_failed_byte_model_is_named_though_the_law_misfits(data_folder):
    """Runs too short to catch on make the noise so large that its weight is no lower than others'."""
    runs = read_runs(data_folder / "pretrain_vs_finetune_bytes.csv")
    found = review_fit(fit(runs, "chinchilla", chains=2, warmup=200, draws=100))
    assert found.outdone == {"es_scratch_6000000000:es": "es_scratch_600000000:es"}
