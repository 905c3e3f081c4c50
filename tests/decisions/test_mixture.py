"""The mixture of least expected loss: closed form, grid, gradient, limits, baselines."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_atlas.decisions import mixture as module
from bayes_atlas.decisions.mixture import mixture, unimax
from bayes_atlas.decisions.problem import problem
from bayes_atlas.errors import InputError

UNIQUE = {"sw": 2e9, "en": 3e12, "fr": 4e11}
REQUESTS = {
    "plain": {},
    "few tokens": {"unique": UNIQUE},
    "epochs": {"unique": UNIQUE, "max_epochs": 2.0},
    "bounds": {"unique": UNIQUE, "bounds": {"en": (0.3, 0.5), "fr": (0.0, 0.2)}},
    "served": {"weights": {"sw": 3.0, "en": 1.0}, "bounds": {"fr": (0.0, 1.0)}, "served": 1e12},
    "limits": {"unique": UNIQUE, "max_params": 3e9, "max_tokens": 2e12},
    "small limits": {"unique": UNIQUE, "max_params": 1e9, "max_tokens": 1e10},
}
every_request = pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
every_law = pytest.mark.parametrize("law", ["chinchilla", "data_constrained", "atlas"])


def close_draws(of_law, law, draws=40):
    """A posterior about as narrow as a fit's."""
    posterior = of_law(law, draws=draws)
    sites = {
        name: values.to_numpy()[0].mean(axis=0) * (0.9 + 0.2 * np.random.default_rng(1).random(values.shape[1:]))
        for name, values in posterior.draws["posterior"].data_vars.items()
    }
    return of_law(law, draws=draws, **sites)


@every_law
@every_request
def test_no_mixture_of_a_grid_is_better(of_law, law, request_):
    """Brute force over the shares of three languages, each with its best size and data of a grid."""
    found = mixture(close_draws(of_law, law), compute=1e22, **request_)
    objective, names = found.objective, list(found.plan.shares)
    least = {name: request_.get("bounds", {}).get(name, (0, 1))[0] for name in names}
    most = {name: request_.get("bounds", {}).get(name, (0, 1))[1] for name in names}
    epochs = request_.get("max_epochs", np.inf) if objective.knows_repetition else 1.0
    tokens = np.geomspace(1e9, 1e13, 161)
    best = np.inf
    for first, second in itertools.product(np.linspace(0.01, 0.98, 25), repeat=2):
        shares = dict(zip(names, (first, second, 1 - first - second), strict=True))
        if not all(max(least[name], 1e-3) <= share <= most[name] for name, share in shares.items()):
            continue
        cap = min(epochs * found.objective.unique.get(name, np.inf) / share for name, share in shares.items())
        data = np.minimum(tokens, min(cap, request_.get("max_tokens", np.inf)))
        size = np.minimum(found.cost.params(data, 1e22), request_.get("max_params", np.inf))
        divided = {name: share * data[:, None] for name, share in shares.items()}
        best = min(best, objective.loss(size[:, None], divided).mean(axis=1).min())
    assert found.plan.loss.mean() <= best * (1 + 1e-7)


@every_law
@every_request
def test_limits_are_kept(of_law, law, request_):
    found = mixture(close_draws(of_law, law), compute=1e22, **request_)
    plan = found.plan
    assert sum(plan.shares.values()) == pytest.approx(1, abs=1e-9)
    assert found.cost.total(plan.params, plan.tokens) <= 1e22 * (1 + 1e-9)
    assert plan.params <= request_.get("max_params", np.inf) * (1 + 1e-9)
    assert plan.tokens <= request_.get("max_tokens", np.inf) * (1 + 1e-9)
    for name, (least, most) in request_.get("bounds", {}).items():
        assert least * (1 - 1e-6) <= plan.shares[name] <= most * (1 + 1e-6)
    epochs = request_.get("max_epochs", np.inf) if found.objective.knows_repetition else 1.0
    for each in (plan, *found.baselines.values()):
        for name, limit in found.objective.unique.items():
            assert each.shares[name] * each.tokens <= epochs * limit * (1 + 1e-6)


@every_law
@every_request
def test_it_is_never_worse_than_a_baseline(of_law, law, request_):
    found = mixture(close_draws(of_law, law), compute=1e22, **request_)
    assert found.baselines
    if "bounds" not in request_:
        assert all(gain.mean() >= -1e-12 for gain in found.gains.values())


