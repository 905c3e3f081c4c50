"""The likelihood of a curve, against an explicit scale matrix, and which noise parameters a table gives rise to."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.handlers as handlers
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from bayes_atlas.data.outliers import NU
from bayes_atlas.data.runs import runs_from_frame
from bayes_atlas.data.size_groups import FULL_EFFECT
from bayes_atlas.modelling.curve_noise import SIZE_EFFECT, CurveStudentT, observe
from bayes_atlas.observations.curves import Together, arrange


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def scale_matrix(scale, persistence):
    """The scale matrix of one curve: correlation of two steps is the product of the persistences between them."""
    steps = len(scale)
    correlation = np.eye(steps)
    for first in range(steps):
        for last in range(first + 1, steps):
            correlation[first, last] = correlation[last, first] = np.prod(persistence[first + 1 : last + 1])
    return correlation * np.outer(scale, scale)


@st.composite
def curves(draw, steps=5):
    """loc, scale, persistence, value and the number of observed steps of one curve."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    persistence = np.concatenate([[0.0], rng.uniform(0, 0.99, steps - 1)])
    loc, scale = rng.normal(size=steps), np.exp(rng.normal(size=steps))
    value = loc + scale * rng.standard_t(3, steps)
    return loc, scale, persistence, value, draw(st.integers(1, steps))


# Density


@settings(deadline=None)
@given(curve=curves(), nu=st.floats(2.5, 30))
def test_log_density_is_that_of_a_multivariate_student_t(curve, nu):
    with jax.enable_x64(True):
        loc, scale, persistence, value, observed = curve
        mask = jnp.arange(len(loc)) < observed
        ours = CurveStudentT(*(jnp.asarray(a)[None] for a in (loc, scale, persistence)), nu, mask[None])
        matrix = scale_matrix(scale, persistence)[:observed, :observed]
        theirs = scipy.stats.multivariate_t(loc[:observed], matrix, df=nu)
        np.testing.assert_allclose(
            ours.log_prob(jnp.asarray(value)[None]), [theirs.logpdf(value[:observed])], rtol=1e-9
        )


RUNS = [0, 1, 0, 0, 1, 2]  # the run of each of six curves


def of_runs(shared, steps=3, seed=0):
    """Curves of three runs, with a different noise each and one more run of padding; and values."""
    rng = np.random.default_rng(seed)
    shape = len(RUNS), steps
    persistence = np.tile(np.append(0, rng.uniform(0.1, 0.9, steps - 1)), (len(RUNS), 1))
    loc, scale, value = rng.normal(size=shape), np.exp(rng.normal(size=shape)), 2 * rng.normal(size=shape)
    observed = np.ones(shape, dtype=bool)
    observed[4, 2] = observed[1, 2] = False
    together = Together.of(np.array(RUNS), observed)
    return CurveStudentT(*map(jnp.asarray, (loc, scale, persistence)), NU, observed, together, shared), value


@pytest.mark.parametrize("shared", [0.0, 0.3, 0.9])
def test_curves_of_a_run_are_a_multivariate_student_t_together(shared):
    distribution, value = of_runs(shared)
    found = np.asarray(distribution.log_prob(jnp.asarray(value)))
    for run in range(3):
        own = np.flatnonzero(np.array(RUNS) == run)
        seen = distribution.observed[own].ravel()
        flat = [np.asarray(each)[own].ravel() for each in (distribution.loc, distribution.scale, value)]
        drift = scale_matrix(np.ones(3), np.asarray(distribution.persistence)[own[0]])
        alike = np.full((len(own),) * 2, shared) + (1 - shared) * np.eye(len(own))
        matrix = np.kron(alike, drift) * np.outer(flat[1], flat[1])
        theirs = scipy.stats.multivariate_t(flat[0][seen], matrix[np.ix_(seen, seen)], df=NU)
        assert found[own].sum() == pytest.approx(theirs.logpdf(flat[2][seen]), rel=1e-9)
        weight = np.asarray(distribution.weight(jnp.asarray(value)))[own]
        away = (flat[2] - flat[0])[seen]
        squares = away @ np.linalg.solve(matrix[np.ix_(seen, seen)], away)
        np.testing.assert_allclose(weight, (NU + seen.sum()) / (NU + squares), rtol=1e-9)


