"""The posterior predictive: in NumPy what the models are in JAX, and wider for what they have not seen."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import numpyro.handlers as handlers
import pandas as pd
import pytest
import scipy.stats
import xarray as xr

from bayes_atlas.catalogue import load_model, read_model
from bayes_atlas.data.outliers import NU
from bayes_atlas.data.runs import runs_from_frame
from bayes_atlas.errors import InputError
from bayes_atlas.laws import chinchilla
from bayes_atlas.observations.curves import arrange
from bayes_atlas.posterior import load_posterior
from bayes_atlas.validation.predict import Prediction, Together, predict
from bayes_atlas.validation.proper_scores import of_runs

SOURCES = ("en", "sw", "fr", "hi")
SIGMA = 0.01
ROWS = {"run": ["a", "b"], "language": ["en", "en"], "tokens": [1e9, 2e9]}


def table(sizes=14, runs=1, least=1e8, unique=True):
    """Finished runs of each size on two languages, with two more as sources; some of all repeat."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(sizes * runs):
        for language in ("en", "sw"):
            tokens = {f"tokens.{name}": 10 ** rng.uniform(9, 10) for name in SOURCES}
            limits = {f"unique.{name}": 10 ** rng.choice([9.0, 9.5]) for name in SOURCES} if unique else {}
            identity = {"run": f"r{number}{language}", "language": language, "params": least * 1.3 ** (number % sizes)}
            rows.append(
                identity | tokens | limits | {"loss": 3 * np.exp(0.02 * rng.normal()) * 0.98 ** (number % sizes)}
            )
    return runs_from_frame(pd.DataFrame(rows))


def drawn(model, runs, seed, **options):
    """A draw of a model's prior, and the log likelihood that the model gives each run: `(site -> value, (run,))`."""
    module = load_model(model)
    data = arrange(runs, read_model(model).covariates, sources=1, **options)
    with jax.enable_x64(True), handlers.trace() as trace, handlers.seed(rng_seed=seed):
        module.model(**data.covariates, loss=data.loss)
        observed = trace.pop("log_loss")
        likelihood = np.asarray(observed["fn"].log_prob(observed["value"]))
    values = {name: np.asarray(site["value"]) for name, site in trace.items() if site["type"] != "plate"}
    return values, likelihood, data


