"""The loss of a wrong law is that of its definition, and its slopes are the derivatives of that."""

import numpy as np
import pytest

from bayes_atlas.law_error.walks import STEP, Walk
from bayes_atlas.law_error.wrong_law import Bend
from bayes_atlas.laws import get_law

DRAWS = 5
LAWS = {
    "chinchilla": ({}, {}),
    "atlas": ({"lam": 0.2, "tau": 0.3, "tau_other": 0.05}, {"unique": 0.7, "other_tokens": 2.0, "other_unique": None}),
    "data_constrained": ({"R_D": 15.0, "R_N": 5.0}, {"unique": 0.7}),
    "capacity": ({"phi": 0.1, "psi": -0.04}, {"languages": 3.0}),
    "family_share": ({"gamma": 0.1}, {"share": 0.4}),
}
SIZES = {"family_share": ("params", "total_tokens")}


def case(name, *, log_q=0.4, drift=0.05, scale=0.2):
    rng = np.random.default_rng(1)
    law = get_law(name)
    extra, covariates = LAWS[name]
    centres = {"E": 1.7, "A": 0.4, "B": 0.5, "alpha": 0.34, "beta": 0.3} | extra
    drawn = {each: value * np.exp(0.1 * rng.standard_normal(DRAWS)) for each, value in centres.items()}
    if "tau" in drawn:
        drawn["tau"] = drawn["tau"][:, None]
        covariates = covariates | {"source_tokens": np.full((DRAWS, 1), 0.8), "source_unique": np.array([0.6])}
    walks = {each: Walk(-6, 1, scale * rng.standard_normal((DRAWS, 16))) for each in law.RUNNING}
    bend = Bend(walks, np.full(DRAWS, log_q), np.full(DRAWS, drift), dict.fromkeys(law.RUNNING, 0.3))

    def plan(log_params, log_tokens):
        sizes = SIZES.get(name, ("params", "tokens"))
        logs = zip(sizes, (log_params, log_tokens), strict=True)
        return covariates | {each: np.full(DRAWS, np.exp(log)) for each, log in logs}

    def loss(log_params, log_tokens, **options):
        at = plan(log_params, log_tokens)
        return bend.loss(law, at, drawn, **options)

    return law, drawn, bend, plan, loss


@pytest.mark.parametrize("name", LAWS)
def test_without_errors_it_is_the_law(name):
    law, drawn, _, plan, loss = case(name, log_q=0.0, drift=0.0, scale=0.0)
    for place in ((0.0, 0.0), (3.0, -2.0), (-1.0, 4.0)):
        assert loss(*place) == pytest.approx(law.loss(**plan(*place), **drawn), rel=1e-10)


def test_the_value_is_that_of_the_definition():
    """E + (x^q + y^q)^(1/q) with the integrals of the local exponents, written out."""
    _, drawn, bend, _, loss = case("chinchilla")
    for log_params, log_tokens in ((0.0, 0.0), (3.0, -2.0), (-1.0, 4.0)):
        terms, along = [], 0.0
        for name, coefficient, log_size in (("alpha", "A", log_params), ("beta", "B", log_tokens)):
            origin = bend.walks[name].origin * STEP - 0.3
            _, integral = bend.walks[name].at(drawn[name], np.full(DRAWS, log_size + 0.3), slice(None))
            terms.append(drawn[coefficient] * np.exp(-drawn[name] * origin - integral))
            along += (log_size - origin) / 2
        q = np.exp(bend.log_q + bend.drift * along)
        assert loss(log_params, log_tokens) == pytest.approx(drawn["E"] + (terms[0] ** q + terms[1] ** q) ** (1 / q))


@pytest.mark.parametrize("name", ["chinchilla", "atlas", "data_constrained"])
@pytest.mark.parametrize("place", [(0.25, 0.1), (2.3, -1.15), (-2.4, 3.3)])
def test_slopes_are_those_of_the_wrong_law(name, place):
    law, drawn, bend, plan, loss = case(name)
    at = plan(*place)
    slopes, step = law.slopes(**at, **bend.with_slopes(law, at, drawn)), 1e-5
    log_params, log_tokens = place
    by_params = (loss(log_params + step, log_tokens) - loss(log_params - step, log_tokens)) / (2 * step)
    assert slopes.params == pytest.approx(by_params, rel=1e-6, abs=1e-10)  # rounding of a difference of losses
    by_tokens = (loss(log_params, log_tokens + step) - loss(log_params, log_tokens - step)) / (2 * step)
    assert slopes.tokens == pytest.approx(by_tokens, rel=1e-6)


@pytest.mark.parametrize("name", ["chinchilla", "capacity", "family_share"])
def test_loss_falls_with_size_and_with_tokens_if_q_does_not_drift(name):
    *_, loss = case(name, drift=0.0, scale=0.5)
    path = np.linspace(-4, 6, 60)
    assert (np.diff([loss(place, 0.4) for place in path], axis=0) < 0).all()
    assert (np.diff([loss(0.4, place) for place in path], axis=0) < 0).all()


def test_draws_can_be_named():
    law, drawn, bend, plan, loss = case("chinchilla")
    chosen = np.array([4, 1])
    at = {name: values[chosen] for name, values in plan(0.5, 0.7).items()}
    assert bend.loss(law, at, drawn, chosen) == pytest.approx(loss(0.5, 0.7)[chosen])
