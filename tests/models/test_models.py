"""What every model file that ships must be: readable, and of the form that the engine relies on."""

import ast
import inspect

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.handlers as handlers
import pandas as pd
import pytest

from bayes_atlas.catalogue import find_model, load_model, model_names, read_model
from bayes_atlas.data.runs import runs_from_frame
from bayes_atlas.laws import get_law
from bayes_atlas.observations.curves import arrange
from bayes_atlas.observations.kind import kind_name
from bayes_atlas.sampler.driver import sample_many
from bayes_atlas.sampler.settings import Settings

PLATES = {"language", "source", "run", "row", "size"}
SPECIAL = ("crossover", "bilingual")  # of curves that runs on one mixture from scratch do not have
# Models of learning curves from scratch; those of other tables have their own tests.
OF_RUNS = [name for name in model_names() if kind_name(read_model(name).covariates) == "curves" and name not in SPECIAL]
every_model = pytest.mark.parametrize("name", OF_RUNS)


@pytest.fixture(scope="module", autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def runs():
    """Checkpoints of runs of five sizes on two languages that repeat, with two more as sources."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(10):
        for language in ("en", "sw"):
            for step in (1, 2):
                tokens = {f"tokens.{name}": step * 10 ** rng.uniform(9, 10) for name in ("en", "sw", "fr", "hi")}
                unique = {f"unique.{name}": 2e9 for name in ("en", "sw", "fr", "hi")}
                identity = {"run": f"r{number}{language}", "language": language, "params": 1e8 * 2 ** (number % 5)}
                rows.append(identity | tokens | unique | {"loss": 3 * 0.9**step})
    return runs_from_frame(pd.DataFrame(rows))


def trace_of(name, runs, sources=1):
    module = load_model(name)
    wanted = [argument for argument in inspect.signature(module.model).parameters if argument != "loss"]
    data = arrange(runs, wanted, sources=sources)
    with handlers.trace() as trace, handlers.seed(rng_seed=0):
        module.model(**data.covariates, loss=jnp.asarray(data.loss))
    return trace


@every_model
def test_the_docstring_states_the_law_and_why_these_priors(name):
    text = ast.get_docstring(ast.parse(find_model(name).read_text(encoding="utf-8")))
    title, *paragraphs = text.split("\n\n")
    assert "\n" not in title
    assert title.endswith(".")
    assert any(paragraph.startswith("Law: ") and "arXiv" in paragraph for paragraph in paragraphs)
    assert any(paragraph.startswith("Why these priors. ") for paragraph in paragraphs)


@every_model
def test_the_law_exists_and_goes_by_the_models_name(name):
    law = load_model(name).LAW
    assert law == name
    assert get_law(law).PARAMETERS


@every_model
def test_the_loss_is_the_last_argument_and_may_be_left_out(name):
    *covariates, loss = inspect.signature(load_model(name).model).parameters.values()
    assert (loss.name, loss.default) == ("loss", None)
    assert "curves" in [covariate.name for covariate in covariates]
    needed = [covariate.default is inspect.Parameter.empty for covariate in covariates]
    assert needed == sorted(needed, reverse=True)
    assert all(covariate.default in (inspect.Parameter.empty, None) for covariate in covariates)


@every_model
def test_plates_are_named_for_what_they_index(name, runs):
    trace = trace_of(name, runs)
    assert {site["name"] for site in trace.values() if site["type"] == "plate"} <= PLATES
    named = {name: {frame.name for frame in site["cond_indep_stack"]} for name, site in trace.items()}
    assert named["alpha"] == {"language"}
    assert named["log_loss"] == {"run"}


@every_model
def test_it_samples_every_parameter_of_its_law(name, runs):
    trace = trace_of(name, runs)
    assert set(get_law(name).PARAMETERS) <= set(trace)
    assert trace["log_loss"]["is_observed"]


@every_model
@pytest.mark.parametrize("languages", [1, 2])
def test_a_table_without_repetition_or_other_sources_will_do(name, languages):
    rows = [
        (f"r{number}", language, 1e8 * 2**number, 1e9 * 3 ** (number % 3), 3.0)
        for number in range(6)
        for language in ["en", "sw"][:languages]
    ]
    plain = runs_from_frame(pd.DataFrame(rows, columns=["run", "language", "params", "tokens", "loss"]))
    trace = trace_of(name, plain)
    assert np.isfinite(trace["log_loss"]["fn"].log_prob(trace["log_loss"]["value"])).all()
    assert "tau" not in trace
    assert ("alpha_scale" in trace) == (languages > 1)


# Precision


@pytest.fixture(scope="module")
def informative():
    """Runs of two checkpoints on two languages, alone and half and half, which repeat and follow a law with noise."""
    rng = np.random.default_rng(3)
    rows = []
    for language, other in (("en", "sw"), ("sw", "en")):
        for number, (params, total) in enumerate((p, t) for p in (1e8, 1e9, 1e10) for t in (2e9, 8e9, 3.2e10)):
            effect = 0.01 * rng.normal()
            for share in (0.5, 1.0):
                tokens = {language: total * share, other: total * share * (number % 2)}
                loss = 1.5 + 0.5 * (params / 1e9) ** -0.3 + 0.6 * (total * share / 2e10) ** -0.3
                rows.append(
                    {"run": f"{language}{number}", "language": language, "params": params}
                    | {"loss": loss * np.exp(effect + 0.002 * rng.normal())}
                    | {f"tokens.{name}": count for name, count in tokens.items()}
                    | {f"unique.{name}": 4e9 for name in tokens}
                )
    return runs_from_frame(pd.DataFrame(rows))


@pytest.mark.slow
@pytest.mark.large
@every_model
def test_single_precision_gives_the_posterior_that_double_does(name, informative):
    """Means of all parameters, within five Monte Carlo errors; false alarms less than one in ten thousand a model."""
    model = load_model(name).model
    data = arrange(informative, read_model(name).covariates, sources=1)
    data = data.padded(data.curves.shape)
    settings = Settings(chains=4, warmup=450, draws=500, seed=6, target_accept=0.95)

    def called(covariates, loss):
        return model(**covariates, loss=loss)

    found = {}
    for double in (False, True):
        with jax.enable_x64(double):
            kind = np.float64 if double else np.float32
            given = jax.tree.map(lambda leaf, kind=kind: leaf.astype(kind) if leaf.dtype == float else leaf, data)
            (draws,) = sample_many(called, [given], settings)  # one attempt
            assert all(values.dtype == kind for values in draws.sites.values())
            assert draws.stats["diverging"].mean() < 0.01
            found[double] = draws.sites
    for site, values in found[True].items():
        for index in np.ndindex(values.shape[2:]):
            one, other = (found[double][site][:, :, *index].astype(float) for double in (False, True))
            ess = [float(az.ess(draws, method="bulk")) for draws in (one, other)]
            assert min(ess) > 100, site
            error = max(one.std(), other.std()) * np.sqrt(1 / ess[0] + 1 / ess[1])
            assert abs(one.mean() - other.mean()) < 5 * error, (site, index)
