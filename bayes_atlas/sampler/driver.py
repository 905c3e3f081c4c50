"""A run from start to draws: warm-up in phases, then rounds of draws and further attempts until its checks pass."""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from bayes_atlas.sampler.centring import Centring
from bayes_atlas.sampler.checkpoint import Checkpoint
from bayes_atlas.sampler.draws import Draws, Missing
from bayes_atlas.sampler.layout import Data, Layout, Model
from bayes_atlas.sampler.memory import make_room
from bayes_atlas.sampler.metric import Metric, refine
from bayes_atlas.sampler.program import Argument, Tuning, program
from bayes_atlas.sampler.settings import BLOCK, PHASES, Progress, Settings

type Report = Callable[[Progress], None]
type Judge = Callable[[Draws], Sequence[Missing]]
type Judges = Callable[[int, Draws], Sequence[Missing]]  # of several data sets, by their number
type Place = tuple[str, tuple[int, ...]]  # site and index

COUPLED = 1e-3  # relative error of the block structure above which languages are not independent
BLAMED = 3  # number of parameters named if chains diverge
CAREFUL = (0.95, 0.99)  # target acceptance of further attempts if chains diverge
PATIENCE = 4.0  # largest factor by which more draws are worth more than another adaptation
FUTILE = 2.0  # a run ends if it would need this many times its limit of draws
ADAPTATIONS = 2  # number of further attempts if chains mix badly


def _silent(progress: Progress) -> None:
    pass


def diverging(draws: Draws) -> list[Missing]:
    """Return the check of divergences if `draws` do not pass it."""
    return [Missing("no_divergences", "", np.inf)] if draws.stats["diverging"].any() else []


def sample(
    model: Model,
    data: Data,
    settings: Settings,
    report: Report = _silent,
    checkpoint: Checkpoint | None = None,
    judge: Judge = diverging,
) -> Draws:
    """Draw from the posterior of `model` given `data`, until `judge` misses no check.

    If chains diverge, the last warm-up phase and the draws are repeated, first with smaller steps, then with the
    centring of the blamed parameters reversed. If checks miss a few times as many draws, the chains go on. If they miss
    more, the sampler is adapted again to the draws so far. Draws of different adaptations are never mixed: the best
    attempt is returned, the one with the fewest draws that diverged or were truncated, and of those the one that misses
    the fewest checks.

    An interrupt (SIGINT) ends the run with the draws made so far; during the first warm-up it is raised.

    Args:
        model: a NumPyro function.
        data: its arguments.
        settings: of the sampler.
        report: called after each block of draws.
        checkpoint: with one, a killed run resumes from its last block, and gives the draws of an uninterrupted run.
        judge: returns the checks that draws do not pass.

    Raises:
        InputError: the device has too little memory.
    """
    run = _Run(model, [data], settings, report, checkpoint)
    (first,) = run.attempt()
    return _until_passed(run, first, judge)


def sample_many(
    model: Model, data: Sequence[Data], settings: Settings, report: Report = _silent, judge: Judges | None = None
) -> list[Draws]:
    """Draw from the posterior of `model` given each of `data`, in one program.

    All of `data` have one structure and shape. Seeds differ between data sets.

    Args:
        model, settings, report: as in `sample`.
        data: arguments of the model, for each data set.
        judge: returns the checks that draws of a data set, given by its number, do not pass. Data sets that miss some
            are adapted again and go on, each alone, as in `sample`. Without it, all are sampled in a single attempt.

    Raises:
        InputError: the device has too little memory.
    """
    run = _Run(model, data, settings, report)
    first = run.attempt()
    if judge is None:
        return first
    alone = (_until_passed(run.alone(number), draws, partial(judge, number)) for number, draws in enumerate(first))
    return list(alone)


