"""What every model file that ships must be: readable, and of the form that the engine relies on."""

import ast
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.handlers as handlers
import pandas as pd
import pytest

from bayes_atlas.catalogue import find_model, layout_of, load_model, model_names
from bayes_atlas.curves import arrange
from bayes_atlas.laws import get_law
from bayes_atlas.runs import runs_from_frame

PLATES = {"language", "source", "run", "row", "size"}
# Models of learning curves from scratch; those of other tables have their own tests.
OF_RUNS = [name for name in model_names() if layout_of(find_model(name)) == "curves" and name != "crossover"]
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
    assert all(covariate.default is inspect.Parameter.empty for covariate in covariates)


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