@every_law
def test_the_gradient_is_the_loss_slope(of_law, law):
    ahead = module.objective(of_law(law, draws=20), weights={"sw": 2, "en": 1, "fr": 1}, unique=UNIQUE)
    bounds = np.tile([1e-6, 1.0], (3, 1))
    search = module._Search(ahead, module.cost(1e11), 1e22, ["sw", "en", "fr"], bounds, np.inf, np.inf, np.inf)
    rng = np.random.default_rng(0)
    for _ in range(20):
        point = np.append(np.log(rng.dirichlet(np.ones(3))), rng.uniform(np.log(1e10), np.log(1e13)))
        _, gradient = search.expected(point, slice(None))
        numeric = [
            (search.expected(point + move, slice(None))[0] - search.expected(point - move, slice(None))[0]) / 2e-5
            for move in 1e-5 * np.eye(4)
        ]
        np.testing.assert_allclose(gradient, numeric, rtol=1e-4, atol=1e-7)


def test_closed_form_of_shares(of_law):
    """Without transfer, with one beta: shares go as (weight B)^(1 / (1 + beta)) in plain counts."""
    posterior = of_law("chinchilla", draws=1, beta=np.full((1, 3), 0.35))
    weights = {"sw": 3.0, "en": 1.0, "fr": 2.0}
    found = mixture(posterior, compute=1e22, weights=weights)
    B = {
        name: posterior.parameters(name)["B"][0] * posterior.info.references[name]["tokens"] ** 0.35 for name in weights
    }
    expected = {name: (weights[name] * B[name]) ** (1 / 1.35) for name in weights}
    total = sum(expected.values())
    for name, share in found.plan.shares.items():
        assert share == pytest.approx(expected[name] / total, rel=1e-3)


def test_baselines_have_the_size_and_data_that_suit_them(of_law):
    posterior = close_draws(of_law, "atlas")
    baseline = mixture(posterior, compute=1e22, unique=UNIQUE).baselines["proportional"]
    total = sum(UNIQUE.values())
    assert baseline.shares == pytest.approx({name: size / total for name, size in UNIQUE.items()})
    asked = problem(posterior, weights=dict.fromkeys(UNIQUE, 1), unique=UNIQUE, shares=baseline.shares)
    others = np.geomspace(1e9, 1e13, 2001)[:, None]
    assert baseline.loss.mean() <= asked.loss(asked.size(others, 1e22), others).mean(axis=1).min() * (1 + 1e-9)
    np.testing.assert_allclose(baseline.loss, asked.loss(baseline.params, baseline.tokens))


def test_baselines_by_unique_tokens_need_them_all(of_law):
    posterior = close_draws(of_law, "atlas")
    some = mixture(posterior, compute=1e22, unique={"sw": 2e9})
    assert list(some.baselines) == ["uniform"]
    assert some.notes[0].startswith("the unique tokens of en, fr are not given")
    every = mixture(posterior, compute=1e22, unique=UNIQUE)
    assert list(every.baselines) == ["uniform", "proportional", "temperature", "unimax"]
    assert [note for note in every.notes if "sampling alone" not in note] == []  # there are only 40 draws


def test_mixtures_of_the_users_are_compared(of_law):
    mine = {"sw": 0.25, "en": 0.25, "fr": 0.5}
    found = mixture(close_draws(of_law, "atlas"), compute=1e22, compare={"mine": mine})
    assert found.baselines["mine"].shares == {"sw": 0.25, "en": 0.25, "fr": 0.5}
    document = found.summary(0.8)
    assert set(document) == {"shares", "params", "tokens", "loss", "losses", "epochs", "baselines"}
    assert found.to_dict(0.8).items() >= document.items()
    compared = document["baselines"]["mine"]
    assert compared["gain"]["probability"] == 0.8
    assert compared["probability_worse"] == np.mean(found.gains["mine"] > 0)
    assert set(compared["losses"]) == {"sw", "en", "fr"}


def test_sources_that_do_not_count_may_be_sampled_for_what_they_lend(of_law):
    tau = np.zeros((40, 3, 2))
    tau[:, 0, 0] = 0.9  # of en for sw
    helped = mixture(
        of_law("atlas", draws=40, tau=tau), compute=1e23, weights={"sw": 1}, unique={"sw": 1e9, "en": 1e13, "fr": 1e12}
    )
    assert helped.plan.shares["en"] > 0.5
    assert helped.plan.shares["fr"] < 0.2
    without = mixture(
        of_law("atlas", draws=40, tau=0 * tau), compute=1e23, weights={"sw": 1}, unique={"sw": 1e12, "en": 1e13}
    )
    assert without.plan.shares["en"] < 0.05


