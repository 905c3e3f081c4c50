"""The record of a fit: draws as a tree with named dims, the checks, and what a later reader needs."""

import hashlib
import importlib.metadata
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import arviz as az
import jax
import numpy as np
import xarray as xr

from bayes_atlas.catalogue import observed_by
from bayes_atlas.inference.checks import named_checks
from bayes_atlas.inference.prepare import Arranged, Prepared, Task
from bayes_atlas.inference.staleness import probe
from bayes_atlas.observations.curves import ModelData
from bayes_atlas.posterior import Info, Posterior, Runs, Sampling, thin
from bayes_atlas.sampler import Draws, digest

RECORDED = ("bayes-atlas", "jax", "jaxlib", "numpyro", "arviz", "xarray", "numpy")


class Without(NamedTuple):
    """What a fit that left some curves out says of all of them."""

    log_likelihood: xr.DataArray  # (chain, draw, run), of the curves left out too
    failed_checks: list[str]  # of the sampling


def recorded(
    task: Task, table: Prepared, sampled: Draws, *, title: str | None = None, prior: Mapping[str, Any] | None = None
) -> Posterior:
    data, settings = table.data, task.settings
    tree = _tree(sampled, data, prior)
    drawn = tree["posterior"].sizes["draw"]
    kept = min(task.kept, drawn)
    checks = named_checks(tree, settings.max_tree_depth, blamed=_named(sampled.blamed, sampled.dims, data))
    tree = thin(_slim(tree, task.with_data), kept)
    if hasattr(task.module, "IMPUTED"):
        tree = _imputed(task, data, tree)
    return Posterior(
        draws=tree,
        info=Info(
            title=title or f"{task.path.stem} fitted to {table.name}",
            model=task.model,
            model_sha256=hashlib.sha256(task.path.read_bytes()).hexdigest(),
            law=task.law,
            languages=data.languages,
            sources={language: [name for name in names if name] for language, names in data.sources.items()},
            tau_from=table.tau_from,
            references=data.references,
            runs=Runs(
                name=table.name,
                sha256=table.sha256,
                rows=data.rows,
                curves=len(data.coords["run" if "run" in data.coords else "dyad"]),
                left_out=table.left_out,
                ranges=table.ranges,
            ),
            sampling=Sampling(
                chains=settings.chains,
                warmup=settings.warmup,
                draws=drawn,
                kept=kept,
                interrupted=sampled.interrupted,
                seed=settings.seed,
                target_accept=sampled.target_accept,
                max_tree_depth=settings.max_tree_depth,
                platform=task.platform,
                seconds=round(time.monotonic() - task.began, 1),
            ),
            checks=checks,
            staleness=probe(task.module, tree, data),
            versions={name: importlib.metadata.version(name) for name in RECORDED},
            created=datetime.now(UTC).replace(microsecond=0),
        ),
        name="this posterior",
    )


def without(task: Task, data: ModelData, sampled: Draws) -> Without:
    tree = _tree(sampled, data, None)
    checks = named_checks(tree, task.settings.max_tree_depth)
    return Without(
        tree["log_likelihood"].to_dataset()["log_loss"], [check.name for check in checks if not check.passed]
    )


def identity_of(task: Task, data: Any) -> dict[str, str]:
    """What a run that is resumed must have in common with the one that was begun."""
    return {
        "run table": digest([np.asarray(leaf) for leaf in jax.tree.leaves(data)]),
        "model": hashlib.sha256(task.path.read_bytes()).hexdigest(),
        "setting of the sampler": repr(task.settings),
        "platform": task.platform,
    } | {f"version of {name}": importlib.metadata.version(name) for name in ("bayes-atlas", "jax", "numpyro")}


def _named(places: Sequence[tuple[str, tuple[int, ...]]], dims: Mapping[str, Sequence[str]], data: Arranged) -> str:
    """Parameters by the names behind their indices, such as ``alpha[sw]``."""
    named = []
    for site, index in places:
        labels = [
            data.coords[dim][at] if data.coords.get(dim) else str(at)
            for dim, at in zip(dims[site], index, strict=False)
        ]
        named.append(f"{site}[{', '.join(labels)}]" if labels else site)
    return ", ".join(named)


def _tree(sampled: Draws, data: Arranged, prior: Mapping[str, Any] | None) -> xr.DataTree:
    def own(name: str, values: Any) -> np.ndarray:
        """Without model sizes that only other tables have, and without the curves that pad the program."""
        if isinstance(data, ModelData):
            for dim, count in (("size", data.curves.size.groups), ("run", len(data.coords["run"]))):
                if dim in sampled.dims[name]:
                    at = sampled.dims[name].index(dim) - len(sampled.dims[name])
                    values = np.take(values, range(count), axis=at)
        return np.asarray(values)

    groups = {"posterior": {name: own(name, values) for name, values in sampled.sites.items()}}
    if prior is not None:
        groups["prior"] = {name: own(name, prior[name])[None] for name in sampled.sites}
    described, dims = data.described(sampled.log_likelihood)
    return az.from_dict(
        groups | {"sample_stats": sampled.stats} | described,
        coords={name: values for name, values in data.coords.items() if values},
        dims=sampled.dims | dims,
    )


def _imputed(task: Task, data: Arranged, tree: xr.DataTree) -> xr.DataTree:
    """With what the model's `impute` draws, given each stored draw, of the sites in its ``IMPUTED`` (name -> dims)."""
    stored = tree["posterior"].to_dataset()
    chains, draws = stored.sizes["chain"], stored.sizes["draw"]
    sites = {str(name): values.to_numpy().astype(float) for name, values in stored.items()}
    covariates, observed = data.packed()

    def each(key: jax.Array, sites: dict[str, jax.Array]) -> dict[str, jax.Array]:
        return task.module.impute(key, **covariates, **{observed_by(task.module.model): observed, "sites": sites})

    keys = jax.random.split(jax.random.PRNGKey(task.settings.seed), (chains, draws))
    drawn = jax.jit(jax.vmap(jax.vmap(each)))(keys, sites)
    dims = task.module.IMPUTED
    more = {name: (("chain", "draw", *dims[name]), np.asarray(values, np.float32)) for name, values in drawn.items()}
    stored = stored.assign_coords({dim: data.coords[dim] for name in dims for dim in dims[name]}).assign(more)
    return tree.assign({"posterior": xr.DataTree(stored)})


def _slim(tree: xr.DataTree, with_data: bool) -> xr.DataTree:
    """Single precision, which is far finer than the Monte Carlo error; without what describes single runs if asked."""
    dropped = () if with_data else ("log_likelihood", "observed_data", "constant_data")
    kept = {
        path.strip("/"): group.to_dataset().map(lambda v: v.astype(np.float32) if v.dtype == np.float64 else v)
        for path, group in tree.subtree_with_keys
        if path != "." and path not in dropped
    }
    return xr.DataTree.from_dict(kept)
