import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_atlas.laws import _repetition as repetition
from bayes_atlas.laws import atlas, chinchilla, data_constrained

THETA = {"E": 0.83, "A": 20130.0, "B": 469800.0, "alpha": 0.63, "beta": 0.63, "lam": 0.2}

counts = st.floats(1e7, 1e12)
decay = st.floats(0.0, 2.0)


@given(tokens=counts, unique=counts, lam=decay)
def test_without_sources_effective_tokens_are_the_own_ones(tokens, unique, lam):
    own = repetition.effective_tokens(tokens, unique, lam)
    assert atlas.effective_tokens(tokens, unique, lam=lam) == pytest.approx(own, rel=1e-12)


@given(tokens=counts, others=st.tuples(counts, counts, counts), uniques=st.tuples(counts, counts, counts), lam=decay)
def test_effective_tokens_are_the_printed_sum(tokens, others, uniques, lam):
    tau, tau_other = np.array([0.3, 0.05]), 0.02
    worth = [repetition.effective_tokens(source, unique, lam) for source, unique in zip(others, uniques, strict=True)]
    printed = tokens + tau[0] * worth[0] + tau[1] * worth[1] + tau_other * worth[2]
    effective = atlas.effective_tokens(
        tokens,
        np.inf,
        lam=lam,
        tau=tau,
        tau_other=tau_other,
        source_tokens=np.array(others[:2]),
        source_unique=np.array(uniques[:2]),
        other_tokens=others[2],
        other_unique=uniques[2],
    )
    assert effective == pytest.approx(printed, rel=1e-12)


@given(params=st.floats(1e7, 1e10), tokens=counts)
def test_never_repeating_alone_it_is_chinchilla(params, tokens):
    plain = {name: THETA[name] for name in chinchilla.PARAMETERS}
    assert atlas.loss(params, tokens, np.inf, **THETA) == pytest.approx(chinchilla.loss(params, tokens, **plain))


@given(tokens=counts, unique=counts)
def test_its_decay_is_the_reciprocal_of_muennighoffs(tokens, unique):
    # With a model no larger than the data can use, parameters do not decay and the laws coincide.
    theta = {name: THETA[name] for name in chinchilla.PARAMETERS}
    usable = data_constrained.usable_params(
        min(unique, tokens), **{name: value for name, value in theta.items() if name != "E"}
    )
    theirs = data_constrained.loss(usable / 2, tokens, unique, **theta, R_D=1 / THETA["lam"], R_N=5.3)
    assert atlas.loss(usable / 2, tokens, unique, **THETA) == pytest.approx(theirs)


@given(tokens=counts, source=st.floats(0.0, 1e15), tau=st.floats(-1.0, 0.0))
def test_interference_never_makes_data_negative(tokens, source, tau):
    effective = atlas.effective_tokens(tokens, np.inf, lam=0.2, tau_other=tau, other_tokens=source)
    assert 0 < effective <= tokens


@settings(max_examples=20)
@given(tokens=counts, tau=st.floats(-1.0, -1e-3))
def test_the_guard_is_continuously_differentiable(tokens, tau):
    def effective(source):
        return atlas.effective_tokens(tokens, jnp.inf, lam=0.2, tau_other=tau, other_tokens=source)

    edge = (1 - atlas.GUARD) * tokens / -tau
    assert effective(edge) == pytest.approx(atlas.GUARD * tokens, rel=1e-9)
    slopes = [jax.grad(effective)(edge * side) for side in (1 - 1e-9, 1 + 1e-9)]
    np.testing.assert_allclose(slopes, tau, rtol=1e-6)


@given(tokens=counts, tau=st.floats(-1.0, -1e-3), share=st.floats(0.0, 5.0), more=st.floats(1.01, 5.0))
def test_beyond_the_guard_more_interference_is_still_worse_and_own_data_better(tokens, tau, share, more):
    source = (share + 1) * tokens / -tau

    def effective(own, other):
        return atlas.effective_tokens(own, np.inf, lam=0.2, tau_other=tau, other_tokens=other)

    assert effective(tokens, source * more) < effective(tokens, source) < effective(tokens * more, source)


def test_the_guard_leaves_everything_above_it_alone():
    ratio = np.linspace(atlas.GUARD, 5.0, 50)
    effective = atlas.effective_tokens(1.0, np.inf, lam=0.2, tau_other=ratio - 1, other_tokens=1.0)
    np.testing.assert_allclose(effective, ratio, rtol=1e-12)


@settings(max_examples=20)
@given(own=st.floats(0.2, 50.0), tau=st.floats(-0.5, 0.5), lam=st.floats(0.0, 1.0))
def test_gradients_are_finite_on_both_sides_of_the_guard(own, tau, lam):
    def effective(tokens, lam, tau):
        return atlas.effective_tokens(
            tokens,
            jnp.inf,
            lam=lam,
            tau=tau,
            tau_other=-0.01,
            source_tokens=jnp.array([0.0, 20.0, 3.0]),
            source_unique=jnp.array([jnp.inf, 2.0, 10.0]),
            other_tokens=0.0,
        )

    gradients = jax.grad(effective, argnums=(0, 1, 2))(own, lam, jnp.full(3, tau))
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_sources_are_on_the_last_axis_and_all_else_broadcasts():
    rows, sources, draws = 4, 3, 5
    effective = atlas.effective_tokens(
        np.full(rows, 1e9),
        np.inf,
        lam=np.full((draws, 1), 0.2),
        tau=np.full((draws, 1, sources), 0.1),
        tau_other=np.full((draws, 1), 0.01),
        source_tokens=np.full((rows, sources), 1e9),
        other_tokens=np.full(rows, 1e10),
    )
    assert effective.shape == (draws, rows)
    np.testing.assert_allclose(effective, 1e9 * (1 + 3 * 0.1 + 10 * 0.01))


@given(bts=st.floats(-3.0, 1.9))
def test_score_to_worth_and_back(bts):
    assert atlas.bts_from_tau(atlas.tau_from_bts(bts)) == pytest.approx(bts, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("bts", "tau"), [(0.0, 0.0), (0.5, 1 / 3), (1.0, 1.0), (-0.5, -0.2), (-1.4, -0.412)])
def test_worth_that_a_score_means(bts, tau):
    assert atlas.tau_from_bts(bts) == pytest.approx(tau, abs=5e-4)


@given(tau=st.floats(-0.5, 1.0), alone=st.floats(1e9, 1e11))
def test_score_is_what_a_bilingual_run_would_show(tau, alone):
    # BTS = 2 - D_bi / d_mono, D_bi being the total tokens of a 50/50 run that reach the monolingual loss.
    total = alone * (2 - atlas.bts_from_tau(tau))
    effective = atlas.effective_tokens(total / 2, np.inf, lam=0.2, tau_other=tau, other_tokens=total / 2)
    assert effective == pytest.approx(alone, rel=1e-9)


def test_unique_tokens_that_are_not_given_are_endless():
    given = {"lam": 0.2, "tau": np.array([0.1, 0.2]), "tau_other": 0.1, "other_tokens": 4e9}
    tokens, sources = np.array([1e9, 5e9]), np.array([[1e9, 2e9], [0.0, 3e9]])
    endless = atlas.effective_tokens(
        tokens, np.inf, source_tokens=sources, source_unique=np.inf, other_unique=np.inf, **given
    )
    np.testing.assert_array_equal(atlas.effective_tokens(tokens, None, source_tokens=sources, **given), endless)


def test_optimum_is_chinchillas_where_nothing_repeats():
    assert atlas.optimum is chinchilla.optimum