@given(
    unique=st.lists(st.floats(1e6, 1e12), min_size=1, max_size=8),
    tokens=st.floats(1e6, 1e13),
    epochs=st.floats(1, 10),
)
@settings(deadline=None)
def test_unimax(unique, tokens, epochs):
    unique = np.array(unique)
    shares = unimax(unique, tokens, epochs)
    assert shares.sum() == pytest.approx(1)
    if tokens >= epochs * unique.sum():
        np.testing.assert_allclose(shares, unique / unique.sum(), rtol=1e-6)
        return
    trained = shares * tokens
    assert (trained <= epochs * unique * (1 + 1e-9)).all()
    uncapped = trained < epochs * unique * (1 - 1e-9)
    if uncapped.any():  # those that are not exhausted are trained on alike, and most
        np.testing.assert_allclose(trained[uncapped], trained.max(), rtol=1e-9)


MISTAKES = {
    "compute": ({"compute": 0}, "compute is 0; it must be a positive number"),
    "language": ({"weights": {"yo": 1}}, "has no language 'yo'; choose one of: sw, en, fr"),
    "order": ({"bounds": {"sw": (0.5, 0.2)}}, "bounds of sw are 0.5 and 0.2; they must lie between 0 and 1"),
    "least": ({"bounds": {"sw": (0.6, 1), "en": (0.6, 1)}}, "the bounds cannot be met: least shares sum to 1.2"),
    "most": ({"bounds": dict.fromkeys(UNIQUE, (0.0, 0.2))}, "the bounds cannot be met: least shares sum to 0 and"),
    "epochs": ({"max_epochs": 0}, "max_epochs is 0; it must be a positive number, such as 4"),
    "absent": ({"compare": {"mine": {"sw": 1}}}, "the mixture mine has no share of en, whose loss counts; give it one"),
    "share": ({"compare": {"mine": {"sw": -1}}}, "share of sw in mine is -1; it must be a positive number"),
    "sum": ({"compare": {"mine": {"sw": 1, "en": 1, "fr": 2}}}, "the shares in mine sum to 4, and shares of"),
    "typo": ({"bounds": {"swa": (0, 1)}}, "has no source 'swa'; did you mean 'sw'? its sources are sw, en, fr"),
    "size": ({"max_params": -1}, "max_params is -1; it must be a positive number"),
}  # fmt: skip


@pytest.mark.parametrize(("request_", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes(of_law, request_, message):
    with pytest.raises(InputError) as caught:
        mixture(of_law("atlas", draws=3), **({"compute": 1e22} | request_))
    assert message in str(caught.value)


def test_a_mixture_keeps_what_every_decision_promises(of_law, keeps_its_promises):
    posterior = replace(close_draws(of_law, "atlas", draws=20), name="<mine>")
    found = mixture(posterior, compute=1e22, unique=UNIQUE, served=1e12)
    dims = {
        "loss": ("draw",),
        "language_loss": ("draw", "language"),
        "baseline_loss": ("draw", "baseline"),
        "gain": ("draw", "baseline"),
        "share": ("source",),
        "baseline_share": ("baseline", "source"),
        "params": (),
        "tokens": (),
    }
    keeps_its_promises(found, dims)
    drawn = found.draws
    np.testing.assert_array_equal(drawn["gain"].sel(baseline="unimax"), found.gains["unimax"])
    np.testing.assert_array_equal(drawn["language_loss"].sel(language="en"), found.plan.losses["en"])
    assert drawn["share"].sel(source="fr") == found.plan.shares["fr"]
    assert drawn["baseline_share"].sel(baseline="uniform", source="fr") == pytest.approx(1 / 3)
    document = found.to_dict(0.8)
    assert (document["posterior"], document["compute"]) == ("<mine>", 1e22)
    assert document["flops"] == "6 N D + 2 N x 1e+12 served"
    assert [row["loss saved over"] for row in found.gain_rows()] == list(found.baselines)


def test_an_argument_that_there_is_not_is_refused(of_law):
    with pytest.raises(TypeError, match="max_epoch"):
        mixture(of_law("atlas", draws=3), compute=1e22, max_epoch=4)
