"""The compiled parts of a run, for any number of data sets of one shape and any number of chains on each.

Arrays have two leading axes, data set and chain. One of them is spread over the devices. A CPU device runs its share
sequentially, which is fastest there; an accelerator runs its share at once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import zip_longest
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, PartitionSpec
from numpyro import handlers
from numpyro.infer.hmc import hmc
from numpyro.infer.util import constrain_fn, potential_energy

from bayes_atlas.arrays import Array
from bayes_atlas.sampler.centring import Centring
from bayes_atlas.sampler.handlers import Relative, is_observation
from bayes_atlas.sampler.layout import Data, Layout, Model, is_latent, prior_centre
from bayes_atlas.sampler.memory import check_memory, needed
from bayes_atlas.sampler.metric import Metric
from bayes_atlas.sampler.settings import BLOCK
from bayes_atlas.sampler.start import Start, find_start

# A part that runs once per fit takes longer to optimise than to run.
HASTY = {"xla_backend_optimization_level": 0}
FIRST_STEP = 0.1  # early trials reach up to ten times as far
# Largest potential at which a chain begins, above the centre and per dimension; draws of a normal have one half. If the
# scale of a pool is near zero, a chain could otherwise start so far up a wall that it never comes down.
STEEP = 5.0
IN_STEP = 6  # tree depth in warm-up if chains run in lockstep, each as long as the longest trajectory


class Argument(NamedTuple):
    """The inputs of a chain that depend on its data set."""

    metric: Metric
    centring: Centring
    data: Data
    # Log likelihoods at the first metric's centre, by observed site, to be subtracted; see `Program.reference`.
    reference: dict[str, Array] | None = None


@dataclass(frozen=True)
class Tuning:
    """Settings that are compiled into a program."""

    last_phase: int
    target_accept: float
    max_tree_depth: int


@lru_cache(maxsize=64)
def program(model: Model, layout: Layout, tuning: Tuning) -> "Program":
    """Return the program of a model. A second call returns the same program, which compiles nothing twice."""
    return Program(model, layout, tuning)


class Program:
    """A model's density, start, sampler and description of draws."""

    def __init__(self, model: Model, layout: Layout, tuning: Tuning) -> None:
        self.model, self.layout = model, layout

        def potential_of(argument: Argument) -> Callable[[jax.Array], jax.Array]:
            return lambda z: self.apart(argument.metric.apply(z, layout), *argument[1:])

        first, self.step = hmc(potential_fn_gen=potential_of, algo="NUTS")
        self.first = partial(
            first,
            num_warmup=tuning.last_phase,
            step_size=FIRST_STEP,
            adapt_mass_matrix=False,
            target_accept_prob=tuning.target_accept,
            max_tree_depth=(min(tuning.max_tree_depth, IN_STEP), tuning.max_tree_depth)
            if _in_step()
            else tuning.max_tree_depth,
        )
        self.checked: set[tuple[Any, ...]] = set()  # shapes that fit into memory

    def potential(self, vector: jax.Array, data: Data, reference: Mapping[str, jax.Array] | None = None) -> jax.Array:
        """Return minus the log joint density at an unconstrained vector, Jacobian included, relative to `reference`."""
        model = self.model if reference is None else Relative(self.model, reference)
        return potential_energy(model, data, {}, self.layout.unravel(vector))

    def apart(
        self, v: jax.Array, centring: Centring, data: Data, reference: Mapping[str, jax.Array] | None = None
    ) -> jax.Array:
        """Return the potential at `v`, a vector in the coordinates of `centring`."""
        vector, log_determinant = centring.apply(v, self.layout)
        return self.potential(vector, data, reference) - log_determinant

    def sites(self, vector: jax.Array, data: Data) -> tuple[dict[str, jax.Array], jax.Array]:
        """Return every site's value on its own scale, deterministic sites included, and each curve's log likelihood."""
        kept, observed = self._seen(vector, data)
        total: Any = sum(observed.values())
        return kept, total

    def _seen(self, vector: jax.Array, data: Data) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
        """Return every site's value, and the log likelihoods by observed site."""
        values = constrain_fn(self.model, data, {}, self.layout.unravel(vector), return_deterministic=True)
        traced = handlers.trace(handlers.substitute(self.model, data=values)).get_trace(*data)
        kept = {name: values[name] for name, site in traced.items() if is_latent(site) or _is_derived(site)}
        observed = {name: site for name, site in traced.items() if is_observation(site)}
        return kept, {name: site["fn"].log_prob(site["value"]) for name, site in observed.items()}

    def check_memory(self, keys: np.ndarray, data: Data, chains: int, draws: int) -> None:
        """Check that memory suffices for all parts before any of them runs, given the keys and data of `start`.

        The check compiles the programs that will run. It checks each shape once.

        Raises:
            InputError: the device has too little memory.
        """
        shape = (chains, draws, *(leaf.shape for leaf in jax.tree.leaves(data)))
        if shape in self.checked:
            return
        start = Program.start.lower(self, keys, data)
        argument = Argument(start.out_info.metric, start.out_info.centring, data)
        if _is_coarse():
            argument = argument._replace(reference=Program.reference.lower(self, keys, argument).out_info)
        z = jax.ShapeDtypeStruct((len(keys), chains, self.layout.size), argument.metric.centre.dtype)
        several = jax.ShapeDtypeStruct((len(keys), chains, draws, self.layout.size), z.dtype)
        each = jax.ShapeDtypeStruct((len(keys), chains, *keys.shape[2:]), keys.dtype)
        begin = Program.begin.lower(self, each, z, argument)
        state = jax.tree.map(
            lambda info, sharding: jax.ShapeDtypeStruct(info.shape, info.dtype, sharding=sharding),
            begin.out_info,
            begin.compile().output_shardings,
        )
        parts = {
            "to find the start": start,
            "to begin": begin,
            "to sample": Program.advance.lower(self, state, argument),
            "to describe the draws": Program.describe.lower(self, several, argument),
        }
        check_memory({part: needed(lowered.compile()) for part, lowered in parts.items()}, len(keys), chains)
        self.checked.add(shape)

    @partial(jax.jit, static_argnums=0, compiler_options=HASTY)
    def start(self, keys: jax.Array, data: Data) -> Start:
        """Find the start of every data set, given keys ``(dataset, 1)`` and data ``(dataset, ..)``."""

        def one(key: jax.Array, argument: Data) -> Start:
            apart = partial(_swap(self.apart), argument)
            return find_start(apart, prior_centre(self.model, self.layout, key, argument), self.layout)

        return _over_datasets(one, keys, data)

    def referred(self, keys: np.ndarray, argument: Argument) -> Argument:
        """Add the reference to `argument` if numbers are in single precision."""
        return argument._replace(reference=self.reference(keys, argument)) if _is_coarse() else argument

    @partial(jax.jit, static_argnums=0, compiler_options=HASTY)
    def reference(self, keys: jax.Array, argument: Argument) -> dict[str, jax.Array]:
        """Return log likelihoods ``(dataset, ..)`` at the metric's centre, by observed site; `keys` are as in `start`.

        In single precision the log likelihood of a million rows is accurate to half a unit, too coarse to compare
        draws. Each curve's difference from its value at one point is small, and so is the error of their sum.
        """

        def one(key: jax.Array, argument: Argument) -> dict[str, jax.Array]:
            vector, _ = argument.centring.apply(argument.metric.centre, self.layout)
            return self._seen(vector, argument.data)[1]

        return _over_datasets(one, keys, argument)

    @partial(jax.jit, static_argnums=0, compiler_options=HASTY)
    def begin(self, keys: jax.Array, z: jax.Array, argument: Argument) -> Any:
        """Begin each chain at `z` ``(dataset, chain, dimension)``, or nearer the centre if that is too steep."""

        def one(chain: tuple[jax.Array, jax.Array], argument: Argument) -> Any:
            key, z = chain

            def height(share: jax.Array) -> jax.Array:
                return self.apart(argument.metric.apply(share * z, self.layout), *argument[1:])

            shares = jnp.array([1.0, 0.5, 0.25, 0.0], z.dtype)
            heights = jax.lax.map(height, shares)
            near = jnp.argmax(heights - heights[-1] <= STEEP * self.layout.size)
            return self.first(shares[near] * z, model_args=(argument,), rng_key=key)

        return _over_chains(one, (keys, z), argument)

    @partial(jax.jit, static_argnums=0)
    def advance(self, state: Any, argument: Argument) -> Any:
        """Run the next block of every chain; return its state and the record of each draw."""

        def one(state: Any, argument: Argument) -> Any:
            def next_draw(state: Any, _: None) -> Any:
                state = self.step(state, (argument,), {})
                return state, {
                    "z": state.z,
                    "lp": -state.potential_energy,
                    "energy": state.energy,
                    "n_steps": state.num_steps,
                    "tree_depth": jnp.floor(jnp.log2(state.num_steps)).astype(jnp.int32) + 1,
                    "acceptance_rate": state.accept_prob,
                    "step_size": state.adapt_state.step_size,
                    "diverging": state.diverging,
                }

            return jax.lax.scan(next_draw, state, None, length=BLOCK)

        return _over_chains(one, state, argument)

    @partial(jax.jit, static_argnums=0)
    def describe(self, z: jax.Array, argument: Argument) -> Any:
        """Return sites and log likelihood at draws ``(dataset, chain, draw, dimension)``."""

        def one(chain: jax.Array, argument: Argument) -> Any:
            def at(z: jax.Array) -> Any:
                vector, _ = argument.centring.apply(argument.metric.apply(z, self.layout), self.layout)
                return self.sites(vector, argument.data)

            return jax.lax.map(at, chain)

        return _over_chains(one, z, argument)

    @partial(jax.jit, static_argnums=0, compiler_options=HASTY)
    def recentre(self, z: jax.Array, argument: Argument, centring: Centring) -> jax.Array:
        """Convert draws ``(dataset, chain, draw, dimension)`` to another centring, with the same metric."""

        def one(chain: jax.Array, arguments: tuple[Argument, Centring]) -> jax.Array:
            argument, other = arguments

            def moved(z: jax.Array) -> jax.Array:
                vector, _ = argument.centring.apply(argument.metric.apply(z, self.layout), self.layout)
                return argument.metric.invert(other.invert(vector, self.layout), self.layout)

            return jax.lax.map(moved, chain)

        return _over_chains(one, z, (argument, centring))


