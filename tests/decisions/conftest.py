"""Posteriors made by hand for decisions, of any law, with parameters far more varied than a fit's."""

import json

import numpy as np
import pytest
import xarray as xr

from bayes_atlas.decisions.base import Decision
from bayes_atlas.posterior import Posterior

DRAWS = 1000
SOURCES = {"sw": ["en", "fr"], "en": ["fr", "sw"], "fr": ["en", "sw"]}
REFERENCES = {"sw": {"params": 7e8, "tokens": 3e9}, "en": {"params": 7e8, "tokens": 5e10}}
REFERENCES["fr"] = {"params": 7e8, "tokens": 2e10}
CHINCHILLA = ("E", "A", "B", "alpha", "beta")
SITES = {
    "chinchilla": CHINCHILLA,
    "data_constrained": (*CHINCHILLA, "R_D", "R_N"),
    "atlas": (*CHINCHILLA, "lam", "tau", "tau_other"),
    "capacity": (*CHINCHILLA, "phi", "psi"),
}


def drawn_sites(law, draws, seed):
    """Random parameters of a law for the three languages, `(draw, language[, source])`."""
    rng = np.random.default_rng(seed)
    shape = (draws, len(SOURCES))
    everything = {
        "E": rng.uniform(0, 2, shape),
        "A": np.exp(rng.uniform(np.log(0.05), np.log(3), shape)),
        "B": np.exp(rng.uniform(np.log(0.05), np.log(3), shape)),
        "alpha": rng.uniform(0.15, 0.8, shape),
        "beta": rng.uniform(0.15, 0.8, shape),
        "R_D": np.exp(rng.uniform(0, np.log(50), shape)),
        "R_N": np.exp(rng.uniform(0, np.log(50), shape)),
        "lam": np.exp(rng.uniform(np.log(0.02), 0, shape)),
        "tau": rng.uniform(0, 0.5, (*shape, 2)),
        "tau_other": rng.uniform(0, 0.1, shape),
        "phi": rng.uniform(0.02, 0.2, shape),
        "psi": rng.uniform(-0.09, 0.05, shape),
    }
    return {name: everything[name] for name in SITES[law]}


@pytest.fixture
def of_law(tiny_posterior):
    """Build a posterior of a law for sw, en and fr; `sites` replace some of its random draws."""

    def build(law, draws=DRAWS, seed=0, **sites):
        arrays = {
            name: (("chain", "draw", "language", "source")[: values.ndim + 1], values[None])
            for name, values in (drawn_sites(law, draws, seed) | sites).items()
        }
        ranges = {"params": (1.0, 1e20), "tokens": (1.0, 1e20), "compute": (1.0, 1e30), "epochs": (1.0, 50.0)}
        info = tiny_posterior.info.model_copy(
            update={
                "law": law,
                "model": law,
                "languages": list(SOURCES),
                "sources": SOURCES if "tau" in arrays else {name: [] for name in SOURCES},
                "references": REFERENCES,
                "runs": tiny_posterior.info.runs.model_copy(update={"ranges": ranges}),
            }
        )
        group = xr.Dataset(arrays, {"language": list(SOURCES)})
        return Posterior(xr.DataTree.from_dict({"posterior": group}), info, "this posterior")

    return build


@pytest.fixture
def keeps_its_promises():
    """Check all that a decision promises, of one whose question names ``<mine>``; `dims` are those of its draws."""

    def check(decision, dims):
        assert isinstance(decision, Decision)
        assert {name: values.dims for name, values in decision.draws.data_vars.items()} == dims
        assert all(set(values.attrs) == {"long_name", "units"} for values in decision.draws.data_vars.values())
        document = decision.to_dict(0.8)
        assert json.loads(json.dumps(document, allow_nan=False)) == document
        assert document["notes"] == decision.notes
        lines = repr(decision).splitlines()
        assert len(lines) <= 24
        assert max(map(len, lines)) <= 80
        assert "<mine>" in decision.question
        assert lines[0].startswith(decision.question[:70])
        assert len({tuple(row) for row in decision.rows(0.8)}) == 1
        html = decision._repr_html_()
        assert "&lt;mine&gt;" in html
        assert "<mine>" not in html
        assert html.count("<tr>") == 1 + len(decision.rows())

    return check
