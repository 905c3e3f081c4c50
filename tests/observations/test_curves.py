"""How a run table becomes arrays of curves, and how values of groups reach the curves."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_atlas.data.runs import group_runs, runs_from_frame
from bayes_atlas.data.size_groups import SAME_SIZE
from bayes_atlas.errors import InputError
from bayes_atlas.observations.curves import Curves, Group, Shape, arrange

COLUMNS = ("run", "language", "params", "tokens", "loss")


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def uneven():
    """Three runs on en and sw, with three, one and two checkpoints, rows in disorder."""
    rows = [
        ("big", "en", 4e9, 4e10, 2.0),
        ("small", "en", 1e9, 1e10, 2.9),
        ("big", "en", 4e9, 1e10, 2.6),
        ("swahili", "sw", 2e9, 8e9, 3.3),
        ("big", "en", 4e9, 2e10, 2.3),
        ("swahili", "sw", 2e9, 2e9, 3.9),
    ]
    return runs_from_frame(pd.DataFrame(rows, columns=COLUMNS))


@pytest.fixture
def mixed():
    """Runs on mixtures of en, sw, fr, yo and hi: sw is trained with all of the others, most often with en, then fr."""
    mixtures = [
        {"en": 3e9, "sw": 1e9},
        {"en": 2e9, "sw": 2e9, "fr": 1e9},
        {"en": 1e9, "sw": 3e9, "fr": 1e9, "yo": 5e8},
        {"en": 4e9, "sw": 1e9, "fr": 2e9, "yo": 1e8, "hi": 7e8},
        {"sw": 1e9},
        {"en": 5e9, "hi": 1e9},
    ]
    unique = {"en": 1e12, "sw": 5e8, "fr": 1e12, "yo": 2e8, "hi": 4e8}
    rows = []
    for number, mixture in enumerate(mixtures):
        for language in ("en", "sw"):
            if language in mixture:
                tokens = {f"tokens.{name}": mixture.get(name, 0.0) for name in unique}
                limits = {f"unique.{name}": size for name, size in unique.items()}
                identity = {"run": f"r{number}", "language": language, "params": 1e9 * (1 + number), "loss": 3.0}
                rows.append(identity | tokens | limits)
    return runs_from_frame(pd.DataFrame(rows))


# Layout


def test_a_curve_is_a_run_on_a_language_in_order_of_tokens(uneven):
    data = arrange(uneven, ["tokens", "params", "curves"])
    assert data.coords["run"] == ["big:en", "small:en", "swahili:sw"]
    assert data.coords["language"] == ["en", "sw"]
    np.testing.assert_array_equal(data.loss, [[2.6, 2.3, 2.0], [2.9, 2.9, 2.9], [3.9, 3.3, 3.3]])
    reference = np.array([[data.references[name]["tokens"]] for name in ("en", "en", "sw")])
    np.testing.assert_allclose(
        data.covariates["tokens"] * reference, [[1e10, 2e10, 4e10], [1e10, 1e10, 1e10], [2e9, 8e9, 8e9]]
    )
    np.testing.assert_allclose(
        data.covariates["params"] * data.references["en"]["params"], [[4e9] * 3, [1e9] * 3, [2e9] * 3]
    )


def test_padding_repeats_the_last_checkpoint_and_is_masked(uneven):
    data = arrange(uneven, ["curves"])
    np.testing.assert_array_equal(data.curves.observed, [[True, True, True], [True, False, False], [True, True, False]])
    assert data.rows == uneven.sizes["row"]
    np.testing.assert_allclose(
        data.curves.stage, np.log([[4.0, 2.0, 1.0], [1.0, 1.0, 1.0], [4.0, 1.0, 1.0]]), atol=1e-15
    )


def test_curves_know_their_groups(uneven, monkeypatch):
    few = arrange(uneven, ["curves"]).curves.size
    assert few.groups == 0
    np.testing.assert_array_equal(few.of_curve, -1)
    monkeypatch.setattr("bayes_atlas.data.size_groups.NO_EFFECT", 2)
    curves = arrange(uneven, ["curves"]).curves
    np.testing.assert_array_equal(curves.language.of_curve, [0, 0, 1])
    np.testing.assert_array_equal(curves.size.of_curve, [2, 0, 1])
    assert (curves.languages, curves.size.groups, curves.repeated, curves.epochs) == (2, 3, True, None)


def test_a_run_of_one_language_goes_by_its_own_name(uneven):
    only = uneven.isel(row=uneven["language"].to_numpy() == "en")
    assert arrange(only, ["curves"]).coords["run"] == ["big", "small"]


def test_one_checkpoint_a_run_is_one_step():
    rows = [("a", "en", 1e9, 1e10, 2.0), ("b", "en", 2e9, 2e10, 1.9)]
    data = arrange(runs_from_frame(pd.DataFrame(rows, columns=COLUMNS)), ["tokens", "curves"])
    assert data.loss.shape == (2, 1)
    assert not data.curves.repeated
    np.testing.assert_array_equal(data.curves.stage, 0.0)


def test_sizes_that_differ_by_little_are_the_same_size(monkeypatch):
    monkeypatch.setattr("bayes_atlas.data.size_groups.NO_EFFECT", 2)
    params = np.array([1e9, 1e9 * np.exp(SAME_SIZE / 4), 1.1e9, 2e9])
    rows = [(f"r{i}", "en", n, 1e10, 2.0) for i, n in enumerate(params)]
    curves = arrange(runs_from_frame(pd.DataFrame(rows, columns=COLUMNS)), ["curves"]).curves
    np.testing.assert_array_equal(curves.size.of_curve, [0, 0, 1, 2])


def test_groups_of_a_language_are_its_languages(uneven):
    labelled = uneven.assign_coords(vocabulary=("row", np.array(["a", "b", "a", "a", "a", "a"])))
    data = arrange(group_runs(labelled, ["vocabulary"]), ["curves"])
    assert data.coords["language"] == ["en:a", "en:b", "sw:a"]
    assert data.coords["run"] == ["big:en:a", "small:en:b", "swahili:sw:a"]


def test_persistence_falls_with_the_ratio_of_tokens(uneven):
    curves = arrange(uneven, ["curves"]).curves
    persistence = curves.persistence(jnp.asarray(0.5))
    assert persistence.shape == (3, 3)
    np.testing.assert_array_equal(persistence[:, 0], 0.0)
    np.testing.assert_allclose(persistence[0, 1:], np.exp(-np.log([2, 2]) / 0.5))
    np.testing.assert_allclose(persistence[2, 1], np.exp(-np.log(4) / 0.5))
    assert (persistence < 1).all()


# References


def test_references_are_geometric_means(uneven):
    references = arrange(uneven, ["curves"]).references
    params = (4e9 * 4e9 * 4e9 * 1e9 * 2e9 * 2e9) ** (1 / 6)
    assert references["en"] == pytest.approx({"params": params, "tokens": (4e10 * 1e10 * 1e10 * 2e10) ** (1 / 4)})
    assert references["sw"] == pytest.approx({"params": params, "tokens": 4e9})


def test_references_count_repeated_tokens_as_often_as_they_were_seen():
    rows = [("a", "en", 1e9, 1e8, 1e9, 2.0), ("b", "en", 1e9, 1e11, 1e9, 1.9)]
    runs = runs_from_frame(pd.DataFrame(rows, columns=["run", "language", "params", "tokens", "unique", "loss"]))
    assert arrange(runs, ["curves"]).references["en"]["tokens"] == pytest.approx((1e8 * 1e11) ** 0.5)


# Sources


def in_tokens(data, name):
    """A covariate of the rows in tokens: ``(run[, source])``, one step each."""
    unit = np.array([data.references[language]["tokens"] for language in data.coords["language"]])
    values = np.asarray(data.covariates[name])[:, 0]
    return values * unit[np.asarray(data.curves.language.of_curve)].reshape(-1, *[1] * (values.ndim - 1))


SOURCES = ["tokens", "unique", "source_tokens", "source_unique", "other_tokens", "other_unique", "curves"]


def test_named_sources_are_the_most_co_sampled(mixed):
    data = arrange(mixed, SOURCES, sources=2)
    assert data.sources == {"en": ["sw", "fr"], "sw": ["en", "fr"]}
    assert data.coords["source"] == ["1", "2"]


@pytest.mark.parametrize("sources", [0, 1, 2, 4, None])
def test_own_named_and_other_tokens_add_up_to_the_table(mixed, sources):
    data = arrange(mixed, SOURCES, sources=sources)
    row = [
        (mixed["run"].to_numpy() + ":" + mixed["language"].to_numpy()).tolist().index(run) for run in data.coords["run"]
    ]
    table = mixed["source_tokens"].to_numpy()[row]
    total = in_tokens(data, "tokens")
    if data.covariates["source_tokens"] is not None:
        total = total + in_tokens(data, "source_tokens").sum(axis=1)
    if data.covariates["other_tokens"] is not None:
        total = total + in_tokens(data, "other_tokens")
    np.testing.assert_allclose(total, table.sum(axis=1))


def test_each_named_source_has_its_own_tokens(mixed):
    data = arrange(mixed, SOURCES, sources=2)
    names = mixed["source"].to_numpy().tolist()
    for number, run in enumerate(data.coords["run"]):
        name, language = run.split(":")
        row = mixed.isel(row=(mixed["run"].to_numpy() == name) & (mixed["language"].to_numpy() == language))
        columns = [names.index(source) for source in data.sources[language]]
        np.testing.assert_allclose(
            in_tokens(data, "source_tokens")[number], row["source_tokens"].to_numpy()[0, columns]
        )
        np.testing.assert_allclose(
            in_tokens(data, "source_unique")[number], row["source_unique"].to_numpy()[0, columns]
        )


def test_other_unique_is_of_the_sources_that_were_trained_on(mixed):
    data = arrange(mixed, SOURCES, sources=2)
    other = dict(zip(data.coords["run"], in_tokens(data, "other_unique"), strict=True))
    assert other["r3:sw"] == pytest.approx(2e8 + 4e8)  # yo and hi
    assert other["r2:sw"] == pytest.approx(2e8)  # yo
    assert other["r0:sw"] == np.inf
    assert other["r5:en"] == pytest.approx(4e8)


def test_others_can_be_left_out(mixed):
    data, without = (arrange(mixed, SOURCES, sources=2, others=others) for others in (True, False))
    assert without.covariates["other_tokens"] is without.covariates["other_unique"] is None
    np.testing.assert_array_equal(without.covariates["source_tokens"], data.covariates["source_tokens"])
    assert without.sources == data.sources


def test_the_share_is_of_a_languages_family(mixed):
    data = arrange(mixed.assign_coords(source=["en", "sw", "de", "yo", "hi"]), ["total_tokens", "share", "curves"])
    share = dict(zip(data.coords["run"], np.asarray(data.covariates["share"])[:, 0], strict=True))
    assert share["r4:sw"] == 1
    assert share["r0:sw"] == pytest.approx(1 / 4)
    assert share["r1:en"] == pytest.approx((2 + 1) / 5)  # English and German
    total = dict(zip(data.coords["run"], in_tokens(data, "total_tokens"), strict=True))
    assert total["r1:en"] == pytest.approx(5e9)


def test_a_language_with_fewer_sources_has_an_empty_one():
    rows = [
        {
            "run": "a",
            "language": "en",
            "params": 1e9,
            "loss": 2.0,
            "tokens.en": 1e9,
            "tokens.sw": 1e9,
            "tokens.fr": 1e9,
        },
        {"run": "b", "language": "yo", "params": 1e9, "loss": 2.0, "tokens.yo": 1e9, "tokens.en": 2e9},
    ]
    data = arrange(runs_from_frame(pd.DataFrame(rows).fillna(0.0)), SOURCES)
    assert data.sources == {"en": ["fr", "sw"], "yo": ["en", ""]}
    np.testing.assert_allclose(in_tokens(data, "source_tokens"), [[1e9, 1e9], [2e9, 0]])
    assert data.covariates["other_tokens"] is None


# What says nothing


def test_what_says_nothing_is_none(uneven):
    data = arrange(uneven, SOURCES)
    silent = [name for name, value in data.covariates.items() if value is None]
    assert silent == ["unique", "source_tokens", "source_unique", "other_tokens", "other_unique"]
    assert data.coords["source"] == []


def test_unique_tokens_that_no_run_exhausts_say_nothing(uneven):
    plenty = uneven.assign(unique=("row", np.full(6, 1e12)))
    few = uneven.assign(unique=("row", np.full(6, 1e10)))
    assert arrange(plenty, ["unique"]).covariates["unique"] is None
    data = arrange(few, ["unique", "curves"])
    np.testing.assert_allclose(data.covariates["unique"][0] * data.references["en"]["tokens"], 1e10)
    np.testing.assert_allclose(data.curves.epochs, np.log([[1, 2, 4], [1, 1, 1], [1, 1, 1]]), atol=1e-15)


def test_sources_that_do_not_repeat_have_no_limit(mixed):
    data = arrange(mixed, SOURCES, sources=1)
    assert data.covariates["unique"] is not None
    assert data.covariates["source_tokens"].shape == (10, 1, 1)
    assert data.covariates["source_unique"] is not None  # of sw, for en
    assert arrange(mixed, SOURCES, sources=4).covariates["other_tokens"] is None


# Other columns


def test_any_numeric_column_can_be_a_covariate(uneven):
    data = arrange(uneven.assign(width=("row", np.arange(6))), ["width", "compute"])
    np.testing.assert_array_equal(data.covariates["width"], [[2, 4, 0], [1, 1, 1], [5, 3, 3]])
    assert data.covariates["compute"].shape == (3, 3)


def test_an_unknown_covariate_is_answered_with_those_there_are(uneven):
    rule = r"has no covariate 'depth'; add a column depth of numbers .*, or use some of: .*params, .*unique"
    with pytest.raises(InputError, match=rule):
        arrange(uneven, ["params", "depth"])


def test_a_text_column_is_no_covariate(uneven):
    with pytest.raises(InputError, match="has no covariate 'recipe'; add a column recipe of numbers"):
        arrange(uneven.assign(recipe=("row", np.array(list("abcdef")))), ["recipe"])


# Values of groups


@st.composite
def groups(draw):
    """An index that counts from 0 without gaps, in any order."""
    count = draw(st.integers(1, 6))
    more = draw(st.lists(st.integers(0, count - 1), max_size=20))
    return np.array(draw(st.permutations([*range(count), *more])))


@settings(deadline=None, max_examples=12)  # each shape is compiled anew
@given(index=groups(), seed=st.integers(0, 2**31), trailing=st.sampled_from([(), (3,), (2, 4)]))
def test_spread_and_its_gradient_are_those_of_a_gather(index, seed, trailing):
    with jax.enable_x64(True):
        rng = np.random.default_rng(seed)
        group = Group.of(index)
        assert group.groups == index.max() + 1
        values = jnp.asarray(rng.normal(size=(group.groups, *trailing)))
        weights = jnp.asarray(rng.normal(size=(len(index), 1, *trailing)))
        np.testing.assert_array_equal(group.spread(values), values[index][:, None])

        def through(spread):
            return jax.grad(lambda v: (weights * jnp.sin(spread(v))).sum())(values)

        np.testing.assert_allclose(through(group.spread), through(lambda v: v[index][:, None]), rtol=1e-12, atol=1e-12)


def test_spread_works_under_jit_with_the_group_as_an_argument(uneven):
    curves = arrange(uneven, ["curves"]).curves

    @jax.jit
    def spread(curves: Curves, values: jax.Array) -> jax.Array:
        return curves.by_language(values)

    np.testing.assert_array_equal(spread(curves, jnp.array([5.0, 7.0])), [[5.0], [5.0], [7.0]])


@settings(deadline=None, max_examples=30)
@given(index=groups(), seed=st.integers(0, 2**31), trailing=st.sampled_from([(), (3,)]))
def test_total_is_the_sum_over_a_groups_curves(index, seed, trailing):
    values = np.random.default_rng(seed).normal(size=(len(index), *trailing))
    expected = np.zeros((index.max() + 1, *trailing))
    np.add.at(expected, index, values)
    np.testing.assert_allclose(Group.of(index).total(values), expected, rtol=1e-12, atol=1e-12)


def test_what_is_typical_of_a_language_is_the_mean_over_its_checkpoints(uneven):
    data = arrange(uneven, ["tokens", "curves"])
    values = np.array([[1.0, 2.0, 4.0], [8.0, 100.0, 100.0], [3.0, 5.0, 100.0]])
    np.testing.assert_allclose(data.curves.typical(values), [15 / 4, 4.0])
    log_tokens = data.curves.typical(np.log(data.covariates["tokens"]))
    np.testing.assert_allclose(log_tokens, 0, atol=1e-12)  # of which the reference is the mean


# Padding


@st.composite
def shapes(draw):
    return Shape(*(draw(st.integers(1, 5000)) for _ in Shape._fields))


@given(one=shapes(), other=shapes())
def test_the_joint_shape_is_the_least_that_holds_both(one, other):
    joint = one.join(other)
    for mine, theirs, both in zip(one, other, joint, strict=True):
        assert both >= max(mine, theirs)
        assert both in (mine, theirs)
    assert joint == other.join(one)


@given(shape=shapes())
def test_rounding_adds_at_most_an_eighth(shape):
    rounded = shape.rounded()
    assert rounded.sizes == shape.sizes  # each has a parameter of its own
    for exact, up in zip(shape, rounded, strict=True):
        assert exact <= up <= exact * 1.125
    assert rounded.rounded() == rounded


def test_there_are_few_rounded_shapes():
    """At most eight for each doubling, so that tables of similar size meet in one."""
    counts = {Shape(runs, 1, 1, 1, 1).rounded().runs for runs in range(1, 4097)}
    assert len(counts) <= 8 * 12 + 1


def test_padding_is_not_observed_and_belongs_to_nobody(mixed):
    data = arrange(mixed, SOURCES, sources=2)
    shape = Shape(runs=13, steps=2, of_language=8, sizes=7, of_size=4, together=11)
    covariates, loss = data.padded(shape)
    curves, before = covariates["curves"], data.curves
    assert curves.shape == shape
    assert int(curves.observed.sum()) == data.rows
    assert not curves.observed[10:].any()
    assert not curves.observed[:, 1:].any()
    for name, values in covariates.items():
        if name != "curves":
            np.testing.assert_array_equal(values[:10, :1], data.covariates[name])
            assert np.isfinite(values[~np.isinf(values)]).all()
    np.testing.assert_array_equal(loss[:10, :1], data.loss)
    weight = np.ones((13, 1))
    np.testing.assert_array_equal(curves.language.total(weight), before.language.total(weight[:10]))
    np.testing.assert_array_equal(curves.size.total(weight)[: before.size.groups], before.size.total(weight[:10]))
    np.testing.assert_array_equal(curves.size.total(weight)[before.size.groups :], 0)
    together, own = curves.together, before.together
    assert own.seen.sum() == data.rows
    np.testing.assert_array_equal(together.seen[: len(own.seen), :1], own.seen)
    assert (together.seen.sum(), together.of_curve.shape) == (data.rows, (13,))
    log_tokens = np.log(data.covariates["tokens"])
    np.testing.assert_allclose(curves.typical(np.log(covariates["tokens"])), before.typical(log_tokens), atol=1e-12)
