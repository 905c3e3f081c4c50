import numpy as np
import pandas as pd
import pytest

from bayes_atlas.data.transfer_scores import ScoreTableError, TraitTableError, read_scores, scores_from_frame

PAIRS = [("en", "sw"), ("sw", "en"), ("fr", "en"), ("en", "fr"), ("fr", "sw")]


def frame(**columns):
    base = pd.DataFrame(PAIRS, columns=["source", "target"])
    return base.assign(**columns or {"score": np.arange(5) / 10})


def test_scores_stand_at_target_and_source():
    scores = scores_from_frame(frame())
    assert scores["target"].values.tolist() == ["en", "sw", "fr"]
    assert float(scores["score"].sel(target="sw", source="fr")) == 0.4
    assert np.isnan(float(scores["score"].sel(target="fr", source="sw")))
    assert scores["genus"].sel(target="fr").item() == "Romance"


def test_a_gain_is_what_the_source_saves():
    scores = scores_from_frame(frame(loss=[1.0, 2.0, 1.5, 1.2, 1.1], scratch_loss=[2.0] * 5))
    assert float(scores["score"].sel(target="sw", source="en")) == 1.0


def test_a_matrix_is_read_like_the_list_of_its_pairs(tmp_path):
    path = tmp_path / "matrix.csv"
    path.write_text("target\\source,en,fr,sw\nen,,.2,.1\nfr,.3,,\nsw,0,.4,\n", encoding="utf-8")
    scores = read_scores(path)
    assert float(scores["score"].sel(target="en", source="fr")) == 0.2
    assert np.isnan(float(scores["score"].sel(target="fr", source="sw")))


def test_distances_are_standardised_and_filled_from_the_other_direction():
    scores = scores_from_frame(frame(score=np.arange(5.0), **{"distance.km": [1.0, 1.0, 3.0, 3.0, 5.0]}))
    distances = scores["distances"].sel(distance="km")
    assert float(distances.sel(target="fr", source="sw")) == float(distances.sel(target="sw", source="fr"))


def test_a_bound_is_marked():
    scores = scores_from_frame(frame(score=[0.1] * 5, censored=[1, 0, "", "0", 1]))
    assert bool(scores["censored"].sel(target="sw", source="en"))
    assert int(scores["censored"].sum()) == 2
    assert not scores_from_frame(frame())["censored"].any()


def test_languages_of_ones_own_come_with_their_traits(tmp_path):
    path = tmp_path / "traits.csv"
    path.write_text("language,script,genus,family\nxx,Latn,Xish,Xian\n", encoding="utf-8")
    table = frame().replace({"sw": "xx"})
    with pytest.raises(ScoreTableError, match=r"script, genus and family of this language are unknown"):
        scores_from_frame(table)
    assert scores_from_frame(table, traits=path)["family"].sel(target="xx").item() == "Xian"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (frame().drop(columns="target"), r"column 'target': a required column is missing"),
        (frame().drop(columns="score"), r"'loss', 'scratch_loss'"),
        (frame(score=["a", 1, 1, 1, 1]), r"must be a finite number"),
        (frame(score=[np.nan] * 5), r"no pair has a score"),
        (frame(score=[1.0] * 5, error=[0, 1, 1, 1, 1]), r"must be a finite number > 0"),
        (frame(score=[1.0] * 5, censored=[2, 0, 0, 0, 0]), r"column 'censored': must be 0 or 1"),
        (frame(score=[1.0] * 5, censored=["inf", 0, 0, 0, 0]), r"column 'censored': must be 0 or 1"),
        (frame(score=[None, 1, 1, 1, 1], censored=[1, 0, 0, 0, 0]), r"column 'censored': a bound needs a score"),
        (frame().assign(target="en"), r"source and target must differ"),
        (pd.concat([frame(), frame()[:1]]), r"a pair may have only one row"),
        (frame()[:2], r"fewer than 3 languages"),
        (frame()[:0], r"there are no rows"),
    ],
)
def test_bad_tables_say_what_is_wrong_and_what_to_do(table, message):
    with pytest.raises(ScoreTableError, match=message) as caught:
        scores_from_frame(table)
    assert "next: " in str(caught.value)


def test_a_bad_table_of_languages_is_refused(tmp_path):
    path = tmp_path / "traits.csv"
    path.write_text("language,script\nxx,\n", encoding="utf-8")
    with pytest.raises(TraitTableError, match=r"column 'genus', 'family'|must not be empty"):
        scores_from_frame(frame(), traits=path)
