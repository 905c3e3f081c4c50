"""Held-out scores of forms of the curve from a checkpoint.

    BAYES_ATLAS_DATA=FOLDER python benchmarks/crossover.py [--forms transferred limited] [--parts rows languages scaled]

The benchmark fits byte models from scratch and from checkpoints (de Souza et al. 2024,
``pretrain_vs_finetune_bytes.csv``). The forms are

* ``shifted``: a checkpoint is worth D_0 tokens (no crossover);
* ``floor``: the same, and each checkpoint has its own floor;
* ``exponent``: the same, and each checkpoint has its own exponent of data;
* ``transferred``: D_0 D^delta tokens are transferred (no crossover);
* ``limited``: the same up to each checkpoint's own limit, the model that ships.

Three splits hold out rows. ``rows`` holds out random parts of all rows. ``languages`` holds out a language with all its
rows and predicts it from the population. ``scaled`` holds out a language except for its runs from scratch of up to
`SMALL` tokens. A fold is the same table with unobserved rows, so all folds run in one program. Intervals are those of
measured losses, noise included. The score is the mean log density of log losses, and CRPS is that of log losses.
"""

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpy.typing import NDArray
from numpyro import handlers

from bayes_atlas.catalogue import read_model
from bayes_atlas.data.runs import read_runs
from bayes_atlas.modelling.curve_noise import CurveStudentT
from bayes_atlas.modelling.pooling import pooled_from
from bayes_atlas.observations.curves import CurveData, Curves, arrange
from bayes_atlas.sampler.driver import sample_many
from bayes_atlas.sampler.platforms import keep_compiled, precision, use_platform
from bayes_atlas.sampler.settings import Settings
from bayes_atlas.validation.proper_scores import crps

FILE = read_model("crossover")
MODULE = FILE.module
PROBABILITY = 0.9
SMALL = 1e9  # tokens
PARTS = ("rows", "languages", "scaled")

type Floats = NDArray[np.float64]
type Flags = NDArray[np.bool_]
type Model = Callable[[dict[str, Any], Any], Any]


def shifted(curves: Curves, terms: dict[str, Any], checkpoints: int) -> dict[str, Any]:
    """A checkpoint is worth D_0 tokens."""
    return {"D_0": MODULE.transferred(curves, checkpoints)}


def own_floor(curves: Curves, terms: dict[str, Any], checkpoints: int) -> dict[str, Any]:
    """And changes what data cannot reduce, by a factor."""
    factor = _factor("floor", 0.1, 0.05, checkpoints)
    return shifted(curves, terms, checkpoints) | {name: terms[name][:, None] * factor for name in ("E", "A")}


def own_exponent(curves: Curves, terms: dict[str, Any], checkpoints: int) -> dict[str, Any]:
    """And changes the exponent of data, by a factor."""
    factor = _factor("slower", 0.5, 0.3, checkpoints)
    return shifted(curves, terms, checkpoints) | {"beta": terms["beta"][:, None] * factor}


def transferred(curves: Curves, terms: dict[str, Any], checkpoints: int) -> dict[str, Any]:
    """D_0 D^delta tokens are transferred."""
    started = limited(curves, terms, checkpoints)
    return {name: started[name] for name in ("D_0", "delta")}


def limited(curves: Curves, terms: dict[str, Any], checkpoints: int) -> dict[str, Any]:
    """The same up to a limit, as shipped."""
    started: dict[str, Any] = MODULE.from_checkpoint(curves, checkpoints)
    return started


FORMS = {
    "shifted": shifted,
    "floor": own_floor,
    "exponent": own_exponent,
    "transferred": transferred,
    "limited": limited,
}


def _factor(name: str, typical: float, varied: float, checkpoints: int) -> jax.Array:
    """A factor of each checkpoint, in logs normal around a location of standard deviation `typical`."""
    location = numpyro.sample(f"{name}_location", dist.Normal(0.0, typical))
    scale = numpyro.sample(f"{name}_scale", dist.LogNormal(jnp.log(varied), 0.7))
    with numpyro.plate("source", checkpoints):
        population = pooled_from(f"{name}_location", f"{name}_scale")
        return jnp.exp(numpyro.sample(name, dist.Normal(location, scale), infer=population))