def test_slopes_of_the_density_of_runs_are_right():
    distribution, value = of_runs(0.4)

    def density(loc, shared):
        arrays = loc, distribution.scale, distribution.persistence
        return CurveStudentT(*arrays, NU, distribution.observed, distribution.together, shared).log_prob(value).sum()

    check_grads(density, (distribution.loc, jnp.asarray(0.4)), 1, modes=["rev"], rtol=1e-5)


def test_padding_of_runs_does_not_matter():
    distribution, value = of_runs(0.4)
    more = [(0, 3), (0, 0)]
    together = distribution.together.padded(len(RUNS) + 3, 5, 3)
    padded = CurveStudentT(
        *(jnp.pad(each, more, constant_values=0.5) for each in (distribution.loc, distribution.scale)),
        jnp.pad(distribution.persistence, more), NU, np.pad(distribution.observed, more), together, 0.4,
    )  # fmt: skip
    found = padded.log_prob(jnp.pad(value, more, constant_values=np.nan))
    np.testing.assert_allclose(found[: len(RUNS)], distribution.log_prob(jnp.asarray(value)), rtol=1e-12)
    np.testing.assert_array_equal(found[len(RUNS) :], 0)


def test_draws_of_a_run_are_correlated_as_their_density_says():
    shape = 3, 2
    persistence = jnp.tile(jnp.array([0.0, 0.6]), (3, 1))
    together = Together.of(np.array([0, 0, 1]), np.ones(shape))
    distribution = CurveStudentT(
        jnp.zeros(shape), jnp.ones(shape), persistence, 40.0, jnp.ones(shape, bool), together, 0.7
    )
    drawn = np.asarray(distribution.sample(jax.random.key(0), (40_000,))).reshape(-1, 6)
    expected = np.kron([[1, 0.7, 0], [0.7, 1, 0], [0, 0, 1]], [[1, 0.6], [0.6, 1]])
    np.testing.assert_allclose(np.corrcoef(drawn.T), expected, atol=0.02)


def test_padding_does_not_matter():
    """What stands in unobserved steps changes neither the density nor its gradient."""
    observed = jnp.array([[True, True, False]])
    parameters = jnp.array([[0.1, 0.2, 0.3]]), jnp.array([[1.0, 2.0, 3.0]]), jnp.array([[0.0, 0.5, 0.5]])

    def log_density(value, padding, loc, scale, persistence):
        # Padding repeats the last checkpoint, whose distance from itself is the least that curves know.
        arrays = loc.at[:, 2].add(padding), scale.at[:, 2].mul(1 + padding), persistence.at[:, 2].set(0.999)
        return CurveStudentT(*arrays, NU, observed).log_prob(value.at[:, 2].add(padding)).sum()

    value = jnp.array([[1.0, -1.0, 0.5]])
    gradient = jax.value_and_grad(log_density, argnums=(0, 2, 3))
    for padding in (0.0, 7.0, 1e6):
        for ours, reference in zip(
            jax.tree.leaves(gradient(value, padding, *parameters)),
            jax.tree.leaves(gradient(value, 0.0, *parameters)),
            strict=True,
        ):
            np.testing.assert_allclose(ours, reference, rtol=1e-12)


def test_an_outlying_curve_counts_for_little():
    """The pull of a curve on its own level falls again once it is far off."""
    distribution = CurveStudentT(jnp.zeros((1, 2)), jnp.ones((1, 2)), jnp.zeros((1, 2)), NU, jnp.ones((1, 2), bool))
    pull = jax.grad(lambda shift: -distribution.log_prob(jnp.full((1, 2), shift)).sum())
    assert pull(1.5) > pull(20.0) > pull(100.0) > 0


