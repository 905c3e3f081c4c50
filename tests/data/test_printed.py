from importlib.resources import files

import numpy as np
import pytest

from bayes_atlas.data.printed import TABLES, families_of, load_table


def test_every_shipped_csv_is_described_and_every_description_has_its_csv():
    shipped = {
        path.name.removesuffix(".csv")
        for path in files("bayes_atlas.data.printed").iterdir()
        if path.name.endswith(".csv")
    }
    assert shipped == set(TABLES)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_table_loads_and_names_who_printed_it(name):
    assert len(load_table(name)) > 0
    assert "arXiv" in TABLES[name].citation
    assert TABLES[name].description.endswith(".")


def test_unknown_table_names_those_there_are():
    with pytest.raises(
        ValueError, match=r"no table is called 'bts'; choose one of: crossover_tokens_2b, .*unique_tokens"
    ):
        load_table("bts")


def test_transfer_matrix_has_targets_as_rows_and_a_blank_diagonal():
    scores = load_table("transfer_bts38")
    assert scores.shape == (38, 38)
    assert (scores.index.name, scores.columns.name) == ("target", "source")
    assert list(scores.index) == list(scores.columns)
    assert np.isnan(np.diag(scores)).all()
    assert scores.isna().to_numpy().sum() == 38
    assert scores.loc["es", "fr"] == 0.4
    assert scores.loc["fr", "es"] == 0.2


def test_transfer_matrix_has_the_printed_means_by_script():
    scores = load_table("transfer_bts38")
    script = load_table("languages").set_index("language").loc[scores.index, "script"].to_numpy()
    same = script[:, None] == script[None, :]
    values = scores.to_numpy()
    assert np.nanmean(values[same]) == pytest.approx(-0.23, abs=0.01)
    assert np.nanmean(values[~same]) == pytest.approx(-0.39, abs=0.01)


def test_model_sizes_are_what_the_printed_shapes_give():
    sizes = load_table("model_sizes")
    attention, feed_forward = 4 * sizes.embed * sizes.heads * sizes.kv, 3 * sizes.embed * sizes.ffw
    params = 64_512 * sizes.embed + sizes.layers * (attention + feed_forward + sizes.embed)
    used = sizes.scale <= 51  # the shape of scale 52 is misprinted; no run of the paper uses it
    assert (params[used] == sizes.params[used]).all()


def test_mixtures_have_as_many_languages_as_their_names_say():
    mixtures = load_table("mixtures_table_b5")
    count = mixtures.languages.str.split().map(lambda languages: len(set(languages)))
    assert list(count) == [int(name.partition("v")[0]) for name in mixtures.mixture]


def test_language_codes_that_look_like_missing_values_survive():
    assert "no" in set(load_table("languages").language)
    assert not load_table("languages").isna().to_numpy().any()


def test_families_are_genera_and_an_unknown_language_is_its_own():
    assert families_of(["en", "de", "fr", "klingon"]) == ["Germanic", "Germanic", "Romance", "klingon"]
