"""What is held out: whole runs, the largest ones or random ones, and an error where that cannot be."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_atlas.data.runs import runs_from_frame
from bayes_atlas.errors import InputError
from bayes_atlas.validation.splits import HOLDOUTS, KEPT_RUNS, SPLITS, by_language, few_runs, folds


def make(runs, checkpoints=(1.0,), languages=("en",), **columns):
    """A table of `runs` runs, each evaluated at `checkpoints` of its tokens on all `languages`."""
    rows = []
    for run in range(runs):
        fixed = {name: values[run] for name, values in columns.items()}
        for fraction in checkpoints:
            for language in languages:
                row = {
                    "run": f"r{run}",
                    "language": language,
                    "params": 1e8 * 2**run,
                    "tokens": 1e9 * 2**run,
                    "loss": 3.0,
                }
                rows.append(row | fixed | {"tokens": fixed.get("tokens", row["tokens"]) * fraction})
    return runs_from_frame(pd.DataFrame(rows))


def names(runs, mask):
    return sorted(set(runs["run"].to_numpy()[mask].tolist()))


def test_the_largest_are_held_out():
    runs = make(10, params=np.geomspace(1e8, 1e10, 10), tokens=np.geomspace(1e11, 1e9, 10), compute=np.arange(10) + 1.0)
    assert names(runs, SPLITS["params"](runs, 0)) == ["r9"]
    assert names(runs, SPLITS["tokens"](runs, 0)) == ["r0", "r1"]
    assert names(runs, SPLITS["compute"](runs, 0)) == ["r8", "r9"]


def test_ties_are_held_out_together():
    runs = make(10, tokens=[1e9] * 4 + [2e9] * 6)
    assert names(runs, SPLITS["tokens"](runs, 0)) == [f"r{run}" for run in range(4, 10)]
    runs = make(10, tokens=[1e9] + [2e9] * 9)
    assert len(names(runs, SPLITS["tokens"](runs, 0))) == 9


def test_a_run_is_as_long_as_its_last_checkpoint():
    runs = make(5, checkpoints=(0.01, 0.5, 1.0))
    for holdout in ("tokens", "compute", "params"):
        mask = SPLITS[holdout](runs, 0)
        assert names(runs, mask) == ["r4"]
        assert mask.sum() == 3


def test_tokens_of_all_languages_count():
    shares = {"tokens.en": [1e9, 2e9, 3e9, 4e9, 5e9], "tokens.sw": [9e9, 1e8, 1e8, 1e8, 1e8]}
    runs = make(5, languages=("en", "sw"), **shares, tokens=[np.nan] * 5)
    assert names(runs, SPLITS["tokens"](runs, 0)) == ["r0"]


@given(
    runs=st.integers(4, 12),
    checkpoints=st.integers(1, 3),
    languages=st.integers(1, 3),
    seed=st.integers(0, 100),
    holdout=st.sampled_from(sorted(SPLITS)),
)
@settings(deadline=None, max_examples=50)
def test_no_run_is_on_both_sides_and_neither_is_empty(runs, checkpoints, languages, seed, holdout):
    rng = np.random.default_rng(seed)
    table = make(
        runs,
        checkpoints=np.linspace(0.2, 1, checkpoints),
        languages=["en", "fr", "sw"][:languages],
        params=rng.permutation(runs) + 1e8,
        tokens=1e9 * (rng.permutation(runs) + 1),
        mixture=[f"m{run % 4}" for run in range(runs)],
    )
    if holdout == "params":
        table["params"] = table["params"] * np.exp((table["params"] - 1e8) * 0.1)
    mask = SPLITS[holdout](table, seed)
    assert mask.dtype == bool
    assert mask.shape == (table.sizes["row"],)
    assert 0 < mask.sum() < mask.size
    assert not {*names(table, mask)} & {*names(table, ~mask)}


def test_random_runs_come_of_the_seed():
    runs = make(20)
    first, again, other = (SPLITS["random"](runs, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert first.sum() == other.sum() == 4
    assert (first != other).any()


def test_mixtures_are_whole_and_monolingual_runs_are_kept():
    tokens = {"tokens.en": [4e9] * 6 + [1e9, 1e9, 2e9, 2e9], "tokens.fr": [0.0] * 6 + [3e9, 3.0e9, 2e9, 2e9]}
    runs = make(10, **tokens, tokens=[np.nan] * 10)
    for seed in range(5):
        assert names(runs, SPLITS["mixture"](runs, seed)) in (["r6", "r7"], ["r8", "r9"])


def test_a_label_says_what_a_mixture_is():
    runs = make(8, mixture=["a"] * 2 + ["b"] * 6)
    assert names(runs, SPLITS["mixture"](runs, 0)) in ([f"r{n}" for n in range(2)], [f"r{n}" for n in range(2, 8)])


def test_of_a_language_a_few_runs_are_kept():
    runs = make(6, languages=("en", "sw"), checkpoints=(0.5, 1.0))
    every = folds(runs, "language", seed=1)
    assert list(every) == ["en", "sw"]
    mask = every["sw"]
    assert set(runs["language"].to_numpy()[mask]) == {"sw"}
    kept = runs.isel(row=~mask & (runs["language"].to_numpy() == "sw"))
    assert len(set(kept["run"].to_numpy().tolist())) == KEPT_RUNS
    assert mask.sum() == 2 * (6 - KEPT_RUNS)
    np.testing.assert_array_equal(mask, by_language(runs, "sw", seed=1))


def test_languages_with_few_runs_are_named():
    runs = runs_from_frame(
        pd.concat(
            [
                make(5)[["run", "language", "params", "tokens", "loss"]].to_dataframe().reset_index(drop=True),
                make(2)[["run", "language", "params", "tokens", "loss"]].to_dataframe().assign(language="sw"),
            ]
        )[["run", "language", "params", "tokens", "loss"]].drop_duplicates()
    )
    assert few_runs(runs) == ["sw"]
    assert list(folds(runs, "language")) == ["en"]


@pytest.mark.parametrize(
    ("holdout", "columns", "message"),
    [
        ("params", {"params": [1e9] * 5}, "has only models of one size, .*differ in params, or hold out random runs"),
        ("tokens", {"tokens": [1e9] * 5}, "has only runs of one length"),
        ("compute", {"compute": [1e20] * 5}, "has only runs of equal compute"),
        ("mixture", {}, "has fewer than two mixtures, .*label the runs in a column mixture"),
        ("language", {}, "has one language, 'en'; add runs of others"),
        ("size", {}, f"no split 'size'; choose one of: {', '.join(HOLDOUTS)}"),
    ],
)
def test_what_cannot_be_held_out(holdout, columns, message):
    with pytest.raises(InputError, match=message):
        folds(make(5, **columns), holdout)


def test_too_few_runs():
    with pytest.raises(InputError, match="has a single run, so none would be left"):
        folds(make(1), "random")
    with pytest.raises(InputError, match=f"no language of runs has more than {KEPT_RUNS} runs, as many as are kept"):
        folds(make(3, languages=("en", "sw")), "language")
    with pytest.raises(InputError, match="has 3 runs of the language 'sw', and 3 runs have to be kept"):
        by_language(make(3, languages=("en", "sw")), "sw")
