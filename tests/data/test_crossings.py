import numpy as np
import pandas as pd
import pytest

from bayes_atlas.data.crossings import TYPICAL, CrossingTableError, read_crossings
from bayes_atlas.observations.crossings import arrange_crossings, made_up_crossings

GOOD = {"language": ["en", "sw", TYPICAL], "params": [1e9, 4e9, 2e9], "tokens": [1e11, 3e11, 2e11], "error": [0.1] * 3}


@pytest.fixture
def read(tmp_path):
    def written(**columns):
        path = tmp_path / "crossovers.csv"
        pd.DataFrame(GOOD | columns).dropna(axis=1, how="all").to_csv(path, index=False)
        return read_crossings(path)

    return written


def test_a_table_is_read_as_it_stands(read):
    table = read()
    assert table["language"].values.tolist() == ["en", "sw", TYPICAL]
    assert table["crossover"].values.tolist() == GOOD["tokens"]
    assert table.attrs["name"] == "crossovers.csv"
    assert len(table.attrs["sha256"]) == 64


def test_csv_and_parquet_hold_the_same(read, tmp_path):
    path = tmp_path / "crossovers.parquet"
    pd.DataFrame(GOOD).to_parquet(path)
    assert read_crossings(path).drop_attrs().equals(read().drop_attrs())


def test_arranged_rows_belong_to_their_language_and_typical_ones_to_none(read):
    data = arrange_crossings(read())
    crossings = data.covariates["crossings"]
    assert data.languages == ["en", "sw"]
    assert data.coords["run"] == ["en:1", "sw:2", f"{TYPICAL}:3"]
    assert crossings.belongs.tolist() == [[1, 0], [0, 1], [0, 0]]
    assert crossings.typical.tolist() == [False, False, True]
    np.testing.assert_allclose(crossings.log_params.sum(), 0.0, atol=1e-12)
    np.testing.assert_allclose(data.references["en"]["params"], 2e9)
    np.testing.assert_allclose(data.log_tokens, np.log(GOOD["tokens"]))
    assert float(crossings.centre) == pytest.approx(np.log(GOOD["tokens"]).mean())
    assert (data.rows, data.probe().get("layout", {})) == (3, {})


def test_what_is_stored_of_single_rows_has_their_dim(read):
    data = arrange_crossings(read())
    groups, dims = data.stored(np.zeros((1, 2, 3)))
    assert groups["log_likelihood"]["crossover"].shape == (1, 2, 3)
    assert groups["observed_data"]["log_crossover"] is data.log_tokens
    assert {name for name, each in dims.items() if each == ["run"]} == {
        *("crossover", "log_crossover", "typical", "log_params", "error"),
    }
    assert set(groups["constant_data"]) <= set(dims)


def test_made_up_crossings_are_always_the_same_and_of_every_language():
    (one, tokens), (again, same) = made_up_crossings(3), made_up_crossings(3)
    np.testing.assert_array_equal(tokens, same)
    np.testing.assert_array_equal(one.log_params, again.log_params)
    assert one.belongs.sum(axis=0).min() >= 1
    assert one.typical.sum() == 1


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"error": [None] * 3}, r"column 'error': a required column is missing"),
        ({"tokens": [0, 1e11, 1e11]}, r"column 'tokens': must be a finite number > 0"),
        ({"params": ["big", 1e9, 1e9]}, r"column 'params': must be a finite number > 0"),
        ({"error": [0.1, np.inf, 0.1]}, r"column 'error': must be a finite number > 0"),
        ({"tokens": [1e11, None, 1e11]}, r"leave out runs without a crossover"),
        ({"language": ["en", "", "sw"]}, r"column 'language': must not be empty"),
        ({"language": [TYPICAL] * 3}, r"every row has the language 'all'"),
    ],
)
def test_bad_tables_say_what_is_wrong_and_what_to_do(read, columns, message):
    with pytest.raises(CrossingTableError, match=message) as caught:
        read(**columns)
    assert "next: " in str(caught.value)


def test_a_table_without_rows_is_refused(tmp_path):
    path = tmp_path / "crossovers.csv"
    path.write_text("language,params,tokens,error\n", encoding="utf-8")
    with pytest.raises(CrossingTableError, match=r"there are no rows below the header"):
        read_crossings(path)
