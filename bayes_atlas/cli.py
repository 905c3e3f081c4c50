"""The command ``bayes-atlas``: arguments in, tables or JSON out. No mathematics, and no sampler unless it samples."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from bayes_atlas.errors import InputError

if TYPE_CHECKING:
    from bayes_atlas.posterior import Check, Posterior
    from bayes_atlas.sampler import Progress

app = typer.Typer(
    name="bayes-atlas",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# What is printed holds names, paths and titles of the user's, in which square brackets and colons mean nothing.
out = Console(highlight=False, markup=False, emoji=False)
err = Console(stderr=True, highlight=False, markup=False, emoji=False)

RunsFile = Annotated[Path, typer.Argument(metavar="RUNS", help="Run table, .csv or .parquet.", show_default=False)]
PosteriorName = Annotated[
    str,
    typer.Argument(
        metavar="POSTERIOR", help="A posterior that ships, or a folder that a fit wrote.", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Probability = Annotated[float, typer.Option(help="Probability of the intervals.")]


@app.callback()
def about() -> None:
    """How big, how much data, in which languages, and how sure: Bayesian scaling laws for multilingual pretraining.

    Decide from a posterior that ships:

        bayes-atlas optimum datablations-2023 --compute 1e21 --unique 1e9

    or from your own runs:

        bayes-atlas check runs.csv

        bayes-atlas fit runs.csv --model atlas -o mine

        bayes-atlas optimum ./mine --language sw --compute 1e21
    """


@app.command()
def simulate(
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Run table to write, .csv or .parquet.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same runs.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Simulate the ATLAS paper's 774 runs with a known truth, written beside them as OUT.truth.json.

    Example: `bayes-atlas simulate runs.csv --seed 0`
    """
    from bayes_atlas.simulate import write_simulation

    with _writing(target):
        simulation = write_simulation(target, seed)
    truth = target.with_suffix(".truth.json")
    found = {"runs": int(simulation.runs["run"].nunique()), "rows": len(simulation.runs), "truth": str(truth)}
    if as_json:
        _print_json(found)
    else:
        _say(f"Wrote {found['runs']} runs, {found['rows']:,} rows, to {target}; what is true of them to {truth}")


@app.command()
def check(runs: RunsFile, as_json: AsJson = False) -> None:
    """Describe a run table and what can be learned from it, or refuse it with every fault at once.

    Example: `bayes-atlas check runs.csv`
    """
    from bayes_atlas.identification import describe
    from bayes_atlas.runs import read_runs

    description = describe(read_runs(runs))
    if as_json:
        _print_json(description.to_dict())
        return
    total = description.total
    _say(f"{description.name}: {total.rows:,} rows of {total.runs:,} runs, {len(description.by_language)} languages")
    for started, rows in description.init.items():
        if started != "scratch":
            _say(f"{rows:,} rows are of runs that started from the checkpoint {started}")
    for label, counts in description.labels.items():
        if len(counts) > 1:
            shown = ", ".join(f"{name} {rows:,}" for name, rows in list(counts.items())[:6])
            more = f", and {len(counts) - 6} more" if len(counts) > 6 else ""
            _say(f"{label} (rows): {shown}{more}; fit with --by {label} to give each its own parameters")
    table = _table("language", "rows", "runs", "params N", "tokens D", "unique U", "epochs", "K")
    shown_languages = list(description.by_language.items())
    for name, extent in [*shown_languages[:12], ("all", total)]:
        ranges = (extent.params, extent.tokens, extent.unique, extent.epochs, extent.languages)
        table.add_row(name, f"{extent.rows:,}", f"{extent.runs:,}", *map(_range, ranges))
    out.print(table)
    if len(shown_languages) > 12:
        _say(f"({len(shown_languages) - 12} more languages: --json lists all)")
    findings = _table("parameter", "identified", "because")
    for finding in description.identified:
        findings.add_row(finding.parameter, finding.status, finding.reason)
    out.print(findings)


