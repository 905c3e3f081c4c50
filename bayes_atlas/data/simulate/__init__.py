"""Simulate the ATLAS paper's 774 runs with known truth (Longpre et al. 2025, arXiv 2510.22037, Tables B.1, B.2, B.5).

The runs follow the ATLAS law exactly, plus noise on log loss. The paper is silent on some points and contradicts itself
on others. The simulation fills them in as follows:

* Runs. The paper lists eleven sizes for groups that it counts as ten. Monolingual and bilingual runs leave out scale
  34, which has groups of its own; capacity runs leave out scale 0. The paper counts 48 or 50 evaluation languages; the
  simulation takes the 50 of mixture 50v0. The 90 bilingual runs of scale 34 are 45 pairs at two budgets. The 15 pairs
  at other scales are English with the nine other languages of those pairs, English with Swahili, and the five printed
  pairs. Unimax trains on 1T tokens at every size.
* Budgets. Each run takes 30,000 to 100,000 steps of 2048-token sequences, drawn log-uniformly. Losses are recorded at
  25, 50, 75 and 100 %.
* Unique tokens. Six are printed. A language with a small printed Unimax share has unique tokens in proportion to that
  share (Swahili: .719 % and 770M). Other languages have 200G, 80G, 40G, 15G or 1G, by the smallest of the mixtures
  12v0, 16v0, 24v0, 32v0 and 50v0 that contains them. An unprinted Unimax share is 1.42 % or, for small languages, again
  in proportion. The 370 Unimax languages without evaluation are one source, ``rest``, with 500G unique tokens.
* E, A, B, alpha = beta. Table C.1 gives them on monolingual data, with E = 0.00 read as .004. Other languages are drawn
  around the rows of their vocabulary, with half the spread of these rows. E is log-normal (from the rows with E > 0).
  The exponent and the two reducible losses at 1G parameters and 20G tokens are jointly log-normal.
* lam, tau. lam is log-normal around .2 (sd .4) by language, and applies to the language's sources too. tau of the 3
  most co-sampled sources is .75 BTS / (2 - BTS) with an error of sd .02. Where no score is printed, it is normal around
  .05 (sd .08). tau is clipped to [-.1, .3]. tau_other is log-normal around .015 (sd .5); with 420 languages a negative
  constant would leave no data at all. A language's negative tau are scaled down together until D_eff is nowhere below
  half of the effective own tokens, so the law's guard is never active.
* Noise. A run has an effect on each language's log loss, Student-t with 5 degrees of freedom and sd .003. A checkpoint
  adds a normal effect of sd .002 (tokens of the last checkpoint / tokens of this checkpoint)^.5.
* Finetunes follow (E + excess) + A / N^alpha + B / (D_0 + S_lam(D; U))^beta. The head start D_0 is h D_c. D_c is the
  crossover tokens by the rule c N^1.65, with c from the eight printed points or else log-normal around the rule's c (sd
  .3). h is log-normal around .3 (sd .3). The excess, B / D_c^beta - B / (D_0 + D_c)^beta, makes the curves cross at
  D_c. Languages with too little data for D_c effective tokens never cross.

A second simulation follows the capacity law (§5 of the paper). It has only the runs that this law covers: from scratch,
with the multilingual vocabulary, on K evenly sampled languages, K from 1 to 50. The paper fits the law to eight
languages without naming them; the simulation takes those of mixture 8v0. No data repeat, as in that law. All languages
share the pooled exponents: phi = .11 and psi = -.04 as printed, alpha and beta from the printed phi / alpha and
psi / beta. E, A and B are not published. They are log-normal around .6, .1 and .3 (sd .2) at 1G parameters and 20G
tokens. Noise is four times the noise above, because the paper reports an R2 of .87 and more for this law, and .98 for
the ATLAS law.
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
    """Simulate runs; write the run table to `path` (CSV or Parquet), and the truth beside it as ``.truth.json``.

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
