"""From K to r K languages at equal loss."""

import dataclasses

import numpy as np
import pytest

from bayes_atlas.decisions.expand import expand, frontier
from bayes_atlas.errors import InputError
from bayes_atlas.laws import capacity, chinchilla

START = {"params": 2e9, "tokens": 4e11, "languages": 8.0}
FACTORS = ("params_factor", "tokens_factor", "tokens_per_language_factor", "compute_factor")


@pytest.fixture
def posterior(of_law):
    return of_law("capacity")


def loss(posterior, params, tokens, languages, language="sw"):
    """The law in plain counts; draw last."""
    drawn, unit = posterior.parameters(language), posterior.info.references[language]
    return capacity.loss(params / unit["params"], tokens / languages / unit["tokens"], languages, **drawn)


def test_closed_form(posterior):
    drawn, growth = posterior.parameters("sw"), expand(posterior, factor=4, language="sw")
    np.testing.assert_allclose(growth.params_factor, 4 ** (drawn["phi"] / drawn["alpha"]))
    np.testing.assert_allclose(growth.tokens_per_language_factor, 4 ** (drawn["psi"] / drawn["beta"]))
    np.testing.assert_allclose(growth.tokens_factor, 4 * growth.tokens_per_language_factor)
    np.testing.assert_allclose(growth.compute_factor, growth.params_factor * growth.tokens_factor)


@pytest.mark.parametrize("factor", [1.0, 2.0, 16.0])
def test_growth_from_any_start_keeps_the_loss_and_nothing_is_cheaper(posterior, factor):
    growth = expand(posterior, factor=factor, language="sw", **START)
    before = loss(posterior, **START)
    after = loss(
        posterior,
        START["params"] * growth.params_factor,
        START["tokens"] * growth.tokens_factor,
        START["languages"] * factor,
    )
    np.testing.assert_allclose(after, before, rtol=1e-9)
    others = frontier(posterior, factor=factor, language="sw", **START, params_factors=np.geomspace(1e-3, 1e3, 501))
    assert (growth.compute_factor <= others.compute_factor.min(axis=1) * (1 + 1e-9)).all()
    assert growth.notes == []


def test_every_point_of_a_frontier_keeps_the_loss(posterior):
    found = frontier(posterior, factor=4, language="sw", **START)
    before = loss(posterior, **START)
    for index in range(0, len(found.params_factor), 8):
        tokens = found.tokens_factor[:, index]
        feasible = np.isfinite(tokens)
        after = loss(posterior, START["params"] * found.params_factor[index], START["tokens"] * tokens, 32.0)
        np.testing.assert_allclose(after[feasible], before[feasible], rtol=1e-9)
        more = loss(posterior, START["params"] * found.params_factor[index], 1e30, 32.0)
        assert (more > before)[~feasible].all()


def test_infeasible_sizes_are_marked(posterior):
    found = frontier(posterior, factor=4, language="sw", params_factors=np.array([1e-6, 1.5, 1e6]))
    assert found.infeasible[0] == 1
    assert 0 < found.infeasible[1] < 1
    assert found.infeasible[2] == 0
    first, _, last = found.summary(0.8)
    assert first["tokens_factor"] == {"median": None, "lower": None, "upper": None, "probability": 0.8}
    assert last["tokens_factor"]["lower"] <= last["tokens_factor"]["median"] <= last["tokens_factor"]["upper"]
    assert last["params_factor"] == 1e6


def test_without_a_language_it_is_a_typical_one(posterior):
    typical = expand(posterior, factor=4)
    drawn = [posterior.parameters(name) for name in posterior.info.languages]
    mean = {name: np.mean([draws[name] for draws in drawn], axis=0) for name in ("alpha", "beta", "phi", "psi")}
    assert typical.language == "sw, en, fr"
    for found, expected in zip(typical.quantities.values(), capacity.expansion(4, **mean), strict=True):
        np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("start", [{}, START], ids=["optimal", "given"])
