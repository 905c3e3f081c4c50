"""The ATLAS paper's 774 training runs with a known truth (Longpre et al. 2025, arXiv 2510.22037, Tables B.1, B.2, B.5).

The runs follow the ATLAS law exactly, plus noise on log loss. Where the paper is silent or contradicts itself:

* Runs. Eleven sizes are listed for groups that are counted as ten: monolingual and bilingual runs leave out scale 34,
  which has groups of its own, capacity runs scale 0. Of 48 or 50 evaluation languages it is the 50 of mixture 50v0. The
  90 bilingual runs of scale 34 are 45 pairs at two budgets; the 15 pairs at other scales are English with the nine
  other languages of those pairs and Swahili, and the five printed. Unimax trains on 1T tokens at every size.
* Budgets. 30,000 to 100,000 steps, log-uniform by run, of 2048-token sequences; losses at 25, 50, 75 and 100 %.
* Unique tokens. Six are printed. Languages whose printed Unimax share is small have them in proportion to it (Swahili:
  .719 % and 770M); others have 200G, 80G, 40G, 15G or 1G by the smallest of the mixtures 12v0, 16v0, 24v0, 32v0 and
  50v0 that they are in. Unimax shares that are not printed are 1.42 % or, for small languages, again in proportion.
  Its 370 languages without evaluation are one source, ``rest``, of 500G unique tokens.
* E, A, B, alpha = beta. Table C.1 on monolingual data, E = 0.00 taken as .004. Other languages are drawn around the
  rows of their vocabulary, with half their spread: log-normal E (from those > 0), and jointly log-normal the two
  reducible losses at 1G parameters and 20G tokens and the exponent.
* lam, tau. lam is log-normal around .2 (sd .4), by language, and holds for the language's sources too. tau of the 3
  most co-sampled sources is .75 BTS / (2 - BTS) with an error of sd .02, or normal around .05 (sd .08) where no score
  is printed, clipped to [-.1, .3]. tau_other is log-normal around .015 (sd .5): with 420 languages a negative constant
  would leave no data at all. A language's negative tau are scaled down together until D_eff is nowhere below half of
  what its own tokens are worth, so that the law's guard is never active.
* Noise. A run has an effect on each language's log loss, Student-t with 5 degrees of freedom and sd .003; a checkpoint
  adds a normal one of sd .002 (tokens of the last checkpoint / of this one)^.5.
* Finetunes follow (E + excess) + A / N^alpha + B / (D_0 + S_lam(D; U))^beta. The head start D_0 is h D_c, with D_c the
  crossover tokens of the rule c N^1.65 (c from the eight printed points, else log-normal around the rule's, sd .3),
  and h is log-normal around .3 (sd .3). The excess, B / D_c^beta - B / (D_0 + D_c)^beta, makes the curves cross at D_c;
  languages with too little data for D_c effective tokens never cross.

By the capacity law instead (§5 of the paper) are those runs that it is about: from scratch, in the multilingual
vocabulary, K languages evenly sampled, K from 1 to 50. The paper fits it to eight languages that it does not name; here
they are those of mixture 8v0. Nothing repeats, as in that law. Its four exponents are the pooled ones, the same for
every language: phi = .11 and psi = -.04 as printed, alpha and beta from the printed phi / alpha and psi / beta. E, A
and B, which are not published, are log-normal around .6, .1 and .3 (sd .2) at 1G parameters and 20G tokens. Noise is as
above, times four: this law leaves an R2 of .87 and more, where the ATLAS law leaves .98.
"""

import json
from collections.abc import Callable
from pathlib import Path

from bayes_atlas.data.simulate.atlas_runs import simulate
from bayes_atlas.data.simulate.capacity_runs import simulate_capacity
from bayes_atlas.data.simulate.design import Simulation
from bayes_atlas.errors import InputError

__all__ = ["SIMULATIONS", "Simulation", "simulate", "simulate_capacity", "write_simulation"]

SIMULATIONS: dict[str, Callable[[int], Simulation]] = {"atlas": simulate, "capacity": simulate_capacity}  # by law


def write_simulation(path: str | Path, seed: int, law: str = "atlas") -> Simulation:
    """Simulate and write the run table to `path` (CSV or Parquet) and the truth beside it, with suffix ``.truth.json``.

    Raises:
        InputError: `path` has another suffix, `seed` is negative, or no simulation follows `law`.
        OSError: the files cannot be written.
    """
    if law not in SIMULATIONS:
        raise InputError(f"no simulation follows the law {law!r}; choose one of: {', '.join(SIMULATIONS)}")
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".parquet", ".pq"):
        raise InputError(f"cannot write a run table to {path.name!r}; end its name in .csv, .parquet or .pq")
    simulation = SIMULATIONS[law](seed)
    if suffix == ".csv":
        simulation.runs.to_csv(path, index=False, lineterminator="\n")
    else:
        simulation.runs.to_parquet(path, index=False)
    path.with_suffix(".truth.json").write_text(json.dumps(simulation.truth, indent=1) + "\n", encoding="utf-8")
    return simulation