@app.command()
def fit(
    runs: RunsFile,
    model: Annotated[
        str, typer.Option(help="A model that ships, or the path of a model file; loading a file executes it.")
    ] = "atlas",
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder to write; default RUNS-MODEL here.", show_default=False),
    ] = None,
    language: Annotated[
        list[str] | None,
        typer.Option(
            help="Fit only this language's losses, and others named so; the rest stay as sources.", show_default=False
        ),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(help="Label (vocabulary, mixture, ..) whose values get their own parameters.", show_default=False),
    ] = None,
    sources: Annotated[
        int, typer.Option(help="Named sources per language, the most co-sampled (models with transfer).")
    ] = 3,
    chains: Annotated[int, typer.Option(help="Chains.")] = 4,
    warmup: Annotated[int, typer.Option(help="Warm-up draws per chain.")] = 1000,
    draws: Annotated[int, typer.Option(help="Draws per chain.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed on the same machine gives the same draws.")] = 0,
    target_accept: Annotated[float, typer.Option(help="Acceptance that step sizes aim for.")] = 0.9,
    max_tree_depth: Annotated[int, typer.Option(help="Trajectories have at most 2^this steps.")] = 10,
    platform: Annotated[str, typer.Option(help="cpu, gpu or tpu.")] = "cpu",
    keep: Annotated[
        int | None, typer.Option(min=1, help="Draws per chain to keep, evenly spaced.", show_default="all")
    ] = None,
    without_data: Annotated[
        bool, typer.Option("--without-data", help="Keep neither the run table nor the pointwise log likelihood.")
    ] = False,
    title: Annotated[
        str | None, typer.Option(help="One line that says what this posterior is.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a posterior that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Sample the posterior of a model given a run table. Exits with 1 if a check of the sampling fails.

    Examples:

    - `bayes-atlas fit runs.csv --model chinchilla`

    - `bayes-atlas fit runs.csv --model ./mine.py --chains 8 -o mine`

    - `bayes-atlas fit runs.csv --model atlas --by vocabulary --sources 3`
    """
    from bayes_atlas.catalogue import find_model
    from bayes_atlas.posterior import check_target
    from bayes_atlas.runs import read_runs

    target = output or Path(f"{runs.stem}-{find_model(model).stem}")
    check_target(target, force=force)
    table = read_runs(runs)
    from bayes_atlas.fitting import fit as run_fit

    with _progress_bar() as report:
        posterior = run_fit(
            table,
            model,
            languages=language or (),
            by=by or (),
            sources=sources,
            chains=chains,
            warmup=warmup,
            draws=draws,
            seed=seed,
            target_accept=target_accept,
            max_tree_depth=max_tree_depth,
            platform=platform,
            keep=keep,
            with_data=not without_data,
            title=title,
            report=report,
        )
    with _writing(target):
        posterior = posterior.save(target, force=force)
    if as_json:
        _print_json({"posterior": str(target), **_sampling_report(posterior)})
    else:
        _print_posterior(posterior)
        _say(f"Wrote {target}")
    raise typer.Exit(1 if posterior.failed_checks else 0)


@app.command()
def diagnose(posterior: PosteriorName, as_json: AsJson = False) -> None:
    """Show the checks of a posterior's sampling, with what to do about each that fails. Exits with 1 if one does.

    It also says whether the posterior is stale: whether its model has changed since. That loads, and so executes, the
    model.

    Example: `bayes-atlas diagnose chinchilla-2022`
    """
    from bayes_atlas.posterior import load_posterior
    from bayes_atlas.staleness import is_stale

    loaded = load_posterior(posterior)
    stale = is_stale(loaded)
    if as_json:
        _print_json(_sampling_report(loaded) | {"stale": stale})
    else:
        _print_posterior(loaded)
        if stale:
            _say("STALE: the model has changed since and gives another density; fit again")
        else:
            _say("The model still gives the density that was sampled")
    raise typer.Exit(1 if loaded.failed_checks or stale else 0)


@app.command()
def optimum(
    posterior: PosteriorName,
    compute: Annotated[float, typer.Option(help="Budget in FLOPs, 6 per parameter and token.", show_default=False)],
    language: Annotated[
        str | None, typer.Option(help="Language to train in; not needed if there is one.", show_default=False)
    ] = None,
    unique: Annotated[
        float | None, typer.Option(help="Unique tokens there are of it; unlimited if not given.", show_default=False)
    ] = None,
    probability: Probability = 0.9,
    as_json: AsJson = False,
) -> None:
    """The compute-optimal size and data for a language and a budget, with intervals.

    Examples:

    - `bayes-atlas optimum chinchilla-2022 --compute 5.88e23`

    - `bayes-atlas optimum datablations-2023 --compute 1e21 --unique 1e9`
    """
    from bayes_atlas.decisions.optimum import optimum as decide
    from bayes_atlas.posterior import load_posterior

    decision = decide(load_posterior(posterior), compute=compute, language=language, unique=unique)
    summary = decision.summary(probability)
    if as_json:
        asked = {"posterior": posterior, "language": decision.language, "compute": compute, "unique": unique}
        _print_json(asked | summary | {"notes": decision.notes})
        return
    limit = "" if unique is None else f" and {_number(unique)} unique tokens"
    _say(f"{posterior}: training in {decision.language} with {compute:.3g} FLOPs{limit}")
    interval = f"{100 * probability:.4g}% interval"
    table = _table("compute-optimal", "median", interval)
    for name, label in QUANTITIES.items():
        if name != "epochs" or unique is not None:
            values = summary[name]
            table.add_row(label, _number(values["median"]), f"{_number(values['lower'])} to {_number(values['upper'])}")
    out.print(table)
    _print_notes(decision.notes)


QUANTITIES = {
    "params": "params N",
    "tokens": "tokens D",
    "loss": "loss",
    "epochs": "epochs over U",
    "tokens_per_param": "tokens per param",
}


@app.command("list")
def list_shipped(as_json: AsJson = False) -> None:
    """Models and posteriors that ship, a line each.

    Example: `bayes-atlas list`
    """
    from bayes_atlas.catalogue import find_model, model_names, model_summary, posterior_names
    from bayes_atlas.posterior import read_info

    models = {name: model_summary(find_model(name)) for name in model_names()}
    posteriors = {name: read_info(name) for name in posterior_names()}
    if as_json:
        titles = {name: {"title": info.title, "languages": info.languages} for name, info in posteriors.items()}
        _print_json({"models": models, "posteriors": titles})
        return
    table = _table("model", "what it is")
    for name, summary in models.items():
        table.add_row(name, summary)
    out.print(table)
    table = _table("posterior", "what it is", "languages")
    for name, info in posteriors.items():
        few = info.languages if len(info.languages) <= 4 else [*info.languages[:3], f".. {len(info.languages)} in all"]
        table.add_row(name, info.title, ", ".join(few))
    out.print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit; a user's mistake is one message on stderr and exit code 2."""
    try:
        app(args=arguments, prog_name="bayes-atlas")
    except InputError as error:
        err.print(f"bayes-atlas: {error}", style="red", soft_wrap=True)
        sys.exit(2)


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """That a file cannot be written is for the user to mend."""
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot write {target}: {error}; name another place, or make room there") from error


@contextmanager
def _progress_bar() -> Iterator[Callable[["Progress"], None]]:
    """A bar on stderr where that is a terminal, else nothing."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=err, disable=not err.is_terminal) as bar:
        task = bar.add_task("compiling", total=None, detail="")

        def report(progress: "Progress") -> None:
            detail = f"{progress.gradients:.0f} gradients/draw, {progress.divergences} divergences"
            description = "warm-up" if progress.warming else "sampling"
            bar.update(task, description=description, completed=progress.done, total=progress.total, detail=detail)

        yield report


def _sampling_report(posterior: "Posterior") -> dict[str, Any]:
    info = json.loads(posterior.info.model_dump_json())
    kept = ("title", "model", "law", "languages", "runs", "sampling", "checks", "versions", "created")
    return {name: info[name] for name in kept}


def _print_posterior(posterior: "Posterior") -> None:
    info = posterior.info
    _say(f"{info.title}: {info.runs.rows:,} rows, {info.runs.curves:,} curves, {len(info.languages)} languages")
    for reason, rows in info.runs.left_out.items():
        _say(f"Left out: {rows:,} rows, which {reason}")
    sampling = info.sampling
    _say(f"{sampling.chains} x {sampling.draws} draws after {sampling.warmup} of warm-up, {sampling.seconds:.0f} s")
    table = _table("check", "", "value", "limit", "worst at")
    for check in info.checks:
        result = "pass" if check.passed else "FAIL"
        table.add_row(check.name, result, f"{check.value:.4g}", f"{check.limit:.4g}", check.where)
    out.print(table)
    for check in posterior.failed_checks:
        _print_advice(check)


def _print_advice(check: "Check") -> None:
    place = f" at {check.where}" if check.where else ""
    _say(f"{check.name} failed ({check.value:.4g}{place}): {check.advice}")


def _print_notes(notes: Sequence[str]) -> None:
    for note in notes:
        _say(f"Note: {note}.")


def _say(text: str) -> None:
    """A line on stdout, broken by the terminal alone, so that what it names can be copied."""
    out.print(text, soft_wrap=True)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _range(values: tuple[float, float] | None) -> str:
    if values is None:
        return "-"
    lower, upper = values
    return _number(lower, 3) if lower == upper else f"{_number(lower, 3)} to {_number(upper, 3)}"


def _number(value: float, digits: int = 4) -> str:
    """Three significant digits of large counts, with their usual letters, or `digits` of numbers below 1000."""
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"


def _print_json(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document, indent=1, allow_nan=False) + "\n")
