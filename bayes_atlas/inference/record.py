"""The record of a fit: draws as a tree with named dims, the checks, and the metadata of model, table and sampling."""

import importlib.metadata
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import arviz as az
import jax
import numpy as np
import xarray as xr

from bayes_atlas.folder.info import Check, Info, Runs, Sampling
from bayes_atlas.inference.causes import explained
from bayes_atlas.inference.checks import missing, named_checks
from bayes_atlas.inference.prepare import Prepared, Task
from bayes_atlas.inference.staleness import probe
from bayes_atlas.observations.curves import CurveData
from bayes_atlas.observations.kind import Covariates, Observations
from bayes_atlas.posterior import Posterior, thin
from bayes_atlas.sampler.checkpoint import digest
from bayes_atlas.sampler.draws import Draws, Missing
from bayes_atlas.sampler.driver import diverging

RECORDED = ("bayes-atlas", "jax", "jaxlib", "numpyro", "arviz", "xarray", "numpy")


class Without(NamedTuple):
    """The result of a fit that leaves out some curves."""

    log_likelihood: xr.DataArray  # (chain, draw, run), of all curves, including those left out
    failed_checks: list[str]  # of the sampling


def packed(data: Observations) -> tuple[Covariates, np.ndarray]:
    """Return covariates and observed values, padded to a shape that tables of similar size share."""
    return data.padded(None if data.shape is None else data.shape.rounded())


def recorded(
    task: Task, table: Prepared, sampled: Draws, *, title: str | None = None, prior: Mapping[str, Any] | None = None
) -> Posterior:
    """Return the posterior of the draws `sampled`, with its checks and its metadata."""
    data, options, model = table.data, task.options, task.model
    settings = options.settings
    tree = _tree(sampled, data, prior)
    drawn = tree["posterior"].sizes["draw"]
    kept = min(task.kept, drawn)
    checks = explained(checked(task, data, sampled, tree), tree["posterior"].to_dataset(), _curves(data))
    tree = thin(_slim(tree, options.with_data), kept)
    if hasattr(model.module, "IMPUTED"):
        tree = _imputed(task, data, tree)
    return Posterior(
        draws=tree,
        info=Info(
            title=title or f"{model.path.stem} fitted to {table.name}",
            model=model.name,
            model_sha256=model.sha256,
            law=model.law,
            languages=data.languages,
            sources={language: [name for name in names if name] for language, names in data.sources.items()},
            tau_from=table.tau_from,
            references=data.references,
            runs=Runs(
                name=table.name,
                sha256=table.sha256,
                rows=data.rows,
                curves=data.units,
                left_out=data.left_out,
                ranges=data.ranges,
                ranges_by_language=data.ranges_by_language,
            ),
            sampling=Sampling(
                chains=settings.chains,
                warmup=settings.warmup,
                draws=drawn,
                kept=kept,
                interrupted=sampled.interrupted,
                attempts=sampled.attempts,
                dropped=sampled.dropped,
                ended=sampled.ended,
                seed=settings.seed,
                target_accept=sampled.target_accept,
                max_tree_depth=settings.max_tree_depth,
                platform=options.platform,
                seconds=round(time.monotonic() - task.began, 1),
            ),
            checks=checks,
            staleness=probe(model, tree, data),
            versions={name: importlib.metadata.version(name) for name in RECORDED},
            created=datetime.now(UTC).replace(microsecond=0),
        ),
        name="this posterior",
    )


def checked(task: Task, data: Observations, sampled: Draws, tree: xr.DataTree | None = None) -> list[Check]:
    """Return the checks of the draws `sampled`, of which `tree` is the record if there is one."""
    tree = _tree(sampled, data, None) if tree is None else tree
    blamed = _named(sampled.blamed, sampled.dims, data)
    return named_checks(tree, task.options.settings.max_tree_depth, blamed=blamed)


def judged(task: Task, data: Observations, sampled: Draws) -> list[Missing]:
    """Return the checks that the draws `sampled` do not pass, for `bayes_atlas.sampler.driver.sample`."""
    if task.options.settings.draws is not None:
        return diverging(sampled)
    return missing(checked(task, data, sampled))


