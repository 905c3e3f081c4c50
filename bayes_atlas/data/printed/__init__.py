"""Tables printed in the papers, shipped as CSV with their citations.

The files hold numbers only. ``TABLES`` states the content, units and source of each.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files

import pandas as pd

from bayes_atlas.errors import InputError

__all__ = ["TABLES", "Table", "families_of", "load_table"]

ATLAS_PAPER = "Longpre et al. 2025, ATLAS, arXiv 2510.22037"


@dataclass(frozen=True)
class Table:
    """Content and source of a shipped table."""

    description: str
    citation: str


TABLES = {
    "crossover_tokens_2b": Table(
        "Training tokens at which pretraining from scratch overtakes the Unimax checkpoint, at 2B parameters.",
        f"{ATLAS_PAPER}, Fig. 6",
    ),
    "fits_table_c1": Table(
        "Monolingual fits of E + e^log_A / N^alpha + e^log_B / D^beta with alpha = beta, by regime and language.",
        f"{ATLAS_PAPER}, Table C.1",
    ),
    "heldout_r2_table1": Table(
        "R2 of the paper's laws on held-out runs, by split: r2_params, r2_tokens, r2_compute and r2_mixture.",
        f"{ATLAS_PAPER}, Table 1",
    ),
    "languages": Table(
        "Script, genus and family of the languages of the transfer matrix, and of Hindi and Finnish.",
        f"{ATLAS_PAPER}, Figs. 2 and C.2 and Table C.1; scripts as in ISO 15924",
    ),
    "mixtures_table_b5": Table(
        "Languages of each multilingual mixture, separated by spaces and sampled evenly.",
        f"{ATLAS_PAPER}, Table B.5",
    ),
    "model_sizes": Table(
        "Shapes and numbers of parameters of the models, by scale; the vocabulary has 64,512 entries.",
        f"{ATLAS_PAPER}, Appendix B; parameters computed from the printed shapes",
    ),
    "transfer_bts38": Table(
        "Bilingual transfer scores, row = target and column = source. Only the block of the first nine languages was "
        "measured; the paper's authors imputed the rest with a random forest.",
        f"{ATLAS_PAPER}, Fig. C.2",
    ),
    "unique_tokens": Table(
        "Unique tokens of a language in MADLAD-400, under the 64k vocabulary.",
        ATLAS_PAPER,
    ),
}


def load_table(name: str) -> pd.DataFrame:
    """Return the shipped table `name`; ``TABLES[name]`` states its content and source.

    The transfer matrix has targets as rows (index ``target``), sources as columns (``source``) and a NaN diagonal.

    Raises:
        InputError: no table has that name; the message lists the names.
    """
    if name not in TABLES:
        raise InputError(f"no table is called {name!r}; choose one of: {', '.join(sorted(TABLES))}")
    with files(__name__).joinpath(f"{name}.csv").open(encoding="utf-8") as file:
        table = pd.read_csv(file, keep_default_na=False, na_values=[""])
    if name == "transfer_bts38":
        return table.set_index(table.columns[0]).rename_axis(index="target", columns="source")
    return table


def families_of(languages: Iterable[str]) -> list[str]:
    """Return the family of each language: its genus in the table ``languages``, or its own name if it is not listed.

    Families as fine as genera (Romance, Slavic, Germanic ..) are those of He et al. (2024, arXiv 2410.12883).
    """
    genera = load_table("languages").set_index("language")["genus"].to_dict()
    return [str(genera.get(language, language)) for language in languages]
