"""Extra compute for equal loss between configurations of a language."""

import re
from dataclasses import replace

import numpy as np
import pytest

from bayes_atlas.decisions.optimum import optimum
from bayes_atlas.decisions.tax import NEVER, efficiency_tax
from bayes_atlas.errors import InputError
from bayes_atlas.posterior import Posterior

NAMES = ["fr:monolingual", "fr:multilingual", "sw"]
CLOSE = {"A": 0.3, "B": 0.4, "alpha": 0.35, "beta": 0.3}


@pytest.fixture
def labelled(of_law):
    """Two configurations of fr and one language beside them; the second's terms are some percent larger."""

    def build(law="chinchilla", worse=1.05, E=(1.0, 1.0), draws=50, spread=0.01):
        rng = np.random.default_rng(0)
        sites = {name: value * np.exp(spread * rng.normal(size=(draws, 3))) for name, value in CLOSE.items()}
        sites["A"] = sites["A"][:, :1] * np.array([1.0, worse, 1.0])
        sites["B"] = sites["B"][:, :1] * np.array([1.0, worse, 1.0])
        for name in ("alpha", "beta"):
            sites[name] = np.repeat(sites[name][:, :1], 3, axis=1)
        sites["E"] = np.column_stack(
            [np.full(draws, E[0]), E[1] * np.exp(spread * rng.normal(size=draws)), np.ones(draws)]
        )
        posterior = of_law(law, draws=draws, **sites)
        info = posterior.info.model_copy(
            update={"languages": NAMES, "references": dict.fromkeys(NAMES, posterior.info.references["fr"])}
        )
        info = info.model_copy(update={"sources": {name: [] for name in NAMES}})
        tree = posterior.draws.map_over_datasets(lambda d: d.assign_coords(language=NAMES) if d.data_vars else d)
        return Posterior(tree, info, "labelled")

    return build


def test_closed_form(labelled):
    """Both terms larger by a factor, and the same exponents: compute grows by it to (alpha + beta) / (alpha beta)."""
    posterior = labelled(spread=0.0)
    (tax,) = efficiency_tax(posterior, language="fr", compute=[1e19, 1e22])
    expected = 1.05 ** ((0.35 + 0.3) / (0.35 * 0.3))
    np.testing.assert_allclose(tax.factor, expected, rtol=1e-6)
    assert (tax.baseline, tax.configuration) == ("fr:monolingual", "fr:multilingual")
    assert tax.identified().all()


@pytest.mark.parametrize("unique", [None, 1e10])
@pytest.mark.parametrize("law", ["chinchilla", "data_constrained"])
def test_so_much_more_compute_reaches_the_same_loss(labelled, law, unique):
    posterior = labelled(law)
    (tax,) = efficiency_tax(posterior, language="fr", compute=1e21, unique=unique)
    for draw in range(0, 50, 10):
        factor = tax.factor[draw, 0]
        if np.isfinite(factor):
            after = optimum(posterior, compute=1e21 * factor, language="fr:multilingual", unique=unique)
            assert after.loss[draw] == pytest.approx(tax.loss[draw, 0], rel=1e-6)


def test_the_other_way_round_is_the_inverse(labelled):
    posterior = labelled(spread=0.0)
    (tax,) = efficiency_tax(posterior, language="fr", compute=1e21, baseline="fr:multilingual")
    assert tax.configuration == "fr:monolingual"
    np.testing.assert_allclose(tax.factor, 1.05 ** -((0.35 + 0.3) / (0.35 * 0.3)), rtol=1e-6)


def test_a_loss_below_what_is_irreducible_is_never_reached(labelled):
    (tax,) = efficiency_tax(labelled(E=(0.5, 3.0)), language="fr", compute=1e23)
    assert np.isinf(tax.factor).all()
    (row,) = tax.summary()
    assert row["factor"]["median"] is None
    assert row["probability_never"] == 1
    assert row["identified"] is False


def test_a_wide_interval_is_not_identified(labelled):
    (tax,) = efficiency_tax(labelled(E=(1.0, 1.1), spread=0.2), language="fr", compute=1e24)
    assert not tax.identified().any()
    (narrow,) = efficiency_tax(labelled(), language="fr", compute=1e21)
    (row,) = narrow.summary(0.8)
    assert row["identified"] is True
    assert row["factor"]["lower"] <= row["factor"]["median"] <= row["factor"]["upper"] < NEVER
    assert row["factor"]["probability"] == 0.8


def test_mistakes(labelled, of_law):
    posterior = labelled(draws=3)
    with pytest.raises(
        InputError, match="labelled does not have two configurations of 'sw' to compare; choose one of: fr"
    ):
        efficiency_tax(posterior, language="sw", compute=1e21)
    with pytest.raises(InputError, match="to compare; fit with --by vocabulary or --by mixture"):
        efficiency_tax(of_law("chinchilla", draws=3), language="sw", compute=1e21)
    with pytest.raises(
        InputError, match="'fr' is not a configuration of fr; choose one of: fr:monolingual, fr:multilingual"
    ):
        efficiency_tax(posterior, language="fr", compute=1e21, baseline="fr")
    with pytest.raises(InputError, match=re.escape("compute is -1.0; it must be a positive number")):
        efficiency_tax(posterior, language="fr", compute=[1e20, -1.0])


@pytest.mark.parametrize("unique", [None, 1e12])
def test_taxes_keep_what_every_decision_promises(labelled, keeps_its_promises, unique):
    """Also where a factor is infinite, for which JSON has no number."""
    posterior = replace(labelled(E=(0.5, 3.0)), name="<mine>")
    found = efficiency_tax(posterior, language="fr", compute=[1e21, 1e23], unique=unique)
    keeps_its_promises(found, {"factor": ("draw", "configuration", "budget"), "loss": ("draw", "budget")})
    assert found.draws["configuration"].to_numpy().tolist() == ["fr:multilingual"]
    np.testing.assert_array_equal(found.draws["factor"][:, 0], found[0].factor)
    np.testing.assert_array_equal(found.draws["budget"], [1e21, 1e23])
    assert found.draws["budget"].attrs["units"] == "FLOPs"
    assert found.rows()[0]["factor"] == "never"
    document = found.to_dict(0.8)
    assert document["configurations"] == {"fr:multilingual": found[0].summary(0.8)}
    assert (document["language"], document["baseline"], document["unique"]) == ("fr", "fr:monolingual", unique)
    assert (len(found), list(found), found[:1]) == (1, found.taxes, found.taxes)
