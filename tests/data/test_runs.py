import hashlib
import time

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_atlas.data.runs import (
    RunTableError,
    co_sampled_sources,
    count_all_tokens,
    group_runs,
    read_runs,
    runs_from_frame,
)

TEXT = """\
run, language, params, tokens, loss, vocabulary, note
z, sw, 1e8, 2e9, 3.1, multilingual, one
a, en, 2e8, 4e9, 2.9, monolingual, "two, three"
"""

MIXED = pd.DataFrame(
    {
        "run": ["m", "m", "m", "n"],
        "language": ["sw", "sw", "en", "sw"],
        "params": [1e8, 1e8, 1e8, 2e8],
        "loss": [4.0, 3.5, 3.0, 3.2],
        "tokens.en": [1e9, 2e9, 2e9, 0.0],
        "tokens.sw": [1e8, 2e8, 2e8, 3e8],
        "tokens.yo": [5e7, 1e8, 1e8, 1e8],
        "unique.sw": [1.5e8, 1.5e8, np.nan, np.inf],
    }
)


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_csv_keeps_the_order_of_the_file_and_everything_in_it(written):
    runs = read_runs(written)
    assert runs.attrs == {"name": "runs.csv", "sha256": hashlib.sha256(TEXT.encode()).hexdigest()}
    assert list(runs["run"].values) == ["z", "a"]
    assert list(runs["language"].values) == list(runs["own"].values) == ["sw", "en"]
    assert list(runs["vocabulary"].values) == ["multilingual", "monolingual"]
    assert list(runs["init"].values) == ["scratch", "scratch"]
    assert list(runs["note"].values) == ["one", "two, three"]
    assert list(runs["params"].values) == [1e8, 2e8]
    assert "mixture" not in runs.coords


def test_tokens_alone_make_the_languages_the_sources(written):
    runs = read_runs(written)
    assert list(runs["source"].values) == ["sw", "en"]
    np.testing.assert_array_equal(runs["source_tokens"], [[2e9, 0], [0, 4e9]])
    assert np.isinf(runs["unique"]).all()
    assert np.isinf(runs["source_unique"]).all()
    np.testing.assert_array_equal(runs["languages"], [1, 1])
    np.testing.assert_array_equal(runs["compute"], [6 * 1e8 * 2e9, 6 * 2e8 * 4e9])


def test_sources_give_own_tokens_languages_and_compute():
    runs = runs_from_frame(MIXED)
    assert dict(runs.sizes) == {"row": 4, "source": 3}
    np.testing.assert_array_equal(runs["tokens"], [1e8, 2e8, 2e9, 3e8])
    np.testing.assert_array_equal(runs["unique"], [1.5e8, 1.5e8, np.inf, np.inf])
    np.testing.assert_array_equal(runs["source_unique"].sel(source="sw"), [1.5e8, 1.5e8, np.inf, np.inf])
    np.testing.assert_array_equal(runs["languages"], [3, 3, 3, 2])
    np.testing.assert_allclose(runs["compute"], 6 * runs["params"] * runs["source_tokens"].sum("source"))
    own = runs["source_tokens"].sel(source=runs["own"])
    np.testing.assert_array_equal(own, runs["tokens"])


def test_own_tokens_may_stand_in_either_column():
    runs = runs_from_frame(
        MIXED.assign(tokens=[1e8, np.nan, np.nan, 3e8 * (1 + 1e-9)], unique=[np.nan, 1.5e8, 4e9, np.nan])
    )
    np.testing.assert_array_equal(runs["tokens"], [1e8, 2e8, 2e9, 3e8])
    np.testing.assert_array_equal(runs["unique"], [1.5e8, 1.5e8, 4e9, np.inf])
    np.testing.assert_array_equal(runs["source_unique"].sel(source="en"), [np.inf, np.inf, 4e9, np.inf])


def test_own_language_that_is_no_listed_source_becomes_one():
    frame = MIXED.drop(columns=["tokens.sw", "unique.sw"]).assign(tokens=[1e8, 2e8, np.nan, 3e8])
    runs = runs_from_frame(frame)
    assert list(runs["source"].values) == ["en", "yo", "sw"]
    np.testing.assert_array_equal(runs["source_tokens"].sel(source="sw"), [1e8, 2e8, 0, 3e8])


def test_stated_languages_and_compute_win_and_empty_cells_take_the_default():
    runs = runs_from_frame(
        MIXED.assign(languages=[5, np.nan, np.nan, np.nan], compute=[1e20, np.nan, np.nan, np.nan], init="mt5")
    )
    np.testing.assert_array_equal(runs["languages"], [5, 3, 3, 2])
    assert runs["compute"].values[0] == 1e20
    assert runs["compute"].values[3] == 6 * 2e8 * 4e8
    assert set(runs["init"].values) == {"mt5"}


