"""Comparison of the answers of two checkouts: draws of one fit per model, and the JSON of every command.

    python benchmarks/same_answers.py record BEFORE --tree ../old
    python benchmarks/same_answers.py record AFTER
    python benchmarks/same_answers.py compare BEFORE AFTER

`record` runs the commands of the checkout `--tree` (by default this one) on small tables that it makes and on every
posterior that ships, and stores their output. `compare` lists every value that differs, and only counts keys that
AFTER alone has. It exits with code 1 if an answer or a draw differs. It ignores times, versions and dates.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
MODELS = (
    "chinchilla",
    "data_constrained",
    "family_share",
    "atlas",
    "capacity",
    "bilingual",
    "crossover",
    "transfer",
    "crossover_rule",
)
SHORT = ["--chains", "2", "--warmup", "150", "--draws", "100", "--seed", "0"]
CHANGING = ("seconds", "created", "versions", "draws_sha256", "model_sha256")  # from one run or text to another
SCENARIO = 'title = "Three"\ncompute = 1e20\n[weights]\n{0} = 2\n{1} = 1\n[unique]\n{0} = 1e9\n{1} = 5e9\n'


def main() -> None:
    """Read the command line, and record or compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    recording = commands.add_parser("record")
    recording.add_argument("folder", type=Path)
    recording.add_argument("--tree", type=Path, default=ROOT)
    recording.set_defaults(run=lambda given: record(given.folder.resolve(), given.tree.resolve()))
    comparing = commands.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    comparing.set_defaults(run=lambda given: sys.exit(compare(given.before, given.after)))
    given = parser.parse_args()
    given.run(given)


# Recording


