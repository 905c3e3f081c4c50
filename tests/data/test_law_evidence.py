"""The evidence table: what is read, and what is refused."""

import numpy as np
import pytest

from bayes_atlas.data.law_evidence import EvidenceTableError, read_evidence

ROWS = ["a,0.05,-1.0,0.2,0.1", "a,0.2,0.0,0.3,0.1", "b,0.2,-3.0,-0.1,0.4", "b,0.05,0.0,0.0,0.5"]


@pytest.fixture
def read(tmp_path):
    def of(rows=ROWS, header="table,kappa,evidence,log_q,error"):
        path = tmp_path / "evidence.csv"
        path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
        return read_evidence(path)

    return of


def test_tables_by_kappa(read):
    found = read()
    assert found["table"].to_numpy().tolist() == ["a", "b"]
    assert found["kappa"].to_numpy().tolist() == [0.05, 0.2]
    np.testing.assert_array_equal(found["evidence"], [[-1.0, 0.0], [0.0, -3.0]])
    np.testing.assert_array_equal(found["log_q"], [[0.2, 0.3], [0.0, -0.1]])
    assert found.attrs["name"] == "evidence.csv"


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([], "there are no rows below the header"),
        (ROWS[:3], "every table must have one row for each kappa"),
        ([*ROWS, ROWS[0]], "every table must have one row for each kappa"),
        (["a,-1,0,0,1"], "must be a finite number > 0"),
        (["a,0.1,0,0,0"], "must be a finite number > 0"),
        (["a,0.1,much,0,1"], "must be a finite number"),
        ([",0.1,0,0,1"], "must not be empty"),
    ],
)
def test_tables_that_cannot_be_used(read, rows, text):
    with pytest.raises(EvidenceTableError, match=text):
        read(rows)


def test_columns_that_are_missing(read):
    with pytest.raises(EvidenceTableError, match="a required column is missing"):
        read(["a,0.1,0,0"], "table,kappa,evidence,log_q")
