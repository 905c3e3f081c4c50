"""Tables of the ATLAS paper as measurements with a stated error, for the posteriors that ship fitted to them.

    python benchmarks/printed.py FOLDER

writes ``scores.csv``, all pairs of Fig. C.2. Its scores have one decimal, so rounding alone has an error of .029. The
block of the first nine languages was measured by single runs. Their error is taken as .05, since runs repeat to a few
hundredths. All other cells are the output of the authors' random forest, which has a cross-validated R2 of .85 on the
measured pairs. Their error is the residual standard deviation that this R2 leaves of the measured block, .17. This is a
lower bound, because the forest was not validated on languages without a measured pair.

It also writes ``crossovers.csv``: the printed crossovers at 2.03B parameters, and the printed rule C = c N^gamma at
sizes of Fig. 7, in both readings that agree with these points. Crossovers are interpolated between two checkpoints of
single runs, and their error is taken as .1 in logs. The rule's own error was not printed; it is taken as .2. Each
reading counts half (error times the square root of 2), since the authors can have meant only one of them.

    python benchmarks/printed.py

without a folder prints how probable it is under the shipped ``transfer-atlas`` that the pairs which the paper calls
mutual helpers are among each other's five best sources.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from bayes_atlas import load_posterior, transfer_map
from bayes_atlas.data.crossings import TYPICAL
from bayes_atlas.data.printed import load_table
from bayes_atlas.laws.crossover_rule import PRINTED_LEGEND, PRINTED_TEXT, crossover_tokens

MEASURED_LANGUAGES = 9
MEASURED_ERROR = 0.05
FOREST_R2 = 0.85
POINT_ERROR = 0.1
RULE_ERROR = 0.2
RULE_SCALES = [8, 16, 24, 34]
HELPERS = (("no", "sv"), ("id", "ms"), ("ru", "uk"))


def printed_scores() -> pd.DataFrame:
    """The printed matrix as a list of pairs: source, target, score, error."""
    table = load_table("transfer_bts38")
    measured = table.columns[:MEASURED_LANGUAGES]
    block = table.loc[measured, measured].to_numpy()
    forest = float(np.sqrt(1 - FOREST_R2) * np.nanstd(block))
    pairs = table.reset_index().melt("target", var_name="source", value_name="score").dropna()
    both = pairs["target"].isin(measured) & pairs["source"].isin(measured)
    return pairs.assign(error=np.where(both, MEASURED_ERROR, round(forest, 3)))[["source", "target", "score", "error"]]


def printed_crossovers() -> pd.DataFrame:
    """The printed crossovers and both readings of the rule: language, params, tokens, error."""
    points = load_table("crossover_tokens_2b").rename(columns={"crossover_tokens": "tokens"}).assign(error=POINT_ERROR)
    sizes = load_table("model_sizes").set_index("scale").loc[RULE_SCALES, "params"].to_numpy()
    readings = [
        pd.DataFrame(
            {
                "language": TYPICAL,
                "params": sizes,
                "tokens": crossover_tokens(sizes, **reading),
                "error": RULE_ERROR * np.sqrt(2),
            }
        )
        for reading in (PRINTED_TEXT, PRINTED_LEGEND)
    ]
    return pd.concat([points, *readings])


def print_helpers() -> None:
    """P(in top 5) of each of `HELPERS`, in both directions."""
    found = transfer_map(load_posterior("transfer-atlas"))
    likely = found.top_probability()
    for pair in HELPERS:
        one, other = map(found.place, pair)
        forth, back = likely[other, one], likely[one, other]
        print(f"P(in top 5): {pair[0]} -> {pair[1]} {forth:.3f}, {pair[1]} -> {pair[0]} {back:.3f}")


def main() -> None:
    if len(sys.argv) == 1:
        print_helpers()
        return
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    printed_scores().to_csv(folder / "scores.csv", index=False)
    printed_crossovers().to_csv(folder / "crossovers.csv", index=False)


if __name__ == "__main__":
    main()