def without(task: Task, data: CurveData, sampled: Draws) -> Without:
    """Return the log likelihood of all curves and the failed checks of a fit that leaves out some curves."""
    tree = _tree(sampled, data, None)
    checks = checked(task, data, sampled, tree)
    return Without(
        tree["log_likelihood"].to_dataset()["log_loss"], [check.name for check in checks if not check.passed]
    )


def identity_of(task: Task, data: Any) -> dict[str, str]:
    """Return the identity of a run; a resumed run must match it."""
    return {
        "run table": digest([np.asarray(leaf) for leaf in jax.tree.leaves(data)]),
        "model": task.model.sha256,
        "setting of the sampler": repr(task.options.settings),
        "platform": task.options.platform,
    } | {f"version of {name}": importlib.metadata.version(name) for name in ("bayes-atlas", "jax", "numpyro")}


def _named(places: Sequence[tuple[str, tuple[int, ...]]], dims: Mapping[str, Sequence[str]], data: Observations) -> str:
    """Return parameters with labels in place of indices, such as ``alpha[sw]``."""
    named = []
    for site, index in places:
        labels = [
            data.coords[dim][at] if data.coords.get(dim) else str(at)
            for dim, at in zip(dims[site], index, strict=False)
        ]
        named.append(f"{site}[{', '.join(labels)}]" if labels else site)
    return ", ".join(named)


def _curves(data: Observations) -> dict[str, int]:
    """Return the number of curves by language; none for tables other than run tables."""
    if not isinstance(data, CurveData):
        return {}
    return dict(zip(data.languages, data.curves.language.is_member.sum(axis=1).astype(int).tolist(), strict=True))


def _tree(sampled: Draws, data: Observations, prior: Mapping[str, Any] | None) -> xr.DataTree:
    def own(name: str, values: Any) -> np.ndarray:
        return np.asarray(data.own(values, sampled.dims[name]))

    groups = {"posterior": {name: own(name, values) for name, values in sampled.sites.items()}}
    if prior is not None:
        groups["prior"] = {name: own(name, prior[name])[None] for name in sampled.sites}
    described, dims = data.stored(sampled.log_likelihood)
    return az.from_dict(
        groups | {"sample_stats": sampled.stats} | described,
        coords={name: values for name, values in data.coords.items() if values},
        dims=sampled.dims | dims,
    )


def _imputed(task: Task, data: Observations, tree: xr.DataTree) -> xr.DataTree:
    """Add the sites in the model's ``IMPUTED`` (name -> dims), drawn by its `impute` given each stored draw."""
    stored = tree["posterior"].to_dataset()
    chains, draws = stored.sizes["chain"], stored.sizes["draw"]
    sites = {str(name): values.to_numpy().astype(float) for name, values in stored.items()}
    covariates, observed = packed(data)

    def each(key: jax.Array, sites: dict[str, jax.Array]) -> dict[str, jax.Array]:
        return task.model.module.impute(key, **covariates, **{task.model.observed: observed, "sites": sites})

    keys = jax.random.split(jax.random.PRNGKey(task.options.settings.seed), (chains, draws))
    drawn = jax.jit(jax.vmap(jax.vmap(each)))(keys, sites)
    dims: dict[str, tuple[str, ...]] = task.model.module.IMPUTED
    more = {name: (("chain", "draw", *dims[name]), np.asarray(values, np.float32)) for name, values in drawn.items()}
    stored = stored.assign_coords({dim: data.coords[dim] for name in dims for dim in dims[name]}).assign(more)
    return tree.assign({"posterior": xr.DataTree(stored)})


def _slim(tree: xr.DataTree, with_data: bool) -> xr.DataTree:
    """Convert to single precision, far finer than the Monte Carlo error; drop the data unless `with_data`."""
    dropped = () if with_data else ("log_likelihood", "observed_data", "constant_data")
    kept = {
        path.strip("/"): group.to_dataset().map(lambda v: v.astype(np.float32) if v.dtype == np.float64 else v)
        for path, group in tree.subtree_with_keys
        if path != "." and path not in dropped
    }
    return xr.DataTree.from_dict(kept)
