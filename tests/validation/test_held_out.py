"""From a run table to scores: what is fitted, what is scored, what is left out, and that intervals hold."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from bayes_atlas.data.runs import runs_from_frame
from bayes_atlas.errors import InputError
from bayes_atlas.inference.fit import fit_many
from bayes_atlas.laws import chinchilla
from bayes_atlas.validation.held_out import validate
from bayes_atlas.validation.predict import predict
from bayes_atlas.validation.proper_scores import RowScores
from bayes_atlas.validation.splits import KEPT_RUNS, by_random

QUICK = {"chains": 2, "warmup": 300, "draws": 300}
NOISE = 0.01
TRUTH = {
    "en": {"E": 1.5, "A": 0.5, "B": 0.6, "alpha": 0.33, "beta": 0.28},
    "sw": {"E": 1.8, "A": 0.6, "B": 0.9, "alpha": 0.30, "beta": 0.33},
}


def frame(seed=0, sizes=6, lengths=5, languages=("en", "sw")):
    """Finished runs of every size and length on each language, by the law and the noise of the models."""
    rng = np.random.default_rng(seed)
    parts = []
    for language in languages:
        params, tokens = (
            grid.ravel() for grid in np.meshgrid(np.geomspace(5e7, 5e9, sizes), np.geomspace(1e9, 2e11, lengths))
        )
        loss = chinchilla.loss(params / 1e9, tokens / 2e10, **TRUTH[language])
        loss = loss * np.exp(NOISE * rng.standard_t(4, params.size))
        run = [f"{language}{number}" for number in range(params.size)]
        parts.append(pd.DataFrame({"run": run, "language": language, "params": params, "tokens": tokens, "loss": loss}))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def runs():
    return runs_from_frame(frame())


def test_intervals_hold_losses_of_larger_models(runs):
    """Runs of the largest size follow the law; the count is within the .9999 interval of its binomial, widened by a
    correlated law: at most half of the rows may be lost to it."""
    found = validate(runs, ["chinchilla"], holdout="params", **QUICK)
    summary = found.summary("chinchilla")
    assert summary["n_test"] == 10
    assert set(summary["by_language"]) == {"en", "sw"}
    assert summary["coverage"]["0.95"] >= scipy.stats.binom.ppf(1e-4, 10, 0.9) / 10
    assert summary["r2"] > 0.9
    assert summary["rmse"] < 0.1


@pytest.mark.slow
def test_intervals_hold_what_they_say_over_many_tables():
    """A random fifth of 20 tables by the law, 12 rows each, which is why no error of it is added. Rows of a table share
    its posterior, which adds about .01 to the sd of coverage over independent rows; the limits are at 4 sd of that sum:
    false alarms < 1e-4."""
    inside = {"0.5": [], "0.9": []}
    tables = [runs_from_frame(frame(seed)) for seed in range(20)]
    masks = [by_random(table, seed) for seed, table in enumerate(tables)]
    fitted = [table.isel(row=~mask) for table, mask in zip(tables, masks, strict=True)]
    posteriors = fit_many(fitted, "chinchilla", **QUICK)  # as `validate` fits folds, in one program
    for seed, (posterior, table, mask) in enumerate(zip(posteriors, tables, masks, strict=True)):
        rows = table.isel(row=mask)
        scores = RowScores.of(predict(posterior, rows, fitted[seed], seed=seed), rows, seed).summary()
        for level, shares in inside.items():
            shares.append(scores["coverage"][level])
    for level, shares in inside.items():
        sd = np.sqrt(float(level) * (1 - float(level)) / 240) + 0.01
        assert np.mean(shares) == pytest.approx(float(level), abs=4 * sd)


def test_every_model_is_scored_on_the_same_rows(runs):
    found = validate(runs, ["chinchilla", "varpro"], holdout="tokens", **QUICK)
    one, other = found.scores.values()
    np.testing.assert_array_equal(one.loss, other.loss)
    assert (found.holdout, found.n_train) == ("tokens", [60 - one.loss.size])
    weights = found.weights
    assert list(weights) == ["chinchilla", "varpro"]
    assert sum(weights.values()) == pytest.approx(1)
    assert found.failed_checks["varpro"] == []


def test_each_language_is_held_out_in_turn(runs):
    found = validate(runs, ["chinchilla"], holdout="language", law_error="none", **QUICK)
    assert found.n_train == [30 + KEPT_RUNS] * 2
    summary = found.summary("chinchilla")
    assert {name: scores["n_test"] for name, scores in summary["by_language"].items()} == {"en": 27, "sw": 27}
    assert summary["r2"] > 0.5


def test_folds_that_differ_in_structure_are_fitted_apart(monkeypatch):
    """Where one language alone repeats its data, no program serves both folds, and `fit` is asked."""

    class Asked(Exception):
        pass

    def alone(table, model, **settings):
        raise Asked(table.attrs["name"])

    monkeypatch.setattr("bayes_atlas.inference.fit.fit", alone)
    table = frame(sizes=3, lengths=3)
    table["unique"] = np.where((table["language"] == "sw") & (table["run"] == "sw8"), 1e10, np.nan)
    with pytest.raises(Asked, match=r"runs \(en held out\)"):
        validate(runs_from_frame(table), ["chinchilla"], holdout="language", seed=0, **QUICK)


def test_a_test_table(runs):
    later = frame(seed=1, sizes=3)
    later["run"] = "later-" + later["run"]
    found = validate(runs, ["varpro"], test=runs_from_frame(later, "later.csv"))
    assert (found.holdout, found.n_train, found.notes) == ("later.csv", [60], [])
    assert found.summary("varpro")["n_test"] == 30
    again = validate(runs, ["varpro"], test=runs_from_frame(frame().head(10), "again.csv"))
    assert "10 runs of again.csv have names that runs has too" in again.notes[0]


def test_what_is_left_out_is_counted(runs):
    later = frame(seed=1, sizes=3).assign(init="scratch")
    later.loc[:4, "init"] = "unimax"
    later.loc[29, "language"] = "yo"
    found = validate(runs, ["varpro"], test=runs_from_frame(later, "later.csv"))
    assert found.left_out == {"started from a checkpoint": 5, "had no fitted row of the same language": 1}
    assert found.summary("varpro")["n_test"] == 24


def test_groups_by_label_are_scored_as_languages():
    table = frame().assign(vocabulary="mono")
    table.loc[table.index % 2 == 0, "vocabulary"] = "multi"
    found = validate(runs_from_frame(table), ["varpro"], by=["vocabulary"])
    assert set(found.summary("varpro")["by_language"]) <= {f"{a}:{b}" for a in ("en", "sw") for b in ("mono", "multi")}


def test_a_baseline_that_cannot_be_fitted_is_left_out_aloud():
    table = frame(sizes=2, lengths=3)
    with pytest.raises(InputError, match="varpro fits five parameters to each language"):
        validate(runs_from_frame(table), ["varpro"])
    with pytest.raises(InputError, match="none of the baselines can be fitted: huber fits five"):
        validate(runs_from_frame(table), ["huber", "varpro"])
    found = validate(runs_from_frame(table), ["chinchilla", "varpro"], law_error="none", chains=2, warmup=150, draws=50)
    assert list(found.scores) == ["chinchilla"]
    assert any("varpro fits five parameters to each language" in note for note in found.notes)


def test_mistakes_are_found_before_anything_is_sampled(runs):
    with pytest.raises(InputError, match=r"no model is called 'atlass'\. Did you mean 'atlas'"):
        validate(runs, ["varpro", "atlass"])
    with pytest.raises(InputError, match="model transfer is fitted to pairs, and losses of runs are held out here"):
        validate(runs, ["transfer"])
    with pytest.raises(InputError, match="there is no model to validate; name one"):
        validate(runs, [])
    other = runs_from_frame(frame(languages=("en",)).assign(language="yo"), "other.csv")
    with pytest.raises(InputError, match=r"no language of the held-out rows \(yo\) has fitted rows"):
        validate(runs, ["varpro"], test=other)
    tuned = runs_from_frame(frame().assign(init="unimax"), "tuned.csv")
    with pytest.raises(InputError, match=r"no run of tuned.csv started from scratch \(column init\)"):
        validate(tuned, ["varpro"])


def test_ablations_are_those_of_a_fit(monkeypatch):
    """With all tokens counted, a law without sources sees the size of the mixture; without others, nothing of it."""
    table = frame(sizes=3, lengths=3, languages=("en",)).rename(columns={"tokens": "tokens.en"})
    table["tokens.fr"] = 3 * table["tokens.en"]
    runs = runs_from_frame(table)
    seen = []

    def shown(tables, model, law_error, options):
        seen.append((tables, options))
        raise KeyboardInterrupt

    monkeypatch.setattr("bayes_atlas.validation.held_out._fit", shown)
    for asked in ({"all_tokens": True}, {"others": False, "sources": 0}):
        with pytest.raises(KeyboardInterrupt):
            validate(runs, ["atlas"], holdout="params", **asked)
    (counted, _), (plain, settings) = seen
    np.testing.assert_allclose(counted[0]["tokens"], 4 * plain[0]["tokens"])
    assert (settings["others"], settings["sources"]) == (False, 0)