def test_unknown_columns_are_kept_as_what_they_are():
    others = pd.DataFrame({"seed": [1, np.nan, 3, 4], "outlier": [True, False, True, True], "row": 7, "": list("abcd")})
    runs = runs_from_frame(pd.concat([MIXED, others], axis=1))
    np.testing.assert_array_equal(runs["seed"], [1, np.nan, 3, 4])
    assert runs["outlier"].dtype == bool
    assert list(runs["table.row"].values) == [7] * 4
    assert list(runs["unnamed"].values) == list("abcd")


def test_parquet_and_csv_and_frame_agree(tmp_path):
    MIXED.to_csv(tmp_path / "runs.csv", index=False)
    MIXED.astype({"run": "category", "loss": "float32"}).to_parquet(tmp_path / "runs.pq")
    from_csv, from_parquet = read_runs(tmp_path / "runs.csv"), read_runs(str(tmp_path / "runs.pq"))
    xr.testing.assert_equal(from_csv, runs_from_frame(MIXED))
    xr.testing.assert_allclose(from_csv, from_parquet, rtol=1e-6)
    assert from_parquet.attrs["name"] == "runs.pq"


def test_byte_order_mark_and_windows_line_ends_are_read(tmp_path):
    path = tmp_path / "runs.CSV"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    assert list(read_runs(path)["loss"].values) == [3.1, 2.9]


@settings(max_examples=30, deadline=None)  # a table takes a while
@given(losses=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=20))
def test_numbers_survive_being_written(losses):
    frame = pd.DataFrame({"run": range(len(losses)), "language": "en", "params": 1, "tokens": 1, "loss": losses})
    text = frame.astype(object).map(repr).replace("'en'", "en")
    np.testing.assert_array_equal(runs_from_frame(text)["loss"], losses)


def test_checkpoints_of_a_run_are_no_duplicates_but_the_same_one_is():
    assert runs_from_frame(MIXED).sizes["row"] == 4
    labelled = MIXED.assign(mixture=["x", "x", "x", "y"])
    again = labelled.iloc[[3]].assign(mixture="z")
    assert runs_from_frame(pd.concat([labelled, again])).sizes["row"] == 5
    with pytest.raises(RunTableError, match="row 5: n on sw, same as row 4"):
        runs_from_frame(pd.concat([MIXED, MIXED.iloc[[3]]]))


def test_groups_relabel_languages_and_leave_own(written):
    runs = read_runs(written)
    grouped = group_runs(runs, ["vocabulary"])
    assert list(grouped["language"].values) == ["sw:multilingual", "en:monolingual"]
    assert list(grouped["own"].values) == ["sw", "en"]
    again = group_runs(grouped, ["init", "note"])
    assert list(again["language"].values) == ["sw:scratch:one", "en:scratch:two, three"]
    assert list(group_runs(grouped, [])["language"].values) == ["sw", "en"]
    assert list(runs["language"].values) == ["sw", "en"]


@pytest.mark.parametrize("name", ["mixture", "params", "language", "nothing"])
def test_grouping_by_what_is_no_label_names_the_labels(written, name):
    with pytest.raises(ValueError, match=rf"cannot group runs by '{name}'; choose from: init, vocabulary, note"):
        group_runs(read_runs(written), [name])


def test_grouping_by_a_label_with_holes_is_refused():
    runs = runs_from_frame(MIXED.assign(mixture=["x", "x", " ", ""]))
    with pytest.raises(ValueError, match="'mixture': it is empty in 2 rows; give every row a label"):
        group_runs(runs, ["mixture"])


def test_co_sampled_sources_are_ranked_by_runs_then_last_tokens_then_name():
    frame = pd.DataFrame(
        {
            "run": ["a", "a", "b", "c"],
            "language": ["en", "en", "en", "yo"],
            "params": 1e8,
            "loss": 3.0,
            "tokens.en": [1, 2, 2, 0],
            "tokens.fr": [1, 5, 0, 0],  # one run, 5 tokens at its last checkpoint
            "tokens.de": [3, 3, 4, 0],  # two runs
            "tokens.ru": [4, 4, 0, 0],  # one run, 4 tokens
            "tokens.hi": [4, 4, 0, 0],  # likewise: before ru by name
            "tokens.ja": 0,
            "tokens.yo": [0, 0, 0, 1],
        }
    )
    chosen = co_sampled_sources(runs_from_frame(frame), 5)
    assert chosen.dims == ("language", "slot")
    assert list(chosen.sel(language="en").values) == ["de", "fr", "hi", "ru", ""]
    assert list(chosen.sel(language="yo").values) == [""] * 5
    assert co_sampled_sources(runs_from_frame(frame), 2).sel(language="en").values.tolist() == ["de", "fr"]
    assert co_sampled_sources(runs_from_frame(frame), 0).shape == (2, 0)
    assert co_sampled_sources(runs_from_frame(frame), 9).sel(language="en").values.tolist()[4:] == [""] * 5


