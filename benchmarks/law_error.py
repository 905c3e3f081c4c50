"""What public tables show about the errors of their laws: the evidence table behind the posterior ``law-error``.

Each table is fitted, and its law's errors are learned with a wide prior of log q, which is then taken out again. The
table of this script is the input of the model ``law_error``. Run from the root of the checkout:

    python -m benchmarks.law_error --output build/evidence.csv
    bayes-atlas fit build/evidence.csv --model law_error --output posteriors/law-error --force
"""

import argparse
import os
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm

from bayes_atlas import Posterior, fit, runs_from_frame
from bayes_atlas.inference.model_error import with_law_error
from bayes_atlas.inference.options import Options
from bayes_atlas.inference.prepare import Prepared, Task
from bayes_atlas.law_error.learning import KAPPAS
from bayes_atlas.law_error.population import Population
from benchmarks.public_tables import PublicTable, public_tables

WIDE = (0.5, 1.0)  # mean and sd of log q
MOST = 0.97  # largest posterior sd of log q that counts as information, in units of the wide sd


def learned(name: str, table: PublicTable, posterior: Posterior, prior: Population) -> Posterior:
    """Return the posterior of a table with its law's errors, learned with a prior."""
    runs = runs_from_frame(table.frame, f"{name}.csv")
    return with_law_error(posterior, Prepared.of(runs, Task.of(table.model, Options.of())).data, prior)


def evidence(name: str, posterior: Posterior) -> pd.DataFrame:
    """Return the rows of one table, without the prior of log q; languages count as one table."""
    found = posterior.draws["law_error"].to_dataset()
    total = found["log_evidence"].to_numpy().astype(float).sum(axis=0)
    mean = found["mean"].to_numpy()[:, :, 0].astype(float).mean(axis=0)
    sd = np.minimum(np.sqrt((found["log_q_sd"].to_numpy().astype(float) ** 2).mean(axis=0)), MOST)
    error = (1 / sd**2 - 1 / WIDE[1] ** 2) ** -0.5
    estimate = (mean / sd**2 - WIDE[0] / WIDE[1] ** 2) * error**2
    known = total - total.max() - norm.logpdf(estimate, WIDE[0], np.hypot(WIDE[1], error))
    columns = {"table": name, "kappa": KAPPAS, "evidence": known, "log_q": estimate, "error": error}
    return pd.DataFrame(columns).round(4)


def main() -> None:
    """Write the evidence table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--warmup", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=1000)
    arguments = parser.parse_args()
    wide = Population(np.zeros(2), np.random.default_rng(0).normal(*WIDE, 100_000))
    parts = []
    for name, table in public_tables(Path(os.environ["BAYES_ATLAS_DATA"])).items():
        runs = runs_from_frame(table.frame, f"{name}.csv")
        options = {"warmup": arguments.warmup, "draws": arguments.draws}
        posterior = fit(runs, table.model, with_data=False, law_error=False, **options)
        parts.append(evidence(name, learned(name, table, posterior, wide)))
        best = parts[-1].sort_values("evidence").iloc[-1]
        failed = ", ".join(check.name for check in posterior.failed_checks) or "none"
        print(
            f"{name:14} kappa {best['kappa']:.2f}, log q {best['log_q']:.2f} +- {best['error']:.2f}; failed: {failed}"
        )
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    pd.concat(parts).to_csv(arguments.output, index=False)


if __name__ == "__main__":
    main()