def model_of(form: str) -> Model:
    """The model with another curve from a checkpoint, as the sampler calls it."""

    def model(covariates: dict[str, Any], loss: Any) -> Any:
        curves, started = covariates["curves"], covariates["source_started"]
        terms = MODULE.from_scratch(curves, covariates["tokens"], covariates["unique"])
        changed = FORMS[form](curves, terms, started.shape[-1])
        return MODULE.compare(**covariates, loss=loss, terms=terms, started=changed)

    return model


def folds_of(part: str, data: CurveData, folds: int) -> list[Flags]:
    """Rows ``(run, 1)`` hidden in each fold; every run of the table is one row."""
    language = np.asarray(data.curves.language.of_curve)[:, None]
    if part == "rows":
        of_row = np.random.default_rng(0).permutation(len(language))[:, None] % folds
        return [of_row == fold for fold in range(folds)]
    units = np.array([data.references[name]["tokens"] for name in data.languages])[language]
    tokens, started = np.asarray(data.covariates["tokens"]), np.asarray(data.covariates["source_started"])
    seen = (part == "scaled") & (tokens * units <= SMALL) & (started.sum(axis=-1) == 0)
    return [(language == index) & ~seen for index in range(len(data.languages))]


def predicted(model: Model, data: CurveData, folds: Sequence[Flags], settings: Settings) -> tuple[Floats, Floats]:
    """Draws ``(draw, run)`` of log losses as they would be measured, and log densities of those that were.

    Each row's are from the fold that hid it.
    """
    curves = data.curves
    covariates = [
        data.covariates | {"curves": curves._replace(observed=np.asarray(curves.observed) & ~hidden)}
        for hidden in folds
    ]
    shape = (settings.chains * settings.round, len(data.loss))
    draws, density = np.full(shape, np.nan), np.full(shape, np.nan)
    sampled = sample_many(model, [(each, data.loss) for each in covariates], settings)

    def one(key: Any, sites: dict[str, Any], given: dict[str, Any]) -> tuple[Any, Any]:
        seeded = handlers.seed(handlers.substitute(model, sites), 0)
        fitted = handlers.trace(seeded).get_trace(given, data.loss)["log_loss"]["fn"]
        noise = CurveStudentT(fitted.loc, fitted.scale, fitted.persistence, fitted.nu, curves.observed)
        return noise.sample(key)[:, 0], noise.log_prob(jnp.log(data.loss))

    each = jax.jit(jax.vmap(one, in_axes=(0, 0, None)))
    for fold, (hidden, given) in enumerate(zip(folds, covariates, strict=True)):
        sites = {name: values.reshape(-1, *values.shape[2:]) for name, values in sampled[fold].sites.items()}
        found = each(jax.random.split(jax.random.PRNGKey(fold), shape[0]), sites, given)
        for to, values in zip((draws, density), found, strict=True):
            to[:, hidden[:, 0]] = np.asarray(values)[:, hidden[:, 0]]
    return draws, density


def scores(data: CurveData, draws: Floats, density: Floats) -> dict[str, float]:
    """Log score and CRPS (means over rows), coverage and mean width in logs of the intervals, rows scored."""
    scored = ~np.isnan(draws[0])
    draws, density, observed = draws[:, scored], density[:, scored], np.log(data.loss[scored, 0])
    lower, upper = np.quantile(draws, [(1 - PROBABILITY) / 2, (1 + PROBABILITY) / 2], axis=0)
    return {
        "log score": float((np.logaddexp.reduce(density, axis=0) - np.log(len(density))).mean()),
        "CRPS": float(crps(np.sort(draws, axis=0).T, observed).mean()),
        "coverage": float(((lower <= observed) & (observed <= upper)).mean()),
        "width": float((upper - lower).mean()),
        "rows": int(scored.sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--folds", type=int, default=6, help="of rows")
    parser.add_argument("--warmup", type=int, default=300)
    parser.add_argument("--draws", type=int, default=300)
    arguments = parser.parse_args()
    runs = read_runs(Path(os.environ["BAYES_ATLAS_DATA"]) / "pretrain_vs_finetune_bytes.csv")
    data = arrange(runs, FILE.covariates)
    settings = Settings(2, arguments.warmup, arguments.draws, 0, 0.9, 8)
    use_platform("cpu")
    keep_compiled()
    with precision("cpu"):
        for form in arguments.forms:
            model = model_of(form)
            for part in arguments.parts:
                found = predicted(model, data, folds_of(part, data, arguments.folds), settings)
                line = "  ".join(f"{name} {value:.4g}" for name, value in scores(data, *found).items())
                print(f"{part:10} {form:12} {line}", flush=True)


if __name__ == "__main__":
    main()
