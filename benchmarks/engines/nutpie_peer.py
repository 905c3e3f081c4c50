"""nutpie on the density and gradient of the shipped model, compiled by JAX, with one of its adaptations."""

import inspect
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import nutpie
import pandas as pd
from jax.flatten_util import ravel_pytree
from numpyro.infer.initialization import init_to_median
from numpyro.infer.util import initialize_model
from nutpie.compiled_pyfunc import from_pyfunc

from bayes_atlas import runs_from_frame
from bayes_atlas.catalogue import load_model
from bayes_atlas.observations.curves import arrange
from benchmarks.engines.problem import PARAMETERS, TARGET_ACCEPT, Floats, Sampled, Settings


def sample(adaptation: Literal["diag", "low_rank"], table: pd.DataFrame, settings: Settings) -> Sampled:
    """Draw from the posterior of `chinchilla` given `table`; nutpie chooses the length of warm-up itself."""
    jax.config.update("jax_enable_x64", True)
    model = load_model("chinchilla").model
    wanted = [name for name in inspect.signature(model).parameters if name != "loss"]
    data = arrange(runs_from_frame(table), wanted)
    arguments = data.covariates | {"loss": jnp.asarray(data.loss)}
    prepared = initialize_model(
        jax.random.key(settings.seed), model, init_strategy=init_to_median(), model_kwargs=arguments
    )
    start, unravel = ravel_pytree(prepared.param_info.z)
    value_and_grad = jax.jit(jax.value_and_grad(lambda vector: -prepared.potential_fn(unravel(vector))))

    def log_density(vector: Floats) -> tuple[float, Floats]:
        value, gradient = value_and_grad(vector)
        return float(value), np.asarray(gradient)

    def keep(*_: int) -> Callable[[Floats], dict[str, Floats]]:
        return lambda vector: {"vector": vector}

    compiled = from_pyfunc(start.size, lambda: log_density, keep, [start.dtype], [(start.size,)], ["vector"])
    tree = nutpie.sample(
        compiled,
        draws=settings.draws,
        chains=settings.chains,
        seed=settings.seed,
        adaptation=adaptation,
        init_mean=np.asarray(start),
        target_accept=TARGET_ACCEPT,
        save_warmup=False,
        progress_bar=False,
    )
    vectors = jnp.asarray(tree["posterior"]["vector"].to_numpy())
    sites: dict[str, Any] = jax.jit(jax.vmap(jax.vmap(lambda vector: prepared.postprocess_fn(unravel(vector)))))(
        vectors
    )
    stats = tree["sample_stats"]
    sampled = {name: np.asarray(sites[name]) for name in PARAMETERS}
    return sampled | {name: stats[name].to_numpy() for name in ("n_steps", "diverging")}
