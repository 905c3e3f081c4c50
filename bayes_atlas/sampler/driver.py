"""A run from start to draws: warm-up in phases, progress, checkpoints, and second attempts if chains diverge."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from bayes_atlas.sampler.centring import Centring
from bayes_atlas.sampler.checkpoint import Checkpoint
from bayes_atlas.sampler.draws import Draws
from bayes_atlas.sampler.layout import Data, Layout, Model
from bayes_atlas.sampler.memory import make_room
from bayes_atlas.sampler.metric import Metric, refine
from bayes_atlas.sampler.program import Argument, Tuning, program
from bayes_atlas.sampler.settings import BLOCK, PHASES, Progress, Settings

type Report = Callable[[Progress], None]
type Place = tuple[str, tuple[int, ...]]  # site and index

COUPLED = 1e-3  # relative error of the block structure above which languages are not independent
BLAMED = 3  # number of parameters named if chains diverge
CAREFUL = (0.95, 0.99)  # target acceptance of further attempts


def _silent(progress: Progress) -> None:
    pass


def sample(
    model: Model, data: Data, settings: Settings, report: Report = _silent, checkpoint: Checkpoint | None = None
) -> Draws:
    """Draw from the posterior of `model` given `data`.

    If chains diverge, the last warm-up phase and the draws are repeated, first with smaller steps, then with the
    centring of the blamed parameters reversed. The best attempt is returned: the one with the fewest draws that
    diverged or were truncated.

    An interrupt (SIGINT) ends the run with the draws made so far; during the first warm-up it is raised.

    Args:
        model: a NumPyro function.
        data: its arguments.
        settings: of the sampler.
        report: called after each block of draws.
        checkpoint: with one, a killed run resumes from its last block, and gives the draws of an uninterrupted run.

    Raises:
        InputError: the device has too little memory.
    """
    run = _Run(model, [data], settings, report, checkpoint)
    (best,) = run.attempt(settings.target_accept)
    attempts = [(target, False) for target in CAREFUL if target > settings.target_accept]
    for number, (target, other_way) in enumerate([*attempts, (max(CAREFUL), True)], 1):
        if not best.stats["diverging"].any() or best.interrupted:
            break
        if other_way:
            run.centre_otherwise(best.blamed)
        try:
            (again,) = run.attempt(target, number)
        except KeyboardInterrupt:
            break
        best = min(best, again, key=lambda draws: _missteps(draws, settings))
        if again.interrupted:
            break
    return best


def sample_many(model: Model, data: Sequence[Data], settings: Settings, report: Report = _silent) -> list[Draws]:
    """Draw from the posterior of `model` given each of `data`, in one program and a single attempt.

    All of `data` have one structure and shape. Seeds differ between data sets.

    Raises:
        InputError: the device has too little memory.
    """
    return _Run(model, data, settings, report).attempt(settings.target_accept)


class _Run:
    """Chains on data sets, and their state."""

    def __init__(
        self,
        model: Model,
        data: Sequence[Data],
        settings: Settings,
        report: Report = _silent,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        make_room()
        self.settings, self.report, self.checkpoint = settings, report, checkpoint
        self.key = jax.random.PRNGKey(settings.seed)
        stacked: Data = _stacked(data)
        keys = np.tile(np.asarray(self.key), (len(data), 1, 1))
        for blocks in (True, False):
            self.layout = Layout.of(model, data[0], blocks=blocks)
            self.program = program(model, self.layout, self._tuning(settings.target_accept))
            self.program.check_memory(keys, stacked, settings.chains, settings.draws)
            start = jax.tree.map(_on_host, self.program.start(keys, stacked))
            if start.coupling.max() < COUPLED:
                break
        self.argument = self.program.referred(keys, Argument(start.metric, start.centring, stacked))
        self.argument = jax.tree.map(_on_host, self.argument)
        self.z = _on_host(_normal(self._key(PHASES), (len(data), settings.chains, self.layout.size)))
        self.done = self.divergences = 0

    def attempt(self, target_accept: float, number: int = 0) -> list[Draws]:
        """Sample. The first attempt runs the whole warm-up, a later one its last phase only."""
        self.program = program(self.program.model, self.layout, self._tuning(target_accept))
        last = PHASES - 1
        if number == 0:
            self.done = 0
            for phase, length in enumerate(self.settings.phases[:last]):
                blocks, _ = self._phase(f"0-{phase}", self._key(phase), length, 0)
                self._learn(_joined(blocks[len(blocks) // 2 :])["z"])
                self.done += length
        self.done, self.divergences = sum(self.settings.phases[:last]), 0
        warming = self.settings.phases[last]
        blocks, interrupted = self._phase(f"{number}-{last}", self._key(last, number), warming, self.settings.draws)
        return self._draws(_joined(blocks[warming // BLOCK :]), target_accept, interrupted)

    def centre_otherwise(self, blamed: Sequence[Place]) -> None:
        """Reverse the centring of the blamed pools, or of all pools if none is blamed."""
        scales = {population.scale: name for name, population in self.layout.populations}
        names = {scales.get(name, name) for name, _ in blamed} & set(self.layout.pools)
        self._recentre(self.kept, self.argument.centring.reversed(self.layout, names or set(self.layout.pools)))

    def _learn(self, z: np.ndarray) -> None:
        """Update the centring and the metric from draws `z` ``(dataset, chain, draw, dimension)``."""
        metric, width = self.argument.metric, self.layout.width
        middle = (metric.shared @ np.median(z[..., :width], axis=(1, 2))[..., None])[..., 0]
        scales = metric.centre[:, :width] + middle
        self._recentre(z, self.argument.centring.rescaled(scales, self.layout))

    def _recentre(self, z: np.ndarray, centring: Centring) -> None:
        """Continue from draws `z` with another centring, and with the metric updated from them."""
        moved = _on_host(self.program.recentre(z, self.argument, centring)) if self.layout.pools else z
        self.argument = self.argument._replace(centring=centring)
        self._refine(moved)

    def _phase(self, name: str, key: jax.Array, warming: int, draws: int) -> tuple[list[dict[str, np.ndarray]], bool]:
        """Run a phase of `warming` iterations of warm-up and then `draws` draws.

        Returns:
            The blocks of the phase, and whether it was interrupted.
        """
        keys = _on_host(jax.random.split(key, self.z.shape[:2]))
        state = self.program.begin(keys, self.z, self.argument)
        blocks, state = self._resumed(name, state)
        try:
            while len(blocks) * BLOCK < warming + draws:
                state, block = self.program.advance(state, self.argument)
                blocks.append(jax.tree.map(_on_host, block))
                if draws and len(blocks) * BLOCK == warming:
                    state = _in_agreement(state)
                self._tell(blocks, warming, bool(draws))
                self._keep(name, blocks, state)
        except KeyboardInterrupt:
            if not draws or len(blocks) * BLOCK <= warming:
                raise
        self.z = blocks[-1]["z"][:, :, -1]
        return blocks, len(blocks) * BLOCK < warming + draws

    def _tell(self, blocks: Sequence[dict[str, np.ndarray]], warming: int, sampling: bool) -> None:
        iterations, now = len(blocks) * BLOCK, blocks[-1]
        if sampling and iterations > warming:
            self.divergences += int(now["diverging"].sum())
        self.report(
            Progress(
                done=self.done + iterations,
                total=self.settings.warmup + self.settings.draws,
                warming=not sampling or iterations <= warming,
                divergences=self.divergences,
                gradients=float(now["n_steps"].mean()),
                step_size=float(now["step_size"].mean()),
            )
        )

    def _keep(self, name: str, blocks: Sequence[dict[str, np.ndarray]], state: Any) -> None:
        if self.checkpoint is not None:
            leaves = [_on_host(leaf) for leaf in jax.tree.leaves(state)]
            self.checkpoint.save(f"{name}-block{len(blocks)}", blocks[-1])
            self.checkpoint.save(
                f"{name}-state", {"blocks": np.array(len(blocks))} | {f"leaf{i}": v for i, v in enumerate(leaves)}
            )

    def _resumed(self, name: str, state: Any) -> tuple[list[dict[str, np.ndarray]], Any]:
        """Return the blocks and the state of the checkpoint, or no blocks and the given state."""
        saved = None if self.checkpoint is None else self.checkpoint.load(f"{name}-state")
        if self.checkpoint is None or saved is None:
            return [], state
        loaded = [self.checkpoint.load(f"{name}-block{index + 1}") for index in range(int(saved["blocks"]))]
        leaves = [saved[f"leaf{index}"] for index in range(len(jax.tree.leaves(state)))]
        return [block for block in loaded if block is not None], jax.tree.unflatten(jax.tree.structure(state), leaves)

    def _refine(self, z: np.ndarray) -> None:
        """Update the metric from draws `z` ``(dataset, chain, draw, dimension)``; chains go on from the last ones."""
        metric = self.argument.metric
        each = [refine(Metric(*(part[index] for part in metric)), draws, self.layout) for index, draws in enumerate(z)]
        metric, self.z = _stacked(each)
        self.argument = self.argument._replace(metric=metric)

    def _draws(self, kept: dict[str, np.ndarray], target_accept: float, interrupted: bool) -> list[Draws]:
        z = self.kept = kept.pop("z")
        if self.argument.reference is not None:
            total = sum(
                values.sum(axis=tuple(range(1, values.ndim)), dtype=float)
                for values in self.argument.reference.values()
            )
            kept["lp"] = kept["lp"] + np.reshape(total, (-1, 1, 1))
            kept["energy"] = kept["energy"] - np.reshape(total, (-1, 1, 1))
        sites, log_likelihood = jax.tree.map(_on_host, self.program.describe(z, self.argument))
        return [
            Draws(
                sites={name: values[index] for name, values in sites.items()},
                dims={name: list(dims) for name, dims in self.layout.dims},
                log_likelihood=log_likelihood[index],
                stats={name: values[index] for name, values in kept.items()},
                target_accept=target_accept,
                blamed=_blame(z[index], kept["diverging"][index], self.layout),
                interrupted=interrupted,
            )
            for index in range(len(z))
        ]

    def _tuning(self, target_accept: float) -> Tuning:
        return Tuning(self.settings.phases[-1], target_accept, self.settings.max_tree_depth)

    def _key(self, phase: int, attempt: int = 0) -> jax.Array:
        return jax.random.fold_in(jax.random.fold_in(self.key, attempt), phase)


@partial(jax.jit, static_argnums=1)
def _normal(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return jax.random.normal(key, shape)


def _stacked(each: Sequence[Any]) -> Any:
    """Stack pytrees of one structure along a new leading axis."""
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *each)


def _on_host(array: Any) -> np.ndarray:
    """Return the whole array, even if other processes hold parts of it."""
    if getattr(array, "is_fully_addressable", True):
        return np.asarray(array)
    return np.asarray(multihost_utils.process_allgather(array, tiled=True))


def _in_agreement(state: Any) -> Any:
    """Give all chains of a data set the median of their step sizes.

    Occasionally one chain in a thousand ends warm-up with such small steps that its draws take a hundred times as long
    as those of the others. On an accelerator the others wait for it.
    """
    own = state.adapt_state.step_size
    pooled = np.exp(np.median(np.log(_on_host(own)), axis=1, keepdims=True)).astype(own.dtype)
    step_size = jax.make_array_from_callback(own.shape, own.sharding, np.broadcast_to(pooled, own.shape).__getitem__)
    return state._replace(adapt_state=state.adapt_state._replace(step_size=step_size))


def _joined(blocks: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Concatenate blocks to arrays ``(dataset, chain, draw, ..)`` by name."""
    return {name: np.concatenate([block[name] for block in blocks], axis=2) for name in blocks[0]}


def _missteps(draws: Draws, settings: Settings) -> float:
    """Return the share of draws that diverged or were truncated; chains that hardly move do not diverge."""
    cut_short = draws.stats["tree_depth"] >= settings.max_tree_depth
    return float((draws.stats["diverging"] | cut_short).mean())


def _blame(z: np.ndarray, diverging: np.ndarray, layout: Layout) -> list[Place]:
    """Return the parameters in which diverging draws differ most from the others, in sd of the others."""
    if not diverging.any() or diverging.all():
        return []
    away = np.abs(z[diverging].mean(axis=0) - z[~diverging].mean(axis=0)) / z[~diverging].std(axis=0)
    return [layout.places[place] for place in np.argsort(-away)[:BLAMED]]
