"""Best plans of trainings with mixtures, limits and other costs: closed forms, first-order conditions, grids."""

import numpy as np
import pytest

from bayes_atlas.decisions.optimum import optimum
from bayes_atlas.decisions.problem import Problem, problem
from bayes_atlas.errors import InputError
from bayes_atlas.laws import atlas

UNIQUE = {"en": 1e12, "sw": 1e9, "fr": 2e10}
MIXTURE = {"weights": {"sw": 3.0, "en": 1.0}, "shares": {"en": 0.5, "sw": 0.1, "fr": 0.2, "other": 0.2}}
SCENARIOS = {
    "one language": {"language": "sw"},
    "few tokens": {"language": "sw", "unique": 1e9},
    "served": {"language": "sw", "unique": 1e9, "served": 3e12},
    "mixture": MIXTURE,
    "mixture with few tokens": MIXTURE | {"unique": UNIQUE, "served": 1e11},
}
every_scenario = pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=list(SCENARIOS))
every_law = pytest.mark.parametrize("law", ["chinchilla", "data_constrained", "atlas"])


def six(params, tokens):
    return 6 * params * tokens


def along(plan: Problem, compute, tokens):
    """Loss of plans of the budget, without their limits; draw last."""
    return plan.loss(plan.cost.params(tokens, compute), tokens)


# Closed forms


@every_law
@pytest.mark.parametrize("compute", [1e18, 1e21, 1e25])
def test_numeric_optima_equal_the_closed_form(of_law, law, compute):
    """With the same cost as a function, which has no closed form: 1,000 draws."""
    closed = optimum(of_law(law), compute=compute, language="sw")
    numeric = optimum(of_law(law), compute=compute, language="sw", flops=six)
    np.testing.assert_allclose(numeric.params, closed.params, rtol=1e-6)
    np.testing.assert_allclose(numeric.tokens, closed.tokens, rtol=1e-6)


@pytest.mark.parametrize("law", ["chinchilla", "data_constrained"])
def test_a_language_in_a_mixture_without_transfer_is_one_with_less_budget(of_law, law):
    shared = optimum(of_law(law), compute=1e22, language="sw", shares={"sw": 0.25, "en": 0.75})
    alone = optimum(of_law(law), compute=0.25e22, language="sw")
    np.testing.assert_allclose(shared.params, alone.params, rtol=1e-6)
    np.testing.assert_allclose(shared.tokens / 4, alone.tokens, rtol=1e-6)


def test_transfer_counts_as_the_law_says(of_law):
    posterior = of_law("atlas")
    plan = problem(
        posterior, language="sw", shares={"sw": 0.5, "fr": 0.2, "en": 0.2, "other": 0.1}, unique={"fr": 1e10}
    )
    drawn, unit = posterior.parameters("sw"), posterior.info.references["sw"]
    by_hand = atlas.loss(
        3e9 / unit["params"],
        1e11 * 0.5 / unit["tokens"],
        None,
        source_tokens=1e11 * np.array([0.2, 0.2]) / unit["tokens"],  # en, fr: the order of the posterior's sources
        source_unique=np.array([np.inf, 1e10]) / unit["tokens"],
        other_tokens=1e10 / unit["tokens"],
        **drawn,
    )
    np.testing.assert_allclose(plan.loss(3e9, 1e11), by_hand, rtol=1e-12)


def test_the_loss_of_several_languages_is_their_weighted_mean(of_law):
    plan = problem(of_law("atlas"), **MIXTURE)
    losses = plan.losses(3e9, 1e11)
    np.testing.assert_allclose(plan.loss(3e9, 1e11), 0.75 * losses["sw"] + 0.25 * losses["en"], rtol=1e-12)


# First-order conditions, and no better plan


@every_law
@every_scenario
@pytest.mark.parametrize("compute", [1e19, 1e22, 1e25])
def test_first_order_condition(of_law, law, scenario, compute):
    plan = optimum(of_law(law), compute=compute, **scenario)
    asked, step = plan.problem, 1e-6
    inside = plan.tokens < asked.most_tokens * (1 - 1e-6)
    less, more = (along(asked, compute, plan.tokens * np.exp(move)) for move in (-step, step))
    # From either side: the usable parameters of data_constrained have a kink where a source begins to repeat.
    assert ((plan.loss - less) / step <= 1e-6 * plan.loss).all()
    assert ((more - plan.loss) / step >= -1e-6 * plan.loss)[inside].all()  # data that stop at one epoch may end before


@every_law
@every_scenario
@pytest.mark.parametrize("limits", [{}, {"max_params": 3e9}, {"max_tokens": 1e11}, {"max_params": 3e8}], ids=str)
def test_no_plan_of_a_grid_is_better(of_law, law, scenario, limits):
    plan = optimum(of_law(law, draws=50), compute=1e22, **scenario, **limits)
    asked = plan.problem
    tokens = np.geomspace(1e7, min(asked.most_tokens, 1e16), 3001)[:, None]
    losses = asked.loss(asked.size(tokens, 1e22), tokens)
    assert (plan.loss <= losses.min(axis=0) * (1 + 1e-9)).all()
    assert (plan.params <= asked.max_params * (1 + 1e-9)).all()
    assert (plan.tokens <= asked.max_tokens * (1 + 1e-9)).all()
    assert (asked.cost.total(plan.params, plan.tokens) <= 1e22 * (1 + 1e-9)).all()