def test_co_sampled_sources_follow_groups():
    runs = group_runs(runs_from_frame(MIXED.assign(mixture=["x", "x", "x", "y"])), ["mixture"])
    chosen = co_sampled_sources(runs, 2)
    assert chosen.sel(language="sw:x").values.tolist() == ["en", "yo"]
    assert chosen.sel(language="sw:y").values.tolist() == ["yo", ""]


@settings(max_examples=30, deadline=None)  # a table takes a while
@given(seed=st.integers(0, 1000))
def test_co_sampled_sources_agree_with_plain_counting(seed):
    rng = np.random.default_rng(seed)
    names = np.array(["a", "b", "c", "d"])
    tokens = rng.integers(0, 3, (12, 4)) * 1e6
    language = rng.choice(names, 12)
    tokens[np.arange(12), np.searchsorted(names, language)] += 1e5 * (1 + np.arange(12))
    frame = pd.DataFrame({"run": rng.integers(0, 4, 12), "language": language, "params": 1.0, "loss": 1.0})
    frame = frame.assign(**{f"tokens.{name}": tokens[:, i] for i, name in enumerate(names)})
    chosen = co_sampled_sources(runs_from_frame(frame), 3)
    for target, rows in frame.groupby("language"):
        last = rows.assign(total=tokens[rows.index].sum(axis=1)).sort_values("total").groupby("run").tail(1)
        ranked = []
        for name in names:
            count = rows.loc[rows[f"tokens.{name}"] > 0, "run"].nunique()
            if name != target and count:
                ranked.append((-count, -last[f"tokens.{name}"].sum(), name))
        expected = [name for *_, name in sorted(ranked)]
        assert chosen.sel(language=target).values.tolist() == expected + [""] * (3 - len(expected))


def test_large_tables_are_quick():
    rng = np.random.default_rng(0)
    names = [f"l{i:02}" for i in range(60)]
    frame = pd.DataFrame({"run": np.repeat(np.arange(1700), 10), "language": np.tile(names[:50], 340)})
    frame = frame.assign(params=1e8, loss=3.0, **{f"tokens.{name}": rng.uniform(1, 9, 17000) for name in names})
    runs = runs_from_frame(frame)
    start = time.perf_counter()
    assert co_sampled_sources(runs, 3).shape == (50, 3)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    ("name", "rows", "languages"),
    [
        ("chinchilla", 245, 1),
        ("datablations", 232, 1),
        ("goldfish", 456, 125),
        ("marin_isoflop", 168, 3),
        ("pretrain_vs_finetune_bytes", 193, 9),
        ("slimpajama_mixtures", 16843, 7),
    ],
)
def test_real_tables_are_read_without_fault(data_folder, name, rows, languages):
    runs = read_runs(data_folder / f"{name}.csv")
    assert runs.sizes["row"] == rows
    assert len(np.unique(runs["language"])) == languages
    assert runs.to_dataframe().notna().loc[:, ["params", "tokens", "unique", "loss", "compute"]].all(axis=None)


def test_real_table_of_transfer_is_no_run_table(data_folder):
    with pytest.raises(
        RunTableError, match=r"'params', 'tokens': the column is missing\n.*this one has source, target"
    ):
        read_runs(data_folder / "transfer_bytes_src600M_10ep.csv")


def test_all_tokens_can_count_as_the_languages_own():
    columns = {"run": ["a", "b"], "language": ["sw", "en"], "params": 1e9, "loss": [2.0, 1.5]}
    tokens = {"tokens.en": [3e9, 4e9], "tokens.sw": [1e9, 0.0], "unique.en": [1e9, 5e9], "unique.sw": [2e9, 2e9]}
    counted = count_all_tokens(runs_from_frame(pd.DataFrame(columns | tokens)))
    assert counted["tokens"].to_numpy().tolist() == [4e9, 4e9]
    assert counted["unique"].to_numpy().tolist() == [3e9, 5e9]
    by_source = counted["source_tokens"].transpose("row", "source").sel(source=["en", "sw"])
    assert by_source.to_numpy().tolist() == [[0.0, 4e9], [4e9, 0.0]]


def test_all_tokens_never_repeat_where_one_source_does_not():
    columns = {"run": ["a"], "language": ["sw"], "params": 1e9, "loss": [2.0]}
    table = pd.DataFrame(columns | {"tokens.en": [3e9], "tokens.sw": [1e9], "unique.sw": [2e8]})
    assert count_all_tokens(runs_from_frame(table))["unique"].to_numpy().tolist() == [np.inf]
