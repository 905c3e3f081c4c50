"""The sampling driver: NUTS on a whitened posterior, as one compiled program per shape of data.

A model is a NumPyro function of covariates and a loss; all of it is flattened to one vector
``x = centre + factor @ z``, and chains move in `z`, where the posterior is near a standard normal and one
step size serves all directions.

1. `find_start` finds the mode with the pooling scales held, alternating with an update of those scales (free, they have
   no useful joint mode), and takes the curvature there as the first metric.
2. Warm-up has `PHASES` phases; after each but the last the metric is estimated anew from the draws of all chains
   together, shrunk towards what it was, as far as their number against the dimensions warrants (`_refine`). That works
   unchanged from six dimensions to a thousand, where adapting a dense metric from one chain's own short windows does
   not.
3. Chains are mapped over the devices in blocks of draws, so that progress can be shown. Data and metric are arguments
   of the compiled program, never constants of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.handlers as handlers
import scipy.optimize
from jax.flatten_util import ravel_pytree
from jax.sharding import AxisType, PartitionSpec
from numpyro.infer.hmc import hmc
from numpyro.infer.initialization import init_to_median
from numpyro.infer.util import constrain_fn, potential_energy, unconstrain_fn

from bayes_atlas.errors import InputError

type Model = Callable[..., Any]
type Data = tuple[dict[str, Any], Any]  # covariates by name, loss

BLOCK = 50  # draws between two reports of progress
PHASES = 3  # of warm-up
LEAST_CURVATURE = 0.25  # of a direction, in units where priors are of order one
SETTLED = 0.1  # move of the mode in standard deviations, and of a log scale, below which the start is found
HESSIAN_COLUMNS = 16  # at a time: few enough to stay in the cache
SCALE_SUFFIX, LOCATION_SUFFIX = "_scale", "_location"


@dataclass(frozen=True)
class Settings:
    """How to sample: `warmup` and `draws` per chain, in multiples of `BLOCK`, `warmup` with one for every phase."""

    chains: int = 4
    warmup: int = 1000
    draws: int = 1000
    seed: int = 0
    target_accept: float = 0.9
    max_tree_depth: int = 10

    def __post_init__(self) -> None:
        for name, least in (("chains", 1), ("warmup", PHASES * BLOCK), ("draws", BLOCK)):
            value = getattr(self, name)
            step = least if name == "chains" else BLOCK
            if value < least or value % step:
                rule = f"at least {least}" + (f" and a multiple of {step}" if step > 1 else "")
                raise InputError(f"{name} is {value}; it must be {rule}")
        if not 0.5 <= self.target_accept < 1:
            raise InputError(f"target_accept is {self.target_accept}; it must lie in [.5, 1), such as .9")
        if not 1 <= self.max_tree_depth <= 15:
            raise InputError(f"max_tree_depth is {self.max_tree_depth}; it must lie between 1 and 15, such as 10")

    @property
    def phases(self) -> list[int]:
        """Length of each warm-up phase; the first takes what does not divide."""
        each = self.warmup // PHASES // BLOCK * BLOCK
        return [self.warmup - (PHASES - 1) * each] + [each] * (PHASES - 1)


@dataclass(frozen=True)
class Draws:
    """What was sampled. All arrays start with (chain, draw)."""

    sites: dict[str, np.ndarray]
    dims: dict[str, list[str]]  # of each site, after chain and draw
    log_likelihood: np.ndarray  # (chain, draw, run)
    stats: dict[str, np.ndarray]


@dataclass(frozen=True)
class Progress:
    """Where a fit is; handed to the caller after each block."""

    done: int  # iterations of each chain, warm-up included
    total: int
    warming: bool
    divergences: int  # after warm-up
    gradients: float  # per iteration, mean over the block


class Density:
    """A model's joint density as a function of one unconstrained vector."""

    def __init__(self, model: Model, data: Data, seed: int = 0) -> None:
        def call(covariates: dict[str, Any], loss: Any) -> Any:
            return model(**covariates, loss=loss)

        self.model = call
        sites = jax.jit(self._initial)(jax.random.key(seed), data)
        self.initial, self._unravel = ravel_pytree(sites)
        self.coordinates = np.repeat(list(sites), [np.size(value) for value in sites.values()])
        self.value_and_grad = jax.jit(jax.value_and_grad(self.potential))
        self.hessian = jax.jit(self._hessian)
        self.centred = Centring.none(self.initial.size)

    def _initial(self, key: jax.Array, data: Data) -> dict[str, jax.Array]:
        """The prior's median, unconstrained, by site."""
        seeded = handlers.substitute(handlers.seed(self.model, key), substitute_fn=init_to_median(num_samples=25))
        trace = handlers.trace(seeded).get_trace(*data)
        values = {name: site["value"] for name, site in trace.items() if _is_latent(site)}
        unconstrained: dict[str, jax.Array] = unconstrain_fn(handlers.seed(self.model, key), data, {}, values)
        return dict(sorted(unconstrained.items()))

    def potential(self, vector: jax.Array, data: Data) -> jax.Array:
        """Minus the log joint density at an unconstrained vector, with its Jacobian."""
        return potential_energy(self.model, data, {}, self._unravel(vector))

    def apart(self, v: jax.Array, centring: "Centring", data: Data) -> jax.Array:
        """The potential of a vector that is sampled apart from its scales."""
        vector, log_determinant = centring.apply(v)
        return self.potential(vector, data) - log_determinant

    def _hessian(self, v: jax.Array, centring: "Centring", data: Data) -> jax.Array:
        def column(direction: jax.Array) -> jax.Array:
            return jax.jvp(jax.grad(lambda v: self.apart(v, centring, data)), (v,), (direction,))[1]

        return jax.lax.map(column, jnp.eye(v.size, dtype=v.dtype), batch_size=HESSIAN_COLUMNS)

    def sites(self, vector: jax.Array, data: Data) -> tuple[dict[str, jax.Array], jax.Array]:
        """Every site's value on its own scale, deterministic ones too, and the log likelihood of each curve."""
        values = constrain_fn(self.model, data, {}, self._unravel(vector), return_deterministic=True)
        traced = handlers.trace(handlers.substitute(self.model, data=values)).get_trace(*data)
        observed = [site for site in traced.values() if site["type"] == "sample" and site["is_observed"]]
        kept = {name: value for name, value in values.items() if not any(value is site["value"] for site in observed)}
        return kept, sum(site["fn"].log_prob(site["value"]) for site in observed)

    def dims(self, data: Data) -> dict[str, list[str]]:
        """Names of each site's dimensions: those of its plates."""
        dims = {}

        def record(data: Data) -> None:
            trace = handlers.trace(handlers.seed(self.model, jax.random.key(0))).get_trace(*data)
            for name, site in trace.items():
                if _is_latent(site) or site["type"] == "deterministic":
                    frames = sorted(site["cond_indep_stack"], key=lambda frame: frame.dim)
                    dims[name] = [frame.name for frame in frames]

        jax.eval_shape(record, data)  # computes nothing
        return dims