def test_serving_makes_models_smaller(of_law):
    plain, served = (optimum(of_law("atlas"), compute=1e22, language="sw", served=s) for s in (None, 1e12))
    assert (served.params < plain.params).all()
    assert (served.loss > plain.loss).all()
    np.testing.assert_allclose(served.problem.cost.total(served.params, served.tokens), 1e22, rtol=1e-9)


def test_a_limit_that_does_not_bind_changes_nothing(of_law):
    free = optimum(of_law("atlas"), compute=1e22, language="sw")
    limited = optimum(of_law("atlas"), compute=1e22, language="sw", max_params=1e20, max_tokens=1e30)
    np.testing.assert_array_equal(limited.params, free.params)
    np.testing.assert_array_equal(limited.tokens, free.tokens)


def test_a_budget_that_cannot_be_spent_is_noted(of_law):
    plan = optimum(of_law("atlas"), compute=1e22, language="sw", max_params=1e9, max_tokens=1e10)
    np.testing.assert_allclose(plan.params, 1e9)
    np.testing.assert_allclose(plan.tokens, 1e10)
    assert plan.notes == [
        "in 100% of the draws the limits on size and data leave part of the budget unspent: a smaller budget gives the"
        " same plan"
    ]


def test_sources_the_posterior_does_not_know_are_noted(of_law):
    shares = {"sw": 0.5, "other": 0.5}
    (note,) = optimum(of_law("data_constrained"), compute=1e22, language="sw", shares=shares).notes
    assert note.startswith("the posterior has no estimate of transfer from other to the weighted languages")
    assert optimum(of_law("atlas"), compute=1e22, language="sw", shares=shares).notes == []


def test_epochs_are_of_what_repeats_most(of_law):
    plan = optimum(of_law("atlas"), compute=1e23, **MIXTURE, unique=UNIQUE)
    np.testing.assert_allclose(plan.epochs, np.maximum(plan.tokens * 0.1 / 1e9, 1))


def test_even_sampling_unless_told(of_law):
    assert problem(of_law("atlas"), weights={"sw": 3, "en": 1}).shares == {"sw": 0.5, "en": 0.5}


# Errors

MISTAKES = {
    "both": ({"language": "sw", "weights": {"en": 1}}, "both the language sw and weights were given; leave one out"),
    "none": ({"weights": {}}, "weights is empty; give a weight to at least one of: sw, en, fr"),
    "unknown": ({"weights": {"yo": 1}}, "has no language 'yo'; choose one of: sw, en, fr"),
    "weight": ({"weights": {"sw": 0}}, "weight of sw is 0; it must be a positive number, such as 1"),
    "share": ({"language": "sw", "shares": {"sw": -1}}, "share of sw is -1; it must be a positive number, such as 0.5"),
    "typo": ({"language": "sw", "shares": {"sw": 0.5, "enn": 0.5}}, "has no source 'enn'; did you mean 'en'?"),
    "source": ({"language": "sw", "shares": {"sw": 0.5, "yo": 0.5}}, "call data of any other source 'other'"),
    "sum": ({"language": "sw", "shares": {"sw": 0.5, "en": 1}}, "the shares sum to 1.5, and shares of the"),
    "per cent": ({"language": "sw", "shares": {"sw": 40, "en": 60}}, "sum to 1; give per cent as fractions, such as"),
    "unsampled": ({"language": "sw", "shares": {"en": 1}}, "the loss of sw counts but it has no share of the tokens"),
    "number": ({"weights": {"sw": 1, "en": 1}, "unique": 1e9}, "unique is 1e+09 for several languages; give it for"),
    "unmixed": ({"language": "sw", "unique": {"en": 1e9}}, "unique tokens are given for 'en', which is not sampled"),
    "size": ({"language": "sw", "max_params": 0}, "max_params is 0; it must be a positive number, such as 8e9"),
    "data": ({"language": "sw", "max_tokens": -1}, "max_tokens is -1; it must be a positive number, such as 1e12"),
}  # fmt: skip


@pytest.mark.parametrize(("request_", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes(of_law, request_, message):
    with pytest.raises(InputError) as caught:
        problem(of_law("atlas", draws=3), **request_)
    assert message in str(caught.value)


def test_configurations_share_their_tokens(of_law):
    posterior = of_law("atlas", draws=3)
    names = ["sw:a", "sw:b", "fr"]
    info = posterior.info.model_copy(
        update={"languages": names, "references": dict.fromkeys(names, posterior.info.references["sw"])}
    )
    tree = posterior.draws.map_over_datasets(lambda d: d.assign_coords(language=names) if "language" in d.dims else d)
    labelled = type(posterior)(tree, info, "labelled")
    assert problem(labelled, language="sw:b").shares == {"sw": 1.0}
    with pytest.raises(InputError, match="several weighted languages are trained on the tokens of sw"):
        problem(labelled, weights={"sw:a": 1, "sw:b": 1})


@pytest.mark.parametrize("seed", range(5))
def test_languages_that_interfere_while_data_repeat(of_law, seed):
    """There the loss along a budget line may fall twice."""
    rng = np.random.default_rng(seed)
    tau = {"tau": rng.uniform(-0.2, 0.3, (50, 3, 2)), "tau_other": rng.uniform(-0.05, 0.05, (50, 3))}
    unique = {name: 10 ** rng.uniform(8, 12) for name in ("sw", "en", "fr")}
    plan = optimum(of_law("atlas", draws=50, **tau), compute=1e22, **MIXTURE | {"unique": unique})
    tokens = np.geomspace(1e6, 1e16, 4001)[:, None]
    best = plan.problem.loss(plan.problem.size(tokens, 1e22), tokens).min(axis=0)
    assert (plan.loss <= best * (1 + 1e-7)).all()
