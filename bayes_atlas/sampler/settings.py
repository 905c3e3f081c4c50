"""Settings of the sampler, and the progress of a fit."""

from dataclasses import dataclass, field

from bayes_atlas.errors import InputError

BLOCK = 50  # draws between two reports of progress
PHASES = 3  # number of warm-up phases
ROUND = 1000  # draws per chain between two looks at the checks, if their number is not fixed


@dataclass(frozen=True)
class Settings:
    """Settings of the sampler. `warmup` and `draws` are per chain, in multiples of `BLOCK`.

    `warmup` has at least one block for each of the `PHASES`. Without `draws`, a run draws in rounds of `ROUND` until
    its checks pass, within `max_draws` per chain, those of dropped attempts included, and about `max_minutes`.

    Raises:
        InputError: a setting is out of its range.
    """

    chains: int = 4
    warmup: int = 1000
    draws: int | None = None
    seed: int = 0
    target_accept: float = 0.9
    max_tree_depth: int = 10
    max_draws: int = 10 * ROUND
    max_minutes: float = field(default=30.0, repr=False)  # a resumed run may have more time

    def __post_init__(self) -> None:
        for name, least in (("chains", 1), ("warmup", PHASES * BLOCK), ("draws", BLOCK), ("max_draws", ROUND)):
            value = getattr(self, name)
            if value is None:
                continue
            step = least if name == "chains" else BLOCK
            if value < least or value % step:
                rule = f"at least {least}" + (f" and a multiple of {step}" if step > 1 else "")
                raise InputError(f"{name} is {value}; it must be {rule}")
        if not 0.5 <= self.target_accept < 1:
            raise InputError(f"target_accept is {self.target_accept}; it must lie in [.5, 1), such as .9")
        if not 1 <= self.max_tree_depth <= 15:
            raise InputError(f"max_tree_depth is {self.max_tree_depth}; it must lie between 1 and 15, such as 10")

        if not self.max_minutes > 0:
            raise InputError(f"max_minutes is {self.max_minutes:g}; it must be above 0, such as 30")

    @property
    def round(self) -> int:
        """Draws per chain before the first look at the checks."""
        return ROUND if self.draws is None else self.draws

    @property
    def phases(self) -> list[int]:
        """Length of each warm-up phase; the first includes the remainder."""
        each = self.warmup // PHASES // BLOCK * BLOCK
        return [self.warmup - (PHASES - 1) * each] + [each] * (PHASES - 1)


@dataclass(frozen=True)
class Progress:
    """Progress of a fit, reported to the caller after each block."""

    done: int  # iterations of each chain, warm-up included, in this attempt
    total: int  # as many as the checks are expected to need
    warming: bool
    divergences: int  # after warm-up
    gradients: float  # per iteration, mean over the block
    step_size: float  # mean over chains
    missing: str = ""  # the check that the draws so far are farthest from passing, and where