def _until_passed(run: "_Run", draws: Draws, judge: Judge) -> Draws:
    """Let `run` go on from `draws` until `judge` misses nothing or nothing is left to try; return the best attempt."""
    tried: dict[int, tuple[tuple[float, int], Draws]] = {}
    while True:
        missing = judge(draws)
        tried[draws.attempts] = (_missteps(draws, run.settings), len(missing)), draws
        if not missing or draws.interrupted:
            break
        try:
            again = run.go_on(draws, missing)
        except KeyboardInterrupt:
            break
        if again is None:
            break
        draws = again
    (_, missed), best = min(tried.values(), key=lambda each: each[0])
    dropped = run.spent - best.stats["diverging"].shape[1]
    return replace(best, dropped=dropped, attempts=run.attempts, ended=run.ended if missed else "")


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
            self.program.check_memory(keys, stacked, settings.chains, settings.round)
            start = jax.tree.map(_on_host, self.program.start(keys, stacked))
            if start.coupling.max() < COUPLED:
                break
        self.argument = self.program.referred(keys, Argument(start.metric, start.centring, stacked))
        self.argument = jax.tree.map(_on_host, self.argument)
        self.z = _on_host(_normal(self._key(PHASES), (len(data), settings.chains, self.layout.size)))
        self.target_accept, self.attempts, self.reversed = settings.target_accept, 0, False
        self.began, self.spent = time.monotonic(), 0
        self.missing, self.ended, self.expected = "", "", settings.round
        self.described: list[Any] = []  # sites and log likelihood, by round of this attempt

    def alone(self, number: int) -> "_Run":
        """Return a run that goes on with one of the data sets; it has to adapt again first."""
        one = copy.copy(self)
        one.argument, one.z, one.kept = jax.tree.map(
            lambda leaf: leaf[number : number + 1], (self.argument, self.z, self.kept)
        )
        one.key, one.state = jax.random.fold_in(self.key, number + 1), None
        return one

    def attempt(self) -> list[Draws]:
        """Warm up and draw a round. The first attempt runs the whole warm-up, a later one its last phase only."""
        last, number = PHASES - 1, self.attempts
        self.program = program(self.program.model, self.layout, self._tuning(self.target_accept))
        self.attempts, self.expected = number + 1, self.settings.round
        self.done = self.divergences = 0
        if number == 0:
            for phase, length in enumerate(self.settings.phases[:last]):
                self._begin(f"0-{phase}", self._key(phase))
                self._extend(length, 0)
                self._learn(_joined(self.blocks[len(self.blocks) // 2 :])["z"])
                self.done += length
        self.done, self.described = sum(self.settings.phases[:last]), []
        self._begin(f"{number}-{last}", self._key(last, number))
        return self._round()

    def go_on(self, draws: Draws, missing: Sequence[Missing]) -> Draws | None:
        """Draw more or adapt again, as the checks `missing` from `draws` require; None if nothing is left to try."""
        worst = max(missing, key=lambda each: each.longer)
        self.missing, count = str(worst), draws.stats["diverging"].shape[1]
        if self._at_limit():
            return None
        adapted = self.state is not None and self.attempts > ADAPTATIONS
        if draws.stats["diverging"].any():
            return self._more_carefully(draws)
        if adapted and worst.longer * count > FUTILE * self.settings.max_draws:
            self.ended = "two further adaptations did not help"
            return None
        if adapted or (self.state is not None and worst.longer <= PATIENCE):
            needed = min(round(worst.longer * count), self.settings.max_draws)
            self.expected = max(needed, count + self.settings.round)
            return self._round()[0]
        self._learn(self.kept)
        return self.attempt()[0]

    def _more_carefully(self, draws: Draws) -> Draws | None:
        smaller = [target for target in CAREFUL if target > self.target_accept]
        if not smaller and self.reversed:
            self.ended = "neither smaller steps nor another centring ended the divergences"
            return None
        if smaller:
            self.target_accept = smaller[0]
        else:
            self._centre_otherwise(draws.blamed)
        return self.attempt()[0]

    def _at_limit(self) -> bool:
        """Return whether another round would exceed a limit, and note which."""
        if self.settings.draws is not None:
            return False
        if self.spent + self.settings.round > self.settings.max_draws:
            self.ended = f"limit of {self.settings.max_draws:,} draws per chain"
        elif self._late():
            self.ended = f"limit of {self.settings.max_minutes:g} minutes"
        return bool(self.ended)

    def _late(self) -> bool:
        minutes = (time.monotonic() - self.began) / 60
        return self.settings.draws is None and minutes > self.settings.max_minutes

    def _centre_otherwise(self, blamed: Sequence[Place]) -> None:
        """Reverse the centring of the blamed pools, or of all pools if none is blamed."""
        self.reversed = True
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

    def _begin(self, name: str, key: jax.Array) -> None:
        """Begin a phase where the chains are, or resume it from the checkpoint."""
        keys = _on_host(jax.random.split(key, self.z.shape[:2]))
        self.phase = name
        self.blocks, self.state = self._resumed(name, self.program.begin(keys, self.z, self.argument))

    def _extend(self, warming: int, draws: int, before: int = 0) -> bool:
        """Run the phase until it has `warming` iterations and then `draws` draws; return whether it was interrupted.

        A resumed phase may have more already. An interrupt or the limit of time ends it once it has more draws than
        `before`; an earlier interrupt is raised.
        """
        interrupted = False
        try:
            while self._iterations < warming + draws:
                if draws and self._late() and self._iterations > warming + before:
                    break
                self.state, block = self.program.advance(self.state, self.argument)
                self.blocks.append(jax.tree.map(_on_host, block))
                if draws and self._iterations == warming:
                    self.state = _in_agreement(self.state)
                self._tell(warming, bool(draws))
                self._keep()
        except KeyboardInterrupt:
            if not draws or self._iterations <= warming + before:
                raise
            interrupted = self._iterations < warming + draws
        self.z = self.blocks[: (warming + draws) // BLOCK][-1]["z"][:, :, -1]
        return interrupted

    @property
    def _iterations(self) -> int:
        return len(self.blocks) * BLOCK

    def _tell(self, warming: int, sampling: bool) -> None:
        now = self.blocks[-1]
        if sampling and self._iterations > warming:
            self.divergences += int(now["diverging"].sum())
        self.report(
            Progress(
                done=self.done + self._iterations,
                total=self.settings.warmup + self.expected,
                warming=not sampling or self._iterations <= warming,
                divergences=self.divergences,
                gradients=float(now["n_steps"].mean()),
                step_size=float(now["step_size"].mean()),
                missing=self.missing,
            )
        )

    def _keep(self) -> None:
        if self.checkpoint is not None:
            leaves = {f"leaf{index}": _on_host(leaf) for index, leaf in enumerate(jax.tree.leaves(self.state))}
            self.checkpoint.save(f"{self.phase}-block{len(self.blocks)}", self.blocks[-1])
            self.checkpoint.save(f"{self.phase}-state", {"blocks": np.array(len(self.blocks))} | leaves)

    def _resumed(self, name: str, state: Any) -> tuple[list[dict[str, np.ndarray]], Any]:
        """Return the blocks and the state of the checkpoint, or no blocks and the given state."""
        saved = None if self.checkpoint is None else self.checkpoint.load(f"{name}-state")
        if self.checkpoint is None or saved is None:
            return [], state
        blocks = self.checkpoint.blocks(f"{name}-block", int(saved["blocks"]))
        leaves = [saved[f"leaf{index}"] for index in range(len(jax.tree.leaves(state)))]
        return blocks, jax.tree.unflatten(jax.tree.structure(state), leaves)

    def _round(self) -> list[Draws]:
        """Draw a round with the sampler as it is, and return all draws of this attempt, for each data set."""
        warming, length = self.settings.phases[-1], self.settings.round
        before = len(self.described) * length
        interrupted = self._extend(warming, before + length, before)
        kept = _joined(self.blocks[warming // BLOCK : (warming + before + length) // BLOCK])
        z = self.kept = kept.pop("z")
        self.spent += z.shape[2] - before
        self.described.append(jax.tree.map(_on_host, self.program.describe(z[:, :, before:], self.argument)))
        sites, log_likelihood = jax.tree.map(lambda *rounds: np.concatenate(rounds, axis=2), *self.described)
        if self.argument.reference is not None:
            total = sum(
                values.sum(axis=tuple(range(1, values.ndim)), dtype=float)
                for values in self.argument.reference.values()
            )
            kept["lp"] = kept["lp"] + np.reshape(total, (-1, 1, 1))
            kept["energy"] = kept["energy"] - np.reshape(total, (-1, 1, 1))
        return [
            Draws(
                sites={name: values[index] for name, values in sites.items()},
                dims={name: list(dims) for name, dims in self.layout.dims},
                log_likelihood=log_likelihood[index],
                stats={name: values[index] for name, values in kept.items()},
                target_accept=self.target_accept,
                blamed=_blame(z[index], kept["diverging"][index], self.layout),
                interrupted=interrupted,
                attempts=self.attempts,
            )
            for index in range(len(z))
        ]

    def _refine(self, z: np.ndarray) -> None:
        """Update the metric from draws `z` ``(dataset, chain, draw, dimension)``; chains go on from the last ones."""
        metric = self.argument.metric
        each = [refine(Metric(*(part[index] for part in metric)), draws, self.layout) for index, draws in enumerate(z)]
        metric, self.z = _stacked(each)
        self.argument = self.argument._replace(metric=metric)

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