def _is_derived(site: dict[str, Any]) -> bool:
    return site["type"] == "deterministic"


def _is_coarse() -> bool:
    """Return whether numbers are in single precision."""
    return not jax.config.jax_enable_x64


def _swap(apart: Callable[[jax.Array, Centring, Data], jax.Array]) -> Callable[..., jax.Array]:
    return lambda data, v, centring: apart(v, centring, data)


def _over_chains(function: Callable[[Any, Any], Any], mapped: Any, argument: Any) -> Any:
    """Apply `function(one chain, its data set's argument)` to all of `mapped` ``(dataset, chain, ..)``."""
    each = _vectorised if _in_step() else jax.lax.map

    def on_device(mapped: Any, argument: Any) -> Any:
        return each(lambda pair: each(lambda chain: function(chain, pair[1]), pair[0]), (mapped, argument))

    datasets, chains = jax.tree.leaves(mapped)[0].shape[:2]
    mesh = _mesh(datasets, chains)
    both, first = PartitionSpec("dataset", "chain"), PartitionSpec("dataset")
    sharded = jax.shard_map(on_device, mesh=mesh, in_specs=(both, first), out_specs=both, check_vma=False)
    return sharded(mapped, argument)


def _over_datasets(function: Callable[[Any, Any], Any], keys: jax.Array, argument: Any) -> Any:
    """Apply `function(key, its data set's argument)` to `keys` ``(dataset, 1)``."""
    return jax.tree.map(lambda values: values[:, 0], _over_chains(function, keys, argument))


def _in_step() -> bool:
    """Return whether a device runs all its chains at once."""
    return jax.default_backend() != "cpu"


def _vectorised(function: Callable[[Any], Any], mapped: Any) -> Any:
    return jax.vmap(function)(mapped)


def _mesh(datasets: int, chains: int) -> Mesh:
    """Return a mesh of as many devices as divide the data sets, or else the chains, evenly.

    If several processes share the devices and the mesh would leave out a process, each process does all the work on its
    own devices.
    """
    by_process: dict[int, list[jax.Device]] = {}
    for device in jax.devices():
        by_process.setdefault(device.process_index, []).append(device)
    shared = [device for each in zip_longest(*by_process.values()) for device in each if device is not None]
    for devices in (shared, jax.local_devices()):
        over_datasets, over_chains = (
            max(count for count in range(1, len(devices) + 1) if number % count == 0) for number in (datasets, chains)
        )
        shape = (over_datasets, 1) if over_datasets >= over_chains else (1, over_chains)
        used = devices[: max(shape)]
        if {device.process_index for device in used} == set(by_process):
            break
    return jax.make_mesh(shape, ("dataset", "chain"), devices=used, axis_types=(AxisType.Auto,) * 2)