# Draws


def test_draws_have_the_moments_of_the_scale_matrix():
    count, steps, nu = 200_000, 4, 12.0  # light tails, so that fourth moments exist and second ones are sharp
    loc = jnp.array([[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0]])
    scale = jnp.array([[0.5, 1.0, 2.0, 0.1], [1.0, 1.0, 3.0, 1.0]])
    persistence = jnp.array([[0.0, 0.9, 0.3, 0.0], [0.0, 0.0, 0.7, 0.95]])
    distribution = CurveStudentT(loc, scale, persistence, nu, jnp.ones((2, steps), dtype=bool))
    draws = np.asarray(distribution.sample(jax.random.key(0), (count,)))
    assert draws.shape == (count, 2, steps)
    for curve in range(2):
        centred = draws[:, curve] - np.asarray(loc)[curve]
        covariance = scale_matrix(np.asarray(scale)[curve], np.asarray(persistence)[curve]) * nu / (nu - 2)
        error = centred.std(axis=0) / np.sqrt(count)
        np.testing.assert_array_less(np.abs(centred.mean(axis=0)), 5 * error)
        products = centred[:, :, None] * centred[:, None, :]
        error = products.std(axis=0) / np.sqrt(count)
        np.testing.assert_array_less(np.abs(products.mean(axis=0) - covariance), 5 * error)


def test_the_steps_of_a_draw_share_their_outlyingness():
    """One mixing variable per curve: squared residuals are correlated even where residuals are not."""
    count = 100_000
    shape = (1, 2)
    distribution = CurveStudentT(jnp.zeros(shape), jnp.ones(shape), jnp.zeros(shape), NU, jnp.ones(shape, dtype=bool))
    draws = np.asarray(distribution.sample(jax.random.key(1), (count,)))[:, 0]
    far = np.abs(draws) > scipy.stats.t(NU).ppf(0.975)
    expected = 0.05**2
    assert (far.all(axis=1)).mean() > expected + 5 * np.sqrt(expected / count)


def test_marginals_are_student_t():
    count = 20_000
    shape = (1, 3)
    persistence = jnp.array([[0.0, 0.8, 0.5]])
    distribution = CurveStudentT(jnp.zeros(shape), 2 * jnp.ones(shape), persistence, NU, jnp.ones(shape, dtype=bool))
    draws = np.asarray(distribution.sample(jax.random.key(2), (count,)))[:, 0]
    for step in range(3):
        assert scipy.stats.kstest(draws[:, step] / 2, scipy.stats.t(NU).cdf).pvalue > 1e-4


# Which parameters a table gives rise to


def table(sizes=4, steps=3, unique=np.inf, languages=("en",)):
    rows = [
        (f"{language}{size}", language, 1e8 * 2.0**size, 1e9 * 2.0**step, unique, 3.0 - 0.1 * step)
        for language in languages
        for size in range(sizes)
        for step in range(steps)
    ]
    return runs_from_frame(pd.DataFrame(rows, columns=["run", "language", "params", "tokens", "unique", "loss"]))


def sites(runs):
    data = arrange(runs, ["curves"])
    loss = jnp.asarray(data.loss)
    with handlers.trace() as trace, handlers.seed(rng_seed=0):
        observe(loss, data.curves, loss)
    return {name: site for name, site in trace.items() if site["type"] in ("sample", "deterministic")}


ALWAYS = {"sigma_location", "sigma", "log_loss"}