def as_posterior(like, model, data, values):
    """A posterior of one draw."""
    dims = {(2,): ("language",), (2, 1): ("language", "source"), (): ()}
    if "size_effect" in values:
        dims[values["size_effect"].shape] = ("size",)
    sites = {name: (("chain", "draw", *dims[value.shape]), value[None, None]) for name, value in values.items()}
    described = {"law": model, "references": data.references, "sources": data.sources}
    return replace(
        like,
        draws=xr.DataTree.from_dict({"posterior": xr.Dataset(sites, {"language": data.languages})}),
        info=like.info.model_copy(update=described),
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("model", ["chinchilla", "data_constrained", "atlas", "capacity", "family_share"])
def test_the_density_is_the_likelihood_of_the_model(tiny_posterior, model, seed):
    """The same law, noise and size effects."""
    runs = table(runs=2)
    values, likelihood, data = drawn(model, runs, seed)
    assert {"size_effect", "kappa_epochs"} <= set(values)
    posterior = as_posterior(tiny_posterior, model, data, values)
    loss = runs["loss"].to_numpy()
    ours = predict(posterior, runs, runs).log_density(loss) + np.log(loss)
    np.testing.assert_allclose(ours, likelihood, rtol=1e-9)


def checkpoints(sizes=3, steps=4):
    """Runs of each size on two languages at once, with checkpoints; rows in an order of their own."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "run": f"r{number}",
            "language": language,
            "params": 1e8 * 3**number,
            "tokens.en": 1e9 * 2.0**step,
            "tokens.sw": 3e8 * 2.0**step,
            "loss": 3 * np.exp(0.02 * rng.normal() - 0.05 * step),
        }
        for step in range(steps)
        for number in range(sizes)
        for language in ("en", "sw")
    ]
    return runs_from_frame(pd.DataFrame(rows))


@pytest.mark.parametrize("model", ["chinchilla", "atlas"])
def test_the_density_of_a_run_is_that_of_all_its_rows_together(tiny_posterior, model):
    """As the model has it: checkpoints of a curve are correlated, and so are the languages of a run."""
    runs = checkpoints()
    values, likelihood, data = drawn(model, runs, 0, burn_in=True)
    assert {"memory", "kappa_stage", "shared", "burn_in"} <= set(values)
    posterior = as_posterior(tiny_posterior, model, data, values)
    loss = runs["loss"].to_numpy()
    names = runs["run"].to_numpy().astype(str)
    ours = of_runs(predict(posterior, runs, runs).log_density(loss) + np.log(loss), names)
    of_curve = np.array([run for run, _ in dict.fromkeys(zip(names, runs["language"].values, strict=True))])
    np.testing.assert_allclose(ours, of_runs(likelihood, of_curve), rtol=1e-9)


def test_draws_are_averaged_run_by_run():
    """Two draws that each explain one of two rows: as one run they explain neither, as two runs half of each."""
    location = np.array([[0.0, 1.0], [1.0, 0.0]])
    rows = xr.Dataset({name: ("row", np.array(values)) for name, values in ROWS.items()})
    one = rows.assign(run=("row", np.array(["a", "a"])))
    scale = np.full((2, 1), 0.01)
    apart, joint = (
        Prediction(location, scale, Together.of(each)).log_density(np.ones(2)).sum() for each in (rows, one)
    )
    assert apart > joint + 5


# By hand


def by_hand(like, draws=400, **sites):
    """A posterior of chinchilla for en and sw whose draws are the truth; `sites` are more of what it holds."""
    each = {"E": 1.5, "A": 0.5, "B": 0.6, "alpha": 0.3, "beta": 0.3, "sigma": SIGMA}
    arrays = {name: (("chain", "draw", "language"), np.full((1, draws, 2), value)) for name, value in each.items()}
    arrays |= {
        name: (("chain", "draw", "size")[: np.ndim(value) + 1], np.asarray(value)[None])
        for name, value in sites.items()
    }
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(arrays, {"language": ["en", "sw"]})})
    references = {language: {"params": 1e9, "tokens": 1e10} for language in ("en", "sw")}
    info = like.info.model_copy(update={"references": references})
    return replace(like, draws=tree, info=info)


def expected(rows):
    sizes = rows["params"].to_numpy() / 1e9, rows["tokens"].to_numpy() / 1e10
    return np.log(chinchilla.loss(*sizes, E=1.5, A=0.5, B=0.6, alpha=0.3, beta=0.3))


def test_intervals_of_the_truth_hold_what_they_say(tiny_posterior):
    """600 losses of the law and noise of the posterior; the count is within the .9999 interval of its binomial."""
    rows = table(sizes=10, runs=30, unique=False)
    rows["params"] = rows["params"] * 0 + 1e9
    rng = np.random.default_rng(0)
    loss = np.exp(expected(rows) + SIGMA * rng.standard_t(NU, rows.sizes["row"]))
    draws = predict(by_hand(tiny_posterior), rows, rows).draw(rng)
    lower, upper = np.quantile(draws, [0.05, 0.95], axis=1)
    least, most = scipy.stats.binom.interval(0.9999, 600, 0.9)
    assert least <= ((lower <= loss) & (loss <= upper)).sum() <= most


def test_a_new_size_has_an_effect_of_its_own(tiny_posterior):
    """A size that was fitted has the effect it had; the spread of a new one is within 5 standard errors of its own."""
    fitted, spread = table(unique=False), 0.05
    effects = np.random.default_rng(0).normal(size=(400, 14))
    posterior = by_hand(tiny_posterior, size_effect=effects, size_effect_scale=np.full(400, spread))
    known = predict(posterior, fitted, fitted).location - expected(fitted)[:, None]
    np.testing.assert_allclose(known, np.repeat(effects.T, 2, axis=0), atol=1e-6)
    fresh = table(least=1.1e8, unique=False)
    new = predict(posterior, fresh, fitted).location - expected(fresh)[:, None]
    np.testing.assert_allclose(new[0], new[1], atol=1e-12)  # one size, two languages
    assert new.std() == pytest.approx(spread, abs=5 * spread / np.sqrt(2 * 14 * 400))


def test_early_checkpoints_and_many_epochs_are_noisier(tiny_posterior):
    rows = pd.DataFrame(
        {
            "run": ["r", "r", "s"],
            "language": "en",
            "params": 1e9,
            "tokens": [1e9, 4e9, 8e9],
            "unique": [1e9, 1e9, 8e9],
            "loss": 3.0,
        }
    )
    rows = runs_from_frame(pd.concat([rows, rows.iloc[2:].assign(language="sw", run="t")]))
    posterior = by_hand(tiny_posterior, kappa_stage=np.full(400, 0.5), kappa_epochs=np.full(400, 1.0))
    scale = predict(posterior, rows, rows).scale[:, 0]
    typical = np.log(4) / 3
    wanted = SIGMA * np.exp([0.5 * np.log(4) - typical, np.log(4) - typical, -typical, 0])
    np.testing.assert_allclose(scale, wanted, rtol=1e-6)


# Mistakes


def test_an_unknown_language_is_refused(tiny_posterior):
    rows = table().assign_coords(language=("row", np.full(28, "yo")))
    with pytest.raises(InputError, match=r"has no language 'yo'; choose one of: en, sw"):
        predict(by_hand(tiny_posterior), rows, rows)


def test_sources_of_unknown_worth_are_refused(tiny_posterior):
    posterior = by_hand(tiny_posterior)
    sites = posterior.draws["posterior"].to_dataset().assign(lam=posterior.draws["posterior"]["E"] * 0 + 0.2)
    info = posterior.info.model_copy(update={"law": "atlas"})
    posterior = replace(posterior, draws=xr.DataTree.from_dict({"posterior": sites}), info=info)
    alone = runs_from_frame(pd.DataFrame({"run": ["r"], "language": "en", "params": 1e9, "tokens": 1e9, "loss": 3.0}))
    np.testing.assert_allclose(predict(posterior, alone, alone).location[0], expected(alone)[0], rtol=1e-6)
    with pytest.raises(
        InputError, match="rows of en also train on tokens of sw, fr, hi, and this posterior has no estimate"
    ):
        predict(posterior, table(), alone)
    # Fitted to runs that mix, it was told to leave the others out.
    mixed = table()
    told = predict(posterior, mixed, mixed)
    own = mixed["source_tokens"].where(mixed["source"] == mixed["own"], 0.0)
    np.testing.assert_allclose(told.location, predict(posterior, mixed.assign(source_tokens=own), alone).location)


def test_a_law_that_asks_for_more_is_refused(tiny_posterior):
    posterior = by_hand(tiny_posterior)
    posterior = replace(posterior, info=posterior.info.model_copy(update={"law": "family_share"}))
    with pytest.raises(InputError, match="has no draws of gamma, which the law 'family_share' needs for a run table"):
        predict(posterior, table(), table())


def test_sizes_of_another_table_are_refused(tiny_posterior):
    posterior = by_hand(tiny_posterior, size_effect=np.zeros((400, 3)), size_effect_scale=np.ones(400))
    with pytest.raises(InputError, match="has 3 model sizes, but runs has 14; give the fitted run table"):
        predict(posterior, table(unique=False), table(unique=False))


def test_no_sampler_is_loaded():
    program = "import sys; import bayes_atlas.validation.predict, bayes_atlas.validation.held_out; print(*sys.modules)"
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert not {"jax", "numpyro", "arviz"} & set(run.stdout.split())


def test_a_posterior_that_ships_needs_the_runs_it_was_fitted_to():
    posterior = load_posterior("datablations-2023")
    frame = {"run": ["a", "b"], "params": 1e9, "tokens": [1e10, 4e10], "unique": 1e10, "loss": 2.8}
    rows = runs_from_frame(pd.DataFrame(frame | {"language": posterior.language(None)}))
    with pytest.raises(InputError, match=r"has \d+ model sizes, but runs has \d; give the fitted run table"):
        predict(posterior, rows, rows)