def _is_latent(site: dict[str, Any]) -> bool:
    return site["type"] == "sample" and not site["is_observed"]


class Centring(NamedTuple):
    """How far each pooled parameter is sampled apart from its population's scale; arrays ``(dimension,)``.

    A parameter u of location m and log scale s is sampled as v with ``u = m + (v - m) exp(weight (s - s0))``: at weight
    0 as it is (centred, right where the runs determine it), at weight 1 in units of the scale (non-centred, right where
    they do not). At s = s0 both are the same point, so the metric found there serves either.
    """

    location: jax.Array  # index of m in the vector
    scale: jax.Array  # index of s
    located: jax.Array  # 0 where m is zero
    weight: jax.Array  # 0 where the coordinate is no pooled parameter
    start: jax.Array  # s0

    def apply(self, v: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The vector u and the log determinant of its Jacobian."""
        stretch = self.weight * (v[self.scale] - self.start)
        centre = v[self.location] * self.located
        return centre + (v - centre) * jnp.exp(stretch), stretch.sum()

    @classmethod
    def none(cls, size: int) -> "Centring":
        """Everything centred."""
        nowhere, zero = jnp.zeros(size, dtype=int), jnp.zeros(size)
        return cls(nowhere, nowhere, zero, zero, zero)

    @classmethod
    def of(cls, mode: np.ndarray, curvature: np.ndarray, pools: dict[str, "_Pool"]) -> "Centring":
        """As far apart as the runs say nothing of each parameter: the prior's share in its own curvature at the mode.

        Its own, with all others held: a parameter that the runs tie tightly to others stays centred, however wide its
        marginal, since moving it with its scale would tear it off them.
        """
        size = mode.size
        location, scale = np.zeros(size, dtype=int), np.zeros(size, dtype=int)
        located, weight = np.zeros(size), np.zeros(size)
        for pool in pools.values():
            scale[pool.members] = pool.scale
            if pool.location is not None:
                location[pool.members], located[pool.members] = pool.location, 1.0
            weight[pool.members] = np.clip(np.exp(-2 * mode[pool.scale]) / np.abs(curvature[pool.members]), 0, 1)
        return cls(*map(jnp.asarray, (location, scale, located, weight, mode[scale])))


@dataclass(frozen=True)
class Metric:
    """An affine map ``x = centre + factor @ z`` under which the posterior is near a standard normal in z."""

    centre: np.ndarray  # (dimension,)
    factor: np.ndarray  # (dimension, dimension), lower triangular


def find_start(density: Density, data: Data, rounds: int = 12) -> tuple[Metric, Centring]:
    """Mode and curvature given pooling scales, and the scales that offsets around it suggest (an EM step each round).

    Once both have settled, the curvature is taken anew with every parameter as far apart from its scale as the runs
    leave it undetermined, scales included.
    """
    pools = _pools(density.coordinates)
    held = np.char.endswith(density.coordinates, SCALE_SUFFIX)
    free = ~held
    mode = np.asarray(density.initial, dtype=float).copy()
    narrowest, widest = mode[held] - 4.0, mode[held] + 2.0
    for _ in range(rounds):
        hessian = np.asarray(density.hessian(mode, density.centred, data))
        step = np.zeros_like(hessian)
        step[np.ix_(free, free)] = _factor(hessian[np.ix_(free, free)])

        def objective(z: np.ndarray, mode: np.ndarray = mode, step: np.ndarray = step) -> tuple[float, np.ndarray]:
            value, gradient = density.value_and_grad(mode + step @ z, data)
            return float(value), step.T @ np.asarray(gradient, dtype=float)

        moved = scipy.optimize.minimize(
            objective, np.zeros(len(mode)), jac=True, method="L-BFGS-B", options={"maxiter": 100, "maxcor": 30}
        )
        mode = mode + step @ moved.x
        before = mode[held].copy()
        variance = (step**2).sum(axis=1)
        for pool in pools.values():
            offsets = mode[pool.members] - (0.0 if pool.location is None else mode[pool.location])
            mode[pool.scale] = 0.5 * np.log(np.mean(offsets**2 + variance[pool.members]))
        mode[held] = np.clip(mode[held], narrowest, widest)
        if np.abs(moved.x).max() < SETTLED and np.abs(mode[held] - before).max(initial=0.0) < SETTLED:
            break
    centring = Centring.of(mode, np.diag(hessian), pools)
    return Metric(mode, _factor(np.asarray(density.hessian(mode, centring, data)))), centring


@dataclass(frozen=True)
class _Pool:
    members: np.ndarray  # indices into the vector
    location: int | None  # None where the population is centred at zero
    scale: int


def _pools(coordinates: np.ndarray) -> dict[str, _Pool]:
    """Partially pooled parameters (see `bayes_atlas.pooling`) and where they stand in the vector."""
    where = {name: np.flatnonzero(coordinates == name) for name in map(str, np.unique(coordinates))}
    pools = {}
    for scale, place in where.items():
        name = scale.removesuffix(SCALE_SUFFIX)
        if name != scale and name in where:
            location = where.get(name + LOCATION_SUFFIX)
            pools[name] = _Pool(where[name], None if location is None else int(location[0]), int(place[0]))
    return pools


def _factor(hessian: np.ndarray) -> np.ndarray:
    """Lower-triangular factor of the inverse curvature; directions of little or wrong curvature get a wide step."""
    curvature, directions = np.linalg.eigh(hessian)
    covariance = (directions / np.maximum(np.abs(curvature), LEAST_CURVATURE)) @ directions.T
    return np.linalg.cholesky(covariance)


def _refine(metric: Metric, positions: np.ndarray) -> Metric:
    """The metric that `positions` ``(draw, dimension)`` of all chains suggest, shrunk towards `metric`."""
    count, size = positions.shape
    z = np.linalg.solve(metric.factor, (positions - metric.centre).T)
    weight = count / (count + 2 * size)
    covariance = weight * np.cov(z) + (1 - weight) * np.eye(size)
    return Metric(positions.mean(axis=0), metric.factor @ np.linalg.cholesky(np.atleast_2d(covariance)))


def sample(
    model: Model, data: Data, settings: Settings, report: Callable[[Progress], None] = lambda progress: None
) -> Draws:
    """Draw from the posterior of `model` given `data`; `report` is called after each block of draws."""
    data = jax.tree.map(jnp.asarray, data)
    density = Density(model, data, settings.seed)
    program = _Program(density, settings)
    metric, centring = find_start(density, data)
    keys = jax.random.split(jax.random.key(settings.seed), PHASES + 1)
    places = jax.random.normal(keys[-1], (settings.chains, metric.centre.size), metric.centre.dtype)
    positions = metric.centre + np.asarray(places) @ metric.factor.T
    done, divergences = 0, 0
    blocks: list[dict[str, np.ndarray]] = []
    for phase, (length, key) in enumerate(zip(settings.phases, keys, strict=False)):
        last = phase == PHASES - 1
        z = np.linalg.solve(metric.factor, (positions - metric.centre).T).T
        arguments = (jnp.asarray(metric.centre), jnp.asarray(metric.factor), centring, data)
        state = program.begin(jax.random.split(key, settings.chains), jnp.asarray(z), *arguments)
        blocks = []
        for step in range(BLOCK, length + last * settings.draws + 1, BLOCK):
            state, block = program.advance(state, *arguments)
            blocks.append(jax.tree.map(np.asarray, block))
            done += BLOCK
            divergences += int(blocks[-1]["diverging"].sum()) * (last and step > length)
            total, gradients = settings.warmup + settings.draws, float(blocks[-1]["n_steps"].mean())
            report(Progress(done, total, done <= settings.warmup, divergences, gradients))
        positions = blocks[-1]["position"][:, -1]
        if not last:
            later = [block["position"] for block in blocks[len(blocks) // 2 :]]
            metric = _refine(metric, np.concatenate(later, axis=1).reshape(-1, metric.centre.size))
    kept = blocks[settings.phases[-1] // BLOCK :]
    stats = {name: np.concatenate([block[name] for block in kept], axis=1) for name in kept[0]}
    vectors = stats.pop("position")
    sites, log_likelihood = program.describe(vectors, centring, data)
    return Draws(sites, density.dims(data), log_likelihood, stats)


class _Program:
    """The compiled parts of a run; chains are spread over the devices and mapped within each."""

    def __init__(self, density: Density, settings: Settings) -> None:
        self.density = density
        count = max(n for n in range(1, len(jax.devices()) + 1) if settings.chains % n == 0)
        self.mesh = jax.make_mesh((count,), ("chain",), devices=jax.devices()[:count], axis_types=(AxisType.Auto,))

        def potential_of(
            centre: jax.Array, factor: jax.Array, centring: Centring, data: Data
        ) -> Callable[[jax.Array], jax.Array]:
            return lambda z: density.apart(centre + factor @ z, centring, data)

        first, self.step = hmc(potential_fn_gen=potential_of, algo="NUTS")
        self.first = partial(
            first,
            num_warmup=settings.phases[-1],
            step_size=0.1,  # early trials reach up to ten times as far
            adapt_mass_matrix=False,
            target_accept_prob=settings.target_accept,
            max_tree_depth=settings.max_tree_depth,
        )

    def _over_chains(self, function: Callable[..., Any], mapped: Any, *arguments: Any) -> Any:
        """Apply `function(one chain, arguments)` to every chain of `mapped`."""

        def on_device(mapped: Any, *arguments: Any) -> Any:
            return jax.lax.map(lambda chain: function(chain, arguments), mapped)

        chain, everywhere = PartitionSpec("chain"), PartitionSpec()
        specs = (chain, *(everywhere for _ in arguments))
        sharded = jax.shard_map(on_device, mesh=self.mesh, in_specs=specs, out_specs=chain, check_vma=False)
        return sharded(mapped, *arguments)

    @partial(jax.jit, static_argnums=0)
    def begin(self, keys: jax.Array, z: jax.Array, *arguments: Any) -> Any:
        """State of every chain at its start."""

        def one(chain: tuple[jax.Array, jax.Array], arguments: Any) -> Any:
            return self.first(chain[1], model_args=arguments, rng_key=chain[0])

        return self._over_chains(one, (keys, z), *arguments)

    @partial(jax.jit, static_argnums=0)
    def advance(self, state: Any, *arguments: Any) -> Any:
        """The next block of every chain: its state, and what is recorded of each draw."""

        def one(state: Any, arguments: Any) -> Any:
            centre, factor, *_ = arguments

            def next_draw(state: Any, _: None) -> Any:
                state = self.step(state, arguments, {})
                return state, {
                    "position": centre + factor @ state.z,
                    "lp": -state.potential_energy,
                    "energy": state.energy,
                    "n_steps": state.num_steps,
                    "tree_depth": jnp.floor(jnp.log2(state.num_steps)).astype(jnp.int32) + 1,
                    "acceptance_rate": state.accept_prob,
                    "step_size": state.adapt_state.step_size,
                    "diverging": state.diverging,
                }

            return jax.lax.scan(next_draw, state, None, length=BLOCK)

        return self._over_chains(one, state, *arguments)

    @partial(jax.jit, static_argnums=0)
    def _describe(self, vectors: jax.Array, centring: Centring, data: Data) -> Any:
        def one(chain: jax.Array, arguments: Any) -> Any:
            centring, data = arguments
            return jax.lax.map(lambda vector: self.density.sites(centring.apply(vector)[0], data), chain)

        return self._over_chains(one, vectors, centring, data)

    def describe(self, vectors: np.ndarray, centring: Centring, data: Data) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Sites and log likelihood at every draw ``(chain, draw, dimension)``."""
        sites, log_likelihood = self._describe(jnp.asarray(vectors), centring, data)
        return jax.tree.map(np.asarray, sites), np.asarray(log_likelihood)