@pytest.mark.parametrize(
    ("runs", "more"),
    [
        (table(sizes=3, steps=1), set()),
        (table(sizes=3, steps=2), {"kappa_stage", "memory"}),
        (table(sizes=3, steps=3, unique=2e9), {"kappa_stage", "memory", "kappa_epochs"}),
        (table(sizes=3, steps=1, unique=5e8), {"kappa_epochs"}),
        (table(sizes=3, steps=1, unique=1e9), set()),
        (table(sizes=FULL_EFFECT, steps=1), {"size_effect", "size_effect_scale"}),
        (table(sizes=3, steps=1, languages=("en", "sw")), {"sigma_scale"}),
    ],
    ids=["plain", "checkpoints", "both", "repetition", "one epoch", "sizes", "languages"],
)
def test_parameters_are_those_the_table_speaks_to(runs, more):
    assert set(sites(runs)) == ALWAYS | more


def test_noise_changes_before_the_end_and_with_repetition():
    """In powers of the stage and of the epochs, these against what is typical of the language."""
    runs = table(sizes=3, steps=3, unique=2e9)
    found = sites(runs)
    sigma, kappa, epochs = (float(np.squeeze(found[n]["value"])) for n in ("sigma", "kappa_stage", "kappa_epochs"))
    beyond = np.array([0, 0, np.log(2)]) - np.log(2) / 3
    expected = sigma * np.array([4.0, 2.0, 1.0]) ** kappa * np.exp(epochs * beyond)
    np.testing.assert_allclose(found["log_loss"]["fn"].scale, np.tile(expected, (3, 1)), rtol=1e-9)


def test_sigma_is_the_noise_at_the_epochs_of_its_own_language():
    """A language that repeats its data throughout has no other noise than one that never does."""
    rows = [
        (f"{language}{size}", language, 1e8 * 2.0**size, tokens, unique, 3.0)
        for language, unique in (("en", 1e12), ("sw", 1e8))
        for size, tokens in enumerate((1e9, 2e9, 4e9))
    ]
    found = sites(
        runs_from_frame(pd.DataFrame(rows, columns=["run", "language", "params", "tokens", "unique", "loss"]))
    )
    scale = np.log(np.asarray(found["log_loss"]["fn"].scale)[:, 0])
    np.testing.assert_allclose([scale[:3].mean(), scale[3:].mean()], np.log(found["sigma"]["value"]), rtol=1e-9)


@pytest.mark.parametrize("name", ["kappa_stage", "kappa_epochs"])
def test_noise_may_fall_as_well_as_grow(name):
    prior = sites(table(sizes=3, steps=3, unique=2e9))[name]["fn"]
    assert (prior.mean, prior.variance) == (0, 0.25)


def test_runs_of_one_size_share_their_effect():
    runs = table(sizes=FULL_EFFECT, steps=2, languages=("en", "sw"))
    found = sites(runs)
    data = arrange(runs, ["curves"])
    excess = np.asarray(found["log_loss"]["fn"].loc) - np.log(data.loss)
    effect = found["size_effect"]["value"]
    np.testing.assert_allclose(excess[:FULL_EFFECT], np.repeat(effect[:, None], 2, axis=1), atol=1e-12)
    np.testing.assert_allclose(excess[FULL_EFFECT:], excess[:FULL_EFFECT], atol=1e-12)
    assert [frame.name for frame in found["size_effect"]["cond_indep_stack"]] == ["size"]


def test_the_spread_of_size_effects_is_about_half_the_noise():
    found = sites(table(sizes=FULL_EFFECT, languages=("en", "sw")))
    noise = np.exp(np.log(found["sigma"]["value"]).mean())
    assert found["size_effect_scale"]["fn"].icdf(0.5) == pytest.approx(SIZE_EFFECT * noise)


def test_a_prediction_is_a_draw_of_the_same_distribution():
    data = arrange(table(), ["curves"])
    expected = jnp.asarray(data.loss)
    with handlers.trace() as trace, handlers.seed(rng_seed=0):
        predicted = observe(expected, data.curves, None)
    assert not trace["log_loss"]["is_observed"]
    assert predicted.shape == expected.shape
    assert np.isfinite(predicted).all()