@pytest.mark.parametrize("language", [None, "sw"])
def test_the_cheapest_growth_lies_on_its_frontier(of_law, start, language):
    posterior = of_law("capacity", draws=1)
    growth = expand(posterior, factor=4, language=language, **start)
    at_it = frontier(posterior, factor=4, language=language, params_factors=growth.params_factor, **start)
    np.testing.assert_allclose(at_it.tokens_factor[:, 0], growth.tokens_factor)


def test_a_compute_optimal_start_is_no_other_than_none(posterior):
    """Where the start is optimal for a draw, so is the growth."""
    drawn, unit = posterior.parameters("sw"), posterior.info.references["sw"]
    of_one = {name: values[0] for name, values in drawn.items()}
    params, tokens = chinchilla.optimum(
        1.0,
        A=of_one["A"] * 8 ** of_one["phi"],
        B=of_one["B"] * 8 ** of_one["psi"],
        alpha=of_one["alpha"],
        beta=of_one["beta"],
    )
    start = {"params": params * unit["params"], "tokens": 8 * tokens * unit["tokens"], "languages": 8.0}
    from_it, from_none = (expand(posterior, factor=4, language="sw", **given) for given in (start, {}))
    for name in FACTORS:
        assert getattr(from_it, name)[0] == pytest.approx(getattr(from_none, name)[0], rel=1e-6)


def test_summary_of_every_factor(posterior):
    summary = expand(posterior, factor=2, language="sw").summary(0.5)
    assert set(summary) == set(FACTORS)
    assert summary["params_factor"]["probability"] == 0.5


def test_growth_beyond_the_runs_is_noted(posterior):
    ranges = posterior.info.runs.ranges | {"compute": (1e17, 1e18)}
    info = posterior.info.model_copy(update={"runs": posterior.info.runs.model_copy(update={"ranges": ranges})})
    (note,) = expand(dataclasses.replace(posterior, info=info), factor=2, language="sw", **START).notes
    assert "training compute 5,284 times the largest of its runs" in note


MISTAKES = {
    "factor": ({"factor": 0}, "factor is 0; it must be a positive number, such as 2"),
    "language": ({"factor": 2, "language": "yo"}, "has no language 'yo'; choose one of: sw, en, fr"),
    "start": ({"factor": 2, "params": 1e9}, "the run to grow from lacks tokens, languages; give params, tokens and"),
    "size": ({"factor": 2, "params": -1}, "params is -1; it must be a positive number"),
}


@pytest.mark.parametrize(("arguments", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes(posterior, arguments, message):
    with pytest.raises(InputError) as caught:
        expand(posterior, **arguments)
    assert message in str(caught.value)


def test_other_mistakes(posterior, of_law):
    with pytest.raises(InputError, match="fits the law 'chinchilla', which does not include the number of languages"):
        expand(of_law("chinchilla", draws=2), factor=2)
    with pytest.raises(InputError, match=r"factor on size is 0\.0; it must be a positive number"):
        frontier(posterior, factor=2, params_factors=np.array([0.0]))


@pytest.mark.parametrize("start", [{}, START], ids=["optimal", "given"])
def test_a_growth_keeps_what_every_decision_promises(posterior, keeps_its_promises, start):
    mine = dataclasses.replace(posterior, name="<mine>")
    found = frontier(mine, factor=4, **start)
    along = ("draw", "size")
    keeps_its_promises(found.expansion, dict.fromkeys(FACTORS, ("draw",)))
    keeps_its_promises(found, {"tokens_factor": along, "compute_factor": along})
    np.testing.assert_array_equal(found.draws["size"], found.params_factor)
    assert found.draws["size"].attrs == {"long_name": "factor on the number of parameters", "units": "1"}
    document = found.to_dict(0.8)
    assert document == found.expansion.to_dict(0.8) | {"frontier": found.summary(0.8)}
    assert document["start"] == (start or None)
    assert (document["posterior"], document["factor"]) == ("<mine>", 4)


def test_the_largest_size_that_is_too_small(posterior):
    found = frontier(posterior, factor=4, language="sw", params_factors=np.array([1e-6, 1e6]))
    assert found.too_small == 1e-6
    assert frontier(posterior, factor=4, language="sw", params_factors=np.array([1e6])).too_small is None
