"""Fit a model to a run table: arrange, sample, check, and record everything a later reader needs.

This module, the sampler and what models share are the only code that loads jax and numpyro.
"""

import hashlib
import importlib.metadata
import inspect
import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from numpyro import handlers
from numpyro.infer import Predictive
from numpyro.infer.util import log_density

from bayes_atlas.catalogue import NameOrPath, find_model, load_model
from bayes_atlas.curves import Curves, Group, ModelData, arrange
from bayes_atlas.diagnostics import named_checks
from bayes_atlas.errors import InputError
from bayes_atlas.laws import get_law
from bayes_atlas.posterior import Info, Posterior, Runs, Sampling, Staleness, thin
from bayes_atlas.runs import group_runs
from bayes_atlas.sampler import Data, Draws, Progress, Settings, sample

NAMED_SOURCES = 3  # as in the paper
PLATFORMS = ("cpu", "gpu", "tpu")
PRIOR_DRAWS = 500
PROBES = 3  # stored draws whose log density decides staleness
RECORDED = ("bayes-atlas", "jax", "jaxlib", "numpyro", "arviz", "xarray", "numpy")
SCRATCH = "scratch"


def fit(
    runs: xr.Dataset,
    model: NameOrPath = "atlas",
    *,
    languages: Sequence[str] = (),
    by: Sequence[str] = (),
    sources: int = NAMED_SOURCES,
    chains: int = 4,
    warmup: int = 1000,
    draws: int = 1000,
    seed: int = 0,
    target_accept: float = 0.9,
    max_tree_depth: int = 10,
    platform: str = "cpu",
    keep: int | None = None,
    with_data: bool = True,
    title: str | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Posterior:
    """Sample the posterior of `model` given `runs`.

    Args:
        runs: a run table, from `read_runs`.
        model: name of a shipped model, or path of a model file; **loading a file executes it**.
        languages: those whose losses to fit, all of them by default; the others stay as sources.
        by: labels (``vocabulary``, ``mixture``, ..) whose values get parameters of their own, as ``language:label``.
        sources: how many named sources each language has, the most co-sampled ones (models with transfer).
        chains, warmup, draws, seed, target_accept, max_tree_depth: of NUTS; `warmup` and `draws` per chain.
        platform: ``cpu``, ``gpu`` or ``tpu``.
        keep: draws per chain to keep, evenly spaced; checks are of all.
        with_data: keep the run table and the pointwise log likelihood with the posterior.
        title: one line that says what this posterior is.
        report: called after each block of draws.

    Raises:
        InputError: the model does not fit the table, or a setting is out of range.
        ModelError: the model file cannot be used.
    """
    began = time.monotonic()
    settings = Settings(chains, warmup, draws, seed, target_accept, max_tree_depth)
    if keep is not None and keep < 1:
        raise InputError(f"keep is {keep}; it must be at least 1, or None for all draws")
    path, module = find_model(model), load_model(model)
    law = _law_of(module, path)
    fitted, left_out = _select(runs, languages)
    fitted = group_runs(fitted, by) if by else fitted
    _use(platform, chains)
    with jax.enable_x64(platform == "cpu"):
        data = arrange(fitted, _wanted(module), sources=sources)
        sampled = sample(module.model, (data.covariates, jnp.asarray(data.loss)), settings, report)
        tree = _tree(sampled, data, module, seed)
        checks = named_checks(tree, max_tree_depth)
        kept = draws if keep is None else min(keep, draws)
        tree = thin(_slim(tree, with_data), kept)
        staleness = _probe(module, tree, data)
    return Posterior(
        draws=tree,
        info=Info(
            title=title or f"{path.stem} fitted to {runs.attrs['name']}",
            model=path.stem if str(model) == path.stem else str(model),
            model_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            law=law,
            languages=data.coords["language"],
            sources={language: [name for name in names if name] for language, names in data.sources.items()},
            references=data.references,
            runs=Runs(
                name=runs.attrs["name"],
                sha256=runs.attrs["sha256"],
                rows=data.rows,
                curves=len(data.coords["run"]),
                left_out=left_out,
                ranges=_ranges(fitted),
            ),
            sampling=Sampling(
                chains=chains,
                warmup=warmup,
                draws=draws,
                kept=kept,
                seed=seed,
                target_accept=target_accept,
                max_tree_depth=max_tree_depth,
                platform=platform,
                seconds=round(time.monotonic() - began, 1),
            ),
            checks=checks,
            staleness=staleness,
            versions={name: importlib.metadata.version(name) for name in RECORDED},
            created=datetime.now(UTC).replace(microsecond=0),
        ),
        name="this posterior",
    )


def is_stale(posterior: Posterior) -> bool:
    """Whether the model's text no longer gives the log density that was recorded at stored draws.

    A model that asks for other covariates, or has sites the stored draws lack, is stale too.

    Raises:
        InputError: the posterior's model is not to be found.
    """
    recorded = posterior.info.staleness
    _use(posterior.info.sampling.platform, 1)
    with jax.enable_x64(posterior.info.sampling.platform == "cpu"):
        module, languages = load_model(posterior.info.model), len(posterior.info.languages)
        if set(recorded.covariates) != set(_wanted(module)):
            return True
        covariates, loss = _made_up(recorded, languages)
        seeded = handlers.seed(module.model, jax.random.key(0))
        trace = handlers.trace(seeded).get_trace(**covariates, loss=loss)
        latent = {name for name, site in trace.items() if site["type"] == "sample" and not site["is_observed"]}
        if not latent <= set(posterior.draws["posterior"].data_vars):
            return True
        now = _log_density(module, posterior.draws, languages, recorded)
    return not np.allclose(now, recorded.log_density, rtol=1e-5, atol=1e-3)


def _wanted(module: ModuleType) -> list[str]:
    """Covariates that a model asks for, by name."""
    return [name for name in inspect.signature(module.model).parameters if name != "loss"]


def _law_of(module: ModuleType, path: Path) -> str:
    law = getattr(module, "LAW", None)
    if not isinstance(law, str):
        raise InputError(f"{path} does not name its law; add a line such as LAW = 'chinchilla'")
    get_law(law)
    return law


def _select(runs: xr.Dataset, languages: Sequence[str]) -> tuple[xr.Dataset, dict[str, int]]:
    """Rows to fit: of the `languages` asked for, and of runs from scratch, which is what the laws describe.

    Also how many rows each of the two conditions left out.
    """
    known = np.unique(runs["language"].to_numpy()).tolist()
    unknown = [language for language in languages if language not in known]
    if unknown:
        raise InputError(f"{runs.attrs['name']} has no language {unknown[0]!r}; choose from: {', '.join(known)}")
    wanted = np.isin(runs["language"].to_numpy(), list(languages) or known)
    scratch = runs["init"].to_numpy() == SCRATCH
    if not (wanted & scratch).any():
        raise InputError(
            f"no run of {runs.attrs['name']} started from scratch (column init), and this model describes only those; "
            f"add runs with init = {SCRATCH}"
        )
    left_out = {
        "are of other languages": int((~wanted).sum()),
        "started from a checkpoint": int((wanted & ~scratch).sum()),
    }
    return runs.isel(row=wanted & scratch), {reason: rows for reason, rows in left_out.items() if rows}


def _ranges(runs: xr.Dataset) -> dict[str, tuple[float, float]]:
    columns = {name: runs[name].to_numpy() for name in ("params", "tokens", "compute")}
    columns["epochs"] = columns["tokens"] / np.minimum(runs["unique"].to_numpy(), columns["tokens"])
    return {name: (float(values.min()), float(values.max())) for name, values in columns.items()}


def _use(platform: str, chains: int) -> None:
    """Choose the platform and, on CPU, one device per core, where jax has not started yet."""
    if platform not in PLATFORMS:
        raise InputError(f"platform is {platform!r}; choose one of: {', '.join(PLATFORMS)}")
    try:
        jax.config.update("jax_platforms", {"gpu": "cuda"}.get(platform, platform))
        jax.config.update("jax_num_cpu_devices", max(1, min(chains, len(os.sched_getaffinity(0)))))
    except RuntimeError:
        pass  # jax is running already, with the devices it has
    try:
        backend = jax.default_backend()
    except RuntimeError as error:
        raise InputError(
            f"platform {platform} is not to be had here ({error}); use --platform cpu, or install bayes-atlas with the "
            f"extra for it ([cuda], [tpu])"
        ) from error
    if backend != platform:
        raise InputError(f"jax already runs on {backend} in this process; fit on {platform} in a new one")


def _tree(sampled: Draws, data: ModelData, module: ModuleType, seed: int) -> xr.DataTree:
    def predict(covariates: dict[str, Any], loss: Any) -> Any:
        return module.model(**covariates, loss=loss)

    predictive = Predictive(predict, num_samples=PRIOR_DRAWS)
    prior = jax.jit(predictive)(jax.random.key(seed), data.covariates, jnp.asarray(data.loss))
    covariates = {
        name: np.asarray(values)
        for name, values in data.covariates.items()
        if values is not None and not isinstance(values, Curves)
    }
    steps = {name: ["run", "step", "source"][: values.ndim] for name, values in covariates.items()}
    return az.from_dict(
        {
            "posterior": sampled.sites,
            "sample_stats": sampled.stats,
            "prior": {name: np.asarray(prior[name])[None] for name in sampled.sites},
            "log_likelihood": {"log_loss": sampled.log_likelihood},
            "observed_data": {"loss": np.where(data.curves.observed, data.loss, np.nan)},
            "constant_data": covariates | {"language_index": np.asarray(data.curves.language.of_curve)},
        },
        coords={name: values for name, values in data.coords.items() if values},
        dims=sampled.dims | steps | {"log_loss": ["run"], "loss": ["run", "step"], "language_index": ["run"]},
    )


def _slim(tree: xr.DataTree, with_data: bool) -> xr.DataTree:
    """Single precision, which is far finer than the Monte Carlo error; without what describes single runs if asked."""
    dropped = () if with_data else ("log_likelihood", "observed_data", "constant_data")
    kept = {
        path.strip("/"): group.to_dataset().map(lambda v: v.astype(np.float32) if v.dtype == np.float64 else v)
        for path, group in tree.subtree_with_keys
        if path != "." and path not in dropped
    }
    return xr.DataTree.from_dict(kept)


def _probe(module: ModuleType, tree: xr.DataTree, data: ModelData) -> Staleness:
    posterior = tree["posterior"]
    chains, draws = posterior.sizes["chain"], posterior.sizes["draw"]
    shape = Staleness(
        draws=[(probe % chains, probe * draws // PROBES) for probe in range(PROBES)],
        log_density=[],
        covariates={name: value is not None for name, value in data.covariates.items()},
        sources=len(data.coords["source"]),
        sizes=data.curves.size.groups,
        repeated=data.curves.repeated,
        epochs=data.curves.epochs is not None,
    )
    return shape.model_copy(update={"log_density": _log_density(module, tree, len(data.coords["language"]), shape)})


def _log_density(module: ModuleType, tree: xr.DataTree, languages: int, shape: Staleness) -> list[float]:
    """Log joint density at the stored draws, on made-up covariates and losses that need no run table."""
    covariates, loss = _made_up(shape, languages)
    posterior = tree["posterior"].to_dataset()

    @jax.jit
    def density(sites: dict[str, jax.Array]) -> jax.Array:
        return log_density(module.model, (), covariates | {"loss": loss}, sites)[0]

    values = []
    for chain, draw in shape.draws:
        sites = {
            str(name): jnp.asarray(v.to_numpy(), float) for name, v in posterior.isel(chain=chain, draw=draw).items()
        }
        values.append(float(density(sites)))
    return values


def _made_up(shape: Staleness, languages: int) -> Data:
    """Curves that visit every language and model size, with covariates log-normal around their reference."""
    rng = np.random.default_rng(0)
    curves, steps = max(languages, shape.sizes), 2 if shape.repeated else 1
    covariates: dict[str, Any] = {}
    for name, given in shape.covariates.items():
        size = (curves, steps, shape.sources) if name.startswith("source_") else (curves, steps)
        covariates[name] = jnp.asarray(np.exp(rng.normal(size=size))) if given else None
    covariates["curves"] = Curves(
        language=Group.of(np.arange(curves) % languages),
        size=Group.of(np.arange(curves) % shape.sizes),
        observed=jnp.ones((curves, steps), dtype=bool),
        stage=jnp.asarray(np.tile(np.log([2.0, 1.0])[-steps:], (curves, 1))),
        epochs=jnp.abs(jnp.asarray(rng.normal(size=(curves, steps)))) if shape.epochs else None,
    )
    return covariates, jnp.asarray(np.exp(1 + 0.1 * rng.normal(size=(curves, steps))))
