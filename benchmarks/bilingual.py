"""Recovery of known transfer scores from simulated bilingual studies.

    python benchmarks/bilingual.py [--studies 5] [--languages 8]

A study has one monolingual run per language and one 50/50 bilingual run per pair. All runs have one model size, 100G
tokens and twelve evenly spaced checkpoints. Curves follow the law ``bilingual``, with token values of 1 + tau
(tau normal around 0 with sd .25) and floors log-normal around 1.005 with sd .01. A run has an effect on each log loss,
normal with sd .0014 (the effect of seeds in the data of Muennighoff et al. 2023). A checkpoint has one of sd .002
(tokens of the last checkpoint / tokens of this one)^.5. True scores are taken at 42G tokens, as in the paper. Runs that
do not reach the loss within their tokens are censored.

Among pairs with a score, the benchmark counts true scores inside the 90 % interval. Among censored pairs, it counts
true scores below the upper end, which should be 95 %.
"""

import argparse
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayes_atlas import fit, runs_from_frame
from bayes_atlas.data.bilingual_design import bilingual_study
from bayes_atlas.decisions.transfer_scores import transfer_scores
from bayes_atlas.laws import bilingual as law

ANCHOR = 42e9
TOKENS = 100e9
CHECKPOINTS = 12
PARAMS = 2e9
UNIT = 2e10  # tokens at which B is stated
RUN_SD, CHECKPOINT_SD = 0.0014, 0.002

type Floats = NDArray[np.float64]


def simulate_study(seed: int, languages: int) -> tuple[pd.DataFrame, Floats]:
    """A run table of so many languages, and the true scores at `ANCHOR`: ``(target, source)``."""
    rng = np.random.default_rng(seed)
    names = ("en", "ru", "es", "fr", "de", "pt", "zh", "vi", "ja", "hi")[:languages]
    own = {
        "E": np.exp(rng.normal(np.log(1.6), 0.15, languages)),
        "B": np.exp(rng.normal(np.log(0.6), 0.2, languages)),
        "beta": np.exp(rng.normal(np.log(0.35), 0.1, languages)),
    }
    shape = (languages, languages)
    pair = {"worth": np.maximum(1 + 0.25 * rng.normal(size=shape), 0.3)}
    pair["floor"] = np.exp(0.005 + 0.01 * rng.normal(size=shape))
    rows: list[dict[str, Any]] = []
    total = TOKENS * np.arange(1, CHECKPOINTS + 1) / CHECKPOINTS

    def run(*members: int) -> None:
        name = "-".join(names[member] for member in members)
        tokens = total / len(members)
        for place, target in enumerate(members):
            curve = {key: values[target] for key, values in own.items()}
            if len(members) == 2:
                curve |= {key: values[target, members[1 - place]] for key, values in pair.items()}
            spread = CHECKPOINT_SD * np.sqrt(total[-1] / total)
            loss = law.loss(tokens / UNIT, **curve) * np.exp(
                RUN_SD * rng.normal() + spread * rng.normal(size=len(total))
            )
            for count, value in zip(tokens, loss, strict=True):
                trained = {f"tokens.{names[member]}": count for member in members}
                rows.append({"run": name, "language": names[target], "params": PARAMS, "loss": value} | trained)

    for target in range(languages):
        run(target)
    for members in combinations(range(languages), 2):
        run(*members)
    truth = law.score(ANCHOR / UNIT, **{key: values[:, None] for key, values in own.items()}, **pair)
    return pd.DataFrame(rows).fillna({f"tokens.{name}": 0.0 for name in names}), truth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--studies", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="seed of the first study")
    parser.add_argument("--languages", type=int, default=8)
    parser.add_argument("--warmup", type=int, default=300)
    parser.add_argument("--draws", type=int, default=300)
    arguments = parser.parse_args()
    inside, below, errors = list[bool](), list[bool](), list[float]()
    for seed in range(arguments.first, arguments.first + arguments.studies):
        frame, truth = simulate_study(seed, arguments.languages)
        study = bilingual_study(runs_from_frame(frame))
        posterior = fit(study.runs, "bilingual", chains=2, warmup=arguments.warmup, draws=arguments.draws, seed=seed)
        scores = transfer_scores(posterior, study, [ANCHOR])
        languages = posterior.info.languages
        for score in scores.pairs:
            true = truth[languages.index(score.target), languages.index(score.source)]
            lower, upper = np.quantile(score.draws, [0.05, 0.95])
            if score.censored:
                below.append(bool(true <= upper))
            else:
                inside.append(bool(lower <= true <= upper))
                errors.append((score.score - true) / score.error)
        failed = ", ".join(f"{check.name} ({check.value:.3g})" for check in posterior.failed_checks) or "none"
        print(f"study {seed}: {posterior.info.sampling.seconds:.0f} s, failed checks: {failed}", flush=True)
    print(f"scores inside their 90 % interval: {sum(inside)} of {len(inside)} ({np.mean(inside):.3f})")
    print(f"error over stated error: mean {np.mean(errors):.2f}, sd {np.std(errors):.2f}")
    print(f"censored scores below their upper end: {sum(below)} of {len(below)} ({np.mean(below):.3f})")


if __name__ == "__main__":
    main()