def record(folder: Path, tree: Path) -> None:
    """Write draws' hashes and printed JSON of the checkout `tree` to ``folder/answers.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tables(folder)
    answers: dict[str, Any] = {}

    def ask(*arguments: str) -> None:
        answers[" ".join(arguments)] = _printed(tree, folder, *arguments, "--json")
        (folder / "answers.json").write_text(json.dumps(answers, indent=1, sort_keys=True) + "\n")

    for model in MODELS:
        ask("fit", f"{table_of(model)}.csv", "--model", model, "-o", model, "--force", *SHORT)
        answers[f"draws of {model}"] = hash_draws(folder / model / "draws.nc")
        ask("diagnose", f"./{model}")
    for name in ("runs", "mixed", "grown", "halves"):
        ask("check", f"{name}.csv")
    ask("diagnose", "./chinchilla", "--full")
    ask("list")
    for holdout in ("params", "random"):
        ask("validate", "runs.csv", "--model", "chinchilla", "--holdout", holdout, *SHORT)
    ask("compare", "runs.csv", "--models", "chinchilla,data_constrained", "--holdout", "params", *SHORT)
    ask("compare", "runs.csv", "--models", "chinchilla,data_constrained", "--loo", *SHORT)
    ask("scores", "halves.csv", "--anchor", "4e9", *SHORT)
    ask("optimum", "./chinchilla", "--language", "en", "--compute", "1e21", "--law-error", "none")
    for question in questions(tree / "posteriors", folder):
        ask(*question)
    print(f"{len(answers)} answers in {folder / 'answers.json'}")


def questions(posteriors: Path, folder: Path) -> Iterator[list[str]]:
    """Every decision that a law can take, of every posterior that ships."""
    for path in sorted(posteriors.glob("*/info.json")):
        info, name = json.loads(path.read_text()), path.parent.name
        law, languages = info["law"], info["languages"]
        first = languages[0]
        yield ["diagnose", name]
        if law == "transfer":
            yield ["transfer", name, "--target", first, "--pair", first, languages[1]]
            continue
        if law in ("crossover", "crossover_rule"):
            checkpoint = [] if law == "crossover_rule" else ["--checkpoint", info["sources"][first][-1]]
            size = "2e9" if law == "crossover_rule" else "65.8e6"
            yield ["crossover", name, "--language", first, *checkpoint, "--params", size, "--tokens", "1e10"]
            continue
        if law == "capacity":
            yield ["expand", name, "--factor", "4"]
            yield [
                *("expand", name, "--factor", "2", "--language", first),
                *("--params", "2e9", "--tokens", "1e11", "--languages", "8"),
            ]
            (folder / "grow.toml").write_text("[expand]\nfactor = 4\n")
            yield ["plan", "grow.toml", name]
        yield ["optimum", name, "--language", first, "--compute", "1e21"]
        yield ["optimum", name, "--language", first, "--compute", "1e21", "--unique", "1e9", "--max-params", "2e9"]
        yield ["optimum", name, "--language", first, "--compute", "1e21", "--unique", "1e9", "--served", "1e12"]
        yield ["trajectory", name, "--language", first, "--from", "1e19", "--to", "1e22", "--unique", "1e9"]
        own = {language.partition(":")[0]: language for language in languages}
        if len(own) > 1:
            one, two = list(own.values())[:2]
            weights = ["--weight", f"{one}=2", "--weight", f"{two}=1"]
            yield ["optimum", name, *weights, "--compute", "1e21"]
            yield ["trajectory", name, *weights, "--from", "1e19", "--to", "1e21", "--points", "3"]
            sources = [language.partition(":")[0] for language in (one, two)]
            limits = [part for source in sources for part in ("--unique", f"{source}=1e9")]
            yield ["mixture", name, *weights, *limits, "--compute", "1e20", "--max-epochs", "4"]
            scenario = folder / f"{name}.toml"
            weighed = [f'"{language}"' for language in (one, two)]
            text = SCENARIO.format(*sources)
            for source, quoted in zip(sources, weighed, strict=True):
                text = text.replace(f"{source} = 2", f"{quoted} = 2").replace(f"{source} = 1\n", f"{quoted} = 1\n")
            scenario.write_text(text)
            yield ["plan", scenario.name, name]
        several = [source for source in own if sum(language.partition(":")[0] == source for language in languages) > 1]
        if several:
            yield ["tax", name, "--language", several[0], "--compute", "1e20", "--compute", "1e21"]


def _printed(tree: Path, folder: Path, *arguments: str) -> Any:
    """What a command prints, as JSON; where it fails, its exit code and message."""
    environment = os.environ | {"PYTHONPATH": str(tree)}
    finished = subprocess.run(
        [sys.executable, "-m", "bayes_atlas", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    if finished.returncode not in (0, 1) or not finished.stdout:
        return {"exit": finished.returncode, "message": finished.stderr[-1000:]}
    return {"exit": finished.returncode, "document": _lasting(json.loads(finished.stdout))}


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _lasting(each) for name, each in value.items() if name not in CHANGING}
    return [_lasting(each) for each in value] if isinstance(value, list) else value


def hash_draws(path: Path) -> dict[str, str]:
    """sha256 of every variable of the groups of draws."""
    hashes = {}
    with h5py.File(path) as file:
        for group in ("posterior", "sample_stats", "prior", "log_prior", "log_likelihood"):
            for name, values in file.get(group, {}).items():
                if isinstance(values, h5py.Dataset) and values.dtype.kind in "fib":
                    hashes[f"{group}/{name}"] = hashlib.sha256(np.ascontiguousarray(values[()]).tobytes()).hexdigest()
    return hashes


# Tables


def table_of(model: str) -> str:
    """Name of the table that a model is fitted to."""
    special = {"bilingual": "halves", "crossover": "starts", "transfer": "scores", "crossover_rule": "crossings"}
    return special.get(model, {"capacity": "grown", "atlas": "mixed"}.get(model, "runs"))


def write_tables(folder: Path) -> None:
    """Small tables of each kind that models take, always the same."""
    rng = np.random.default_rng(0)
    grid = [(params, tokens) for params in np.geomspace(1e8, 3e9, 4) for tokens in np.geomspace(5e8, 2e10, 4)]

    def loss(params: float, tokens: float) -> float:
        return float((1.5 + 60 * params**-0.3 + 400 * tokens**-0.3) * np.exp(0.005 * rng.normal()))

    plain = [
        {"run": f"{language}{number}", "language": language, "params": params, "tokens": tokens, "unique": 5e9}
        | {"loss": loss(params, min(tokens, 5e9 + tokens / 4))}
        for language in ("en", "sw", "fr")
        for number, (params, tokens) in enumerate(grid)
    ]
    pd.DataFrame(plain).to_csv(folder / "runs.csv", index=False)
    mixed, grown, halves, starts = (list[dict[str, Any]]() for _ in range(4))
    for number, (params, total) in enumerate(grid):
        for language, other in (("en", "sw"), ("sw", "en")):
            for share in (0.5, 1.0):
                mixture = {"en": 0.0, "sw": 0.0, "fr": total * share * (number % 3) / 4}
                mixture |= {language: total * share, other: total * share * (number % 2)}
                own = mixture[language] + 0.2 * mixture[other]
                mixed.append(
                    {"run": f"{language}{number}", "language": language, "params": params, "loss": loss(params, own)}
                    | {f"tokens.{name}": value for name, value in mixture.items()}
                    | {f"unique.{name}": 4e9 for name in mixture}
                )
            count = (1, 2, 4, 8)[number % 4]
            grown.append(
                {"run": f"{language}{number}", "language": language, "params": params, "tokens": total}
                | {"languages": count, "loss": loss(params / count**0.3, total)}
            )
    for language, partners in (("en", ("", "sw", "fr")), ("sw", ("", "en"))):
        for partner in partners:
            for tokens in np.geomspace(5e8, 2e10, 8):
                row: dict[str, Any] = {"run": f"{language}+{partner}", "language": language, "params": 1e9}
                row |= {f"tokens.{name}": 0.0 for name in ("en", "sw", "fr")} | {f"tokens.{language}": tokens}
                row |= {f"tokens.{partner}": tokens} if partner else {}
                halves.append(row | {"loss": loss(1e9, tokens * (1.3 if partner else 1.0))})
    for language in ("de", "ja"):
        for start in ("scratch", "en"):
            for tokens in np.geomspace(1e8, 2e10, 8):
                head = 3e9 if start == "en" else 0.0
                starts.append(
                    {"run": f"{language}-{start}-{tokens:.3g}", "language": language, "params": 1e9, "tokens": tokens}
                    | {"init": start, "loss": loss(1e9, tokens + head) + (0.02 if head else 0.0)}
                )
    for name, rows in (("mixed", mixed), ("grown", grown), ("halves", halves), ("starts", starts)):
        pd.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False)
    names = ("en", "fr", "es", "sw", "ru", "zh")
    pairs = [
        {"source": source, "target": target, "score": float(rng.normal(-0.2, 0.3)), "error": 0.05}
        for source in names
        for target in names
        if source != target and rng.uniform() < 0.8
    ]
    pd.DataFrame(pairs).to_csv(folder / "scores.csv", index=False)
    crossings = [
        {"language": language, "params": params, "tokens": 1.5e11 * (params / 2e9) ** 0.5 * factor, "error": 0.1}
        for language, factor in (("de", 1.0), ("fr", 1.2), ("ja", 0.8), ("all", 1.0))
        for params in (1e9, 2e9)
    ]
    pd.DataFrame(crossings).to_csv(folder / "crossings.csv", index=False)


# Comparing


def compare(before: Path, after: Path) -> int:
    """Print what differs; 1 where anything does."""
    old, new = (json.loads((folder / "answers.json").read_text()) for folder in (before, after))
    differences: list[str] = []
    worded: list[str] = []
    added: list[str] = []
    both = [question for question in old if question in new]
    for question in both:
        _differ(question, old[question], new[question], (differences, worded, added))
    for line in [*differences, *worded]:
        print(line)
    lacking = len(old) + len(new) - 2 * len(both)
    print(f"{len(both)} answers compared: {len(differences)} values differ, {len(worded)} sentences are worded")
    print(f"otherwise, {len(added)} keys are new")
    print(f"{lacking} answers stand in one of the two alone")
    return int(bool(differences))


def _differ(place: str, old: Any, new: Any, found: tuple[list[str], list[str], list[str]]) -> None:
    differences, worded, added = found
    if isinstance(old, dict) and isinstance(new, dict):
        added += [f"{place}: {name}" for name in new if name not in old]
        for name, value in old.items():
            _differ(f"{place}: {name}", value, new.get(name, "(absent)"), found)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            _differ(f"{place}[{index}]", one, other, found)
    elif old != new:
        sentences = isinstance(old, str) and isinstance(new, str) and " " in old and " " in new
        (worded if sentences else differences).append(f"{place}: {str(old)[:80]} -> {str(new)[:80]}")


if __name__ == "__main__":
    main()
