"""Real run tables of others, as benchmarks of model error use them; their folder is `BAYES_ATLAS_DATA`.

Each table is one unit: its languages share runs, or a laboratory. Tables that say nothing about size and data apart are
left out: those of one size, and those in which size and data go together. So is ``mix3_sizes``, whose early checkpoints
are far above any law: without burn-in its errors are those of early checkpoints, and with it its fit fails R-hat.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

COLUMNS = ["run", "language", "params", "tokens", "loss"]


@dataclass(frozen=True)
class PublicTable:
    """A run table, and the model that it is fitted with."""

    frame: pd.DataFrame
    model: str = "chinchilla"
    single_epoch: bool = True  # whether its runs are a plain table of size, tokens and loss


def public_tables(folder: Path) -> dict[str, PublicTable]:
    """Read all tables, by name."""

    def read(name: str) -> pd.DataFrame:
        return pd.read_csv(folder / f"{name}.csv")

    chinchilla, datablations = read("chinchilla"), read("datablations")
    steplaw = read("steplaw_all_hyperparameters")
    lowest = steplaw.loc[steplaw.groupby(["params", "tokens"])["loss"].idxmin()]
    return {
        "chinchilla": PublicTable(chinchilla.loc[~chinchilla["outlier"], COLUMNS]),
        "marin": PublicTable(read("marin_isoflop")[COLUMNS]),
        "gemstones": PublicTable(read("gemstones")[COLUMNS]),
        "oellm": PublicTable(read("oellm_dense")[COLUMNS]),
        "misfitting": PublicTable(read("misfitting_best_lr")[COLUMNS]),
        "steplaw": PublicTable(lowest[COLUMNS]),
        "greek": PublicTable(read("greek_tiny")[COLUMNS]),
        "indic": PublicTable(read("indic_toy")[COLUMNS]),
        "datablations": PublicTable(datablations[[*COLUMNS, "unique"]], "data_constrained", single_epoch=False),
    }
