"""What every law must do, whatever its form."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from inspect import signature
from pathlib import Path
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from bayes_atlas import laws
from bayes_atlas.laws import (
    atlas,
    capacity,
    chinchilla,
    crossover_rule,
    data_constrained,
    family_share,
    get_law,
    law_names,
)

PARAMS_REFERENCE, TOKENS_REFERENCE = 1e9, 2e10
ROUNDING = 1e-12

sizes = st.floats(5e6, 2e10)
data = st.floats(1e8, 5e12)
exponents = st.floats(0.1, 0.8)
losses = st.floats(0.05, 3.0)


@st.composite
def chinchilla_parameters(draw: DrawFn, /, **more: SearchStrategy[Any]) -> dict[str, float]:
    """Parameters in raw units whose terms are of order one at the reference sizes."""
    alpha, beta = draw(exponents), draw(exponents)
    return {
        "E": draw(st.floats(0.0, 3.0)),
        "A": draw(losses) * PARAMS_REFERENCE**alpha,
        "B": draw(losses) * TOKENS_REFERENCE**beta,
        "alpha": alpha,
        "beta": beta,
        **{name: draw(values) for name, values in more.items()},
    }


@dataclass(frozen=True, eq=False)
class Case:
    """How to call a law with sizes and data alone; `per_token` marks the covariates that are counts of tokens."""

    loss: Callable[..., Any]
    parameters: SearchStrategy[dict[str, float]]
    covariates: dict[str, Any]
    per_token: frozenset[str] = frozenset()
    strict_in_params: bool = True

    def __call__(self, params: Any, tokens: Any, theta: dict[str, float], scale: float = 1.0) -> Any:
        covariates = {
            name: value / scale if name in self.per_token else value for name, value in self.covariates.items()
        }
        return self.loss(params, tokens, **covariates, **theta)


decay = {"lam": st.floats(0.01, 1.0)}
transfer = {"tau": st.tuples(*[st.floats(-0.2, 0.5)] * 2).map(np.array), "tau_other": st.floats(0.0, 0.1)}
atlas_sources = {
    "source_tokens": np.array([3e9, 5e10]),
    "source_unique": np.array([1e9, 1e12]),
    "other_tokens": 4e10,
    "other_unique": 2e10,
}
CASES = {
    "chinchilla": Case(chinchilla.loss, chinchilla_parameters(), {}),
    "data_constrained": Case(
        data_constrained.loss,
        chinchilla_parameters(R_D=st.floats(1.0, 50.0), R_N=st.floats(1.0, 50.0)),
        {"unique": 1e11},
        frozenset({"unique"}),
        strict_in_params=False,  # the value of excess parameters saturates
    ),
    "atlas_own_data_only": Case(atlas.loss, chinchilla_parameters(**decay), {"unique": 1e12}, frozenset({"unique"})),
    "atlas": Case(
        atlas.loss,
        chinchilla_parameters(**decay, **transfer),
        {"unique": 1e12, **atlas_sources},
        frozenset({"unique", *atlas_sources}),
    ),
    "capacity": Case(
        capacity.loss,
        chinchilla_parameters(phi=st.floats(0.0, 0.3), psi=st.floats(-0.2, 0.1)),
        {"languages": 8.0},
    ),
    "family_share": Case(family_share.loss, chinchilla_parameters(gamma=st.floats(0.0, 0.3)), {"share": 0.3}),
}
every_law = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
factors = st.floats(1.01, 1e3)


@every_law
@given(draw=st.data(), params=sizes, tokens=data, factor=factors)
def test_loss_falls_in_params(case, draw, params, tokens, factor):
    theta = draw.draw(case.parameters)
    small, large = case(params, tokens, theta), case(params * factor, tokens, theta)
    assert large < small if case.strict_in_params else large <= small * (1 + ROUNDING)


@every_law
@given(draw=st.data(), params=sizes, tokens=data, factor=factors)
def test_loss_falls_in_tokens(case, draw, params, tokens, factor):
    theta = draw.draw(case.parameters)
    few, many = case(params, tokens, theta), case(params, tokens * factor, theta)
    assert many <= few * (1 + ROUNDING)
    if tokens * factor < case.covariates.get("unique", np.inf):
        assert many < few


@pytest.mark.parametrize("name", ["chinchilla", "atlas_own_data_only", "atlas", "capacity"])
@given(draw=st.data())
def test_loss_tends_to_its_floor(name, draw):
    theta = draw.draw(CASES[name].parameters)
    endless = {"unique": np.inf} if "unique" in CASES[name].covariates else {}
    case = replace(CASES[name], covariates=CASES[name].covariates | endless)
    assert case(1e60, 1e60, theta) == pytest.approx(theta["E"], rel=1e-4, abs=1e-4)


@given(draw=st.data(), share=st.floats(0.01, 1.0))
def test_family_share_tends_to_its_floor_for_that_share(draw, share):
    theta = draw.draw(CASES["family_share"].parameters)
    floor = theta["E"] * share ** -theta["gamma"]
    assert family_share.loss(1e60, 1e60, share, **theta) == pytest.approx(floor, rel=1e-4, abs=1e-4)


@every_law
@given(draw=st.data(), params=sizes, tokens=data, params_unit=st.floats(1e-3, 1e10), tokens_unit=st.floats(1e-3, 1e12))
def test_a_change_of_units_changes_only_A_and_B(case, draw, params, tokens, params_unit, tokens_unit):
    theta = draw.draw(case.parameters)
    scaled = theta | {
        "A": theta["A"] * params_unit ** -theta["alpha"],
        "B": theta["B"] * tokens_unit ** -theta["beta"],
    }
    there = case(params / params_unit, tokens / tokens_unit, scaled, scale=tokens_unit)
    assert there == pytest.approx(case(params, tokens, theta), rel=1e-10)


@cache
def compiled(case: Case) -> Callable[..., Any]:
    in_jax = replace(case, covariates=jax.tree.map(jnp.asarray, case.covariates))
    return jax.jit(lambda params, tokens, theta: in_jax(params, tokens, theta))


@every_law
@settings(max_examples=30)
@given(draw=st.data())
def test_numpy_and_jax_agree(case, draw):
    theta = draw.draw(case.parameters)
    params, tokens = np.geomspace(5e6, 2e10, 4)[:, None], np.geomspace(1e8, 5e12, 5)
    ours = case(params, tokens, theta)
    theirs = compiled(case)(jnp.asarray(params), jnp.asarray(tokens), jax.tree.map(jnp.asarray, theta))
    assert isinstance(ours, np.ndarray)
    assert theirs.dtype == jnp.float64
    np.testing.assert_allclose(theirs, ours, rtol=1e-11)


@every_law
def test_plain_numbers_give_a_number_and_arrays_broadcast(case):
    theta: dict[str, Any] = {"E": 1.0, "A": 400.0, "B": 4000.0, "alpha": 0.35, "beta": 0.4}
    more: dict[str, Any] = {
        "lam": 0.2,
        "R_D": 15.0,
        "R_N": 5.0,
        "phi": 0.11,
        "psi": -0.04,
        "gamma": 0.1,
        "tau": np.array([0.1, -0.05]),
        "tau_other": 0.02,
    }
    law = get_law(case.loss.__module__.rpartition(".")[2])
    theta |= {name: value for name, value in more.items() if name in law.PARAMETERS}
    if "source_tokens" not in case.covariates:
        theta = {name: value for name, value in theta.items() if not name.startswith("tau")}
    grid = case(np.geomspace(1e7, 1e10, 3)[:, None], np.geomspace(1e9, 1e12, 4), theta)
    assert grid.shape == (3, 4)
    assert float(case(1e7, 1e9, theta)) == pytest.approx(grid[0, 0])


def test_law_names_lists_the_public_modules_of_the_room_and_each_declares_what_it_asks():
    room = Path(laws.__file__).parent
    assert law_names() == sorted(path.stem for path in room.glob("*.py") if not path.name.startswith("_"))
    assert "repetition" not in law_names()
    assert set(law_names()) >= {"atlas", "capacity", "chinchilla", "crossover", "crossover_rule", "data_constrained"}
    assert all(isinstance(get_law(name).COVARIATES, tuple) for name in law_names())


@pytest.mark.parametrize("name", law_names())
def test_every_law_is_found_by_name_and_says_what_its_parameters_mean(name):
    law = get_law(name)
    assert law.__name__ == f"bayes_atlas.laws.{name}"
    assert law.PARAMETERS
    assert all(isinstance(meaning, str) and meaning for meaning in law.PARAMETERS.values())
    assert law.__doc__ is not None
    assert "arXiv" in law.__doc__


@pytest.mark.parametrize("name", ["kaplan", "_arrays", "../atlas", "atlas.loss", ""])
def test_unknown_law_names_those_there_are(name):
    with pytest.raises(ValueError, match=r"no law is called .*; choose one of: atlas, bilingual, capacity, .*transfer"):
        get_law(name)


def keywords_of(function):
    """Names of the arguments that a function takes by name, those behind an Unpack included."""
    arguments = signature(function).parameters.values()
    unpacked = [get_args(argument.annotation)[0] for argument in arguments if argument.kind is argument.VAR_KEYWORD]
    spelled = {argument.name for argument in arguments if argument.kind is argument.KEYWORD_ONLY}
    return spelled.union(*(names.__annotations__ for names in unpacked))


def test_the_loss_of_a_law_takes_its_parameters_by_name():
    for law in (atlas, capacity, chinchilla, data_constrained, family_share):
        assert set(law.PARAMETERS) <= keywords_of(law.loss), law.__name__
    assert not hasattr(crossover_rule, "loss")
