"""Settings of the sampler, and the progress of a fit."""

from dataclasses import dataclass

from bayes_atlas.errors import InputError

BLOCK = 50  # draws between two reports of progress
PHASES = 3  # number of warm-up phases


@dataclass(frozen=True)
class Settings:
    """Settings of the sampler. `warmup` and `draws` are per chain, in multiples of `BLOCK`.

    `warmup` has at least one block for each of the `PHASES`.

    Raises:
        InputError: a setting is out of its range.
    """

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
        """Length of each warm-up phase; the first includes the remainder."""
        each = self.warmup // PHASES // BLOCK * BLOCK
        return [self.warmup - (PHASES - 1) * each] + [each] * (PHASES - 1)


@dataclass(frozen=True)
class Progress:
    """Progress of a fit, reported to the caller after each block."""

    done: int  # iterations of each chain, warm-up included
    total: int
    warming: bool
    divergences: int  # after warm-up
    gradients: float  # per iteration, mean over the block
    step_size: float  # mean over chains
