"""Commands that make posteriors and look at them: `fit`, `diagnose` and `list`."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_atlas.cli.arguments import (
    AllTokens,
    AsJson,
    By,
    Chains,
    Draws,
    Others,
    Platform,
    Plot,
    PosteriorName,
    RunsFile,
    Sources,
    Warmup,
)
from bayes_atlas.cli.checks import draw_checks, print_checks
from bayes_atlas.cli.console import err, new_table, out, print_json, say, writing
from bayes_atlas.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

    from bayes_atlas.posterior import Check, Posterior
    from bayes_atlas.sampler import Progress


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
    by: By = None,
    sources: Sources = 3,
    others: Others = True,
    all_tokens: AllTokens = False,
    tau_from: Annotated[
        str | None,
        typer.Option(
            metavar="POSTERIOR",
            help="Posterior of bilingual transfer scores that gives the prior of tau (model atlas).",
            show_default=False,
        ),
    ] = None,
    traits: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Script, genus and family of languages (models of transfer scores); those of the paper are known.",
            show_default=False,
        ),
    ] = None,
    chains: Chains = 4,
    warmup: Warmup = 1000,
    draws: Draws = 1000,
    seed: Annotated[int, typer.Option(help="The same seed on the same machine gives the same draws.")] = 0,
    target_accept: Annotated[float, typer.Option(help="Acceptance that step sizes aim for.")] = 0.9,
    max_tree_depth: Annotated[int, typer.Option(help="Trajectories have at most 2^this steps.")] = 10,
    platform: Platform = "cpu",
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
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a fit that was killed; the rest of the command as it was.")
    ] = False,
    no_compile_cache: Annotated[
        bool, typer.Option("--no-compile-cache", help="Do not keep compiled programs for later fits.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Sample the posterior of a model given the table that it takes. Exits with 1 if a check of the sampling fails.

    What was sampled so far is kept beside the output until the fit is done. Control-C while it draws stores the draws
    there are, and says so; after that, or if the fit was killed, `--resume` goes on where it was.

    Examples:

    - `bayes-atlas fit runs.csv --model chinchilla`

    - `bayes-atlas fit runs.csv --model ./mine.py --chains 8 -o mine`

    - `bayes-atlas fit runs.csv --model atlas --by vocabulary --sources 3`

    - `bayes-atlas fit scores.csv --model transfer`

    - `bayes-atlas fit runs.csv --model atlas --tau-from transfer-atlas`
    """
    from bayes_atlas.catalogue import find_model
    from bayes_atlas.posterior import check_target

    target = output or Path(f"{runs.stem}-{find_model(model).stem}")
    checkpoint = target.with_name(f".{target.name}.unfinished")
    check_target(target, force=force)
    table = _read(runs, model, traits)
    from bayes_atlas.inference.fit import fit as run_fit

    with _stopping(checkpoint), writing(checkpoint), _progress_bar() as report:
        posterior = run_fit(
            table,
            model,
            languages=language or (),
            by=by or (),
            sources=sources,
            others=others,
            all_tokens=all_tokens,
            tau_from=tau_from,
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
            checkpoint=checkpoint,
            resume=resume,
            compile_cache=not no_compile_cache,
        )
    with writing(target):
        posterior = posterior.save(target, force=force)
    if as_json:
        print_json({"posterior": str(target), **_sampling_report(posterior)})
    else:
        _print_posterior(posterior)
        say(f"Wrote {target}")
    raise typer.Exit(1 if posterior.failed_checks else 0)


def diagnose(
    posterior: PosteriorName,
    full: Annotated[
        bool, typer.Option("--full", help="Also compare the fit with its data and its priors; see below.")
    ] = False,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """Show the checks of a posterior's sampling, with what to do about each that fails. Exits with 1 if one does.

    It also says whether the posterior is stale: whether its model has changed since. That loads, and so executes, the
    model.

    With `--full` it checks more, of which nothing changes the exit code: prior and posterior prediction of the rows
    that were fitted, how sensitive the law's parameters are to their priors, runs that decide too much (PSIS-LOO), and
    runs that the law cannot account for. Most of it needs a fit with its data stored. `--plot` draws PIT values and
    both predictions.

    Examples:

    - `bayes-atlas diagnose chinchilla-2022`

    - `bayes-atlas diagnose ./mine --full --plot checks.svg`
    """
    from bayes_atlas.inference.staleness import is_stale
    from bayes_atlas.posterior import load_posterior

    if plot is not None and not full:
        raise InputError("--plot draws what --full checks; add --full, or leave --plot out")
    loaded = load_posterior(posterior)
    if full:
        from bayes_atlas.validation.review import review_fit

        found = review_fit(loaded)
        stale, more = found.stale, {"full": found.to_dict()}
        if plot is not None:
            draw_checks(found, plot)
    else:
        stale, more = is_stale(loaded), {}
    if as_json:
        print_json(_sampling_report(loaded) | {"stale": stale} | more)
    else:
        _print_posterior(loaded)
        if stale:
            say("STALE: the model has changed since and gives another density; fit again")
        else:
            say("The model still gives the density that was sampled")
        if full:
            print_checks(found)
    raise typer.Exit(1 if loaded.failed_checks or stale else 0)


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
        print_json({"models": models, "posteriors": titles})
        return
    table = new_table("model", "what it is")
    for name, summary in models.items():
        table.add_row(name, summary)
    out.print(table)
    table = new_table("posterior", "what it is", "languages")
    for name, info in posteriors.items():
        few = info.languages if len(info.languages) <= 4 else [*info.languages[:3], f".. {len(info.languages)} in all"]
        table.add_row(name, info.title, ", ".join(few))
    out.print(table)


def _read(path: Path, model: str, traits: Path | None) -> "xr.Dataset":
    """The table at `path`, of the kind that `model` takes."""
    from bayes_atlas.catalogue import find_model, layout_of

    if layout_of(find_model(model)) == "pairs":
        from bayes_atlas.data.transfer_scores import read_scores

        return read_scores(path, traits)
    if layout_of(find_model(model)) == "crossings" and traits is None:
        from bayes_atlas.data.crossings import read_crossings

        return read_crossings(path)
    if traits is not None:
        raise InputError(f"--traits is for models of transfer scores, and {model} is none; leave it out")
    from bayes_atlas.data.runs import read_runs

    return read_runs(path)


@contextmanager
def _stopping(checkpoint: Path) -> Iterator[None]:
    """An interrupt before there are draws to store."""
    try:
        yield
    except KeyboardInterrupt:
        err.print(f"Interrupted in warm-up; {checkpoint} holds what was done: --resume goes on with it")
        raise typer.Exit(130) from None


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
            pace = f"{progress.gradients:.0f} gradients/draw, step {progress.step_size:.2g}"
            detail = f"{pace}, {progress.divergences} divergences"
            description = "warm-up" if progress.warming else "sampling"
            bar.update(task, description=description, completed=progress.done, total=progress.total, detail=detail)

        yield report


def _sampling_report(posterior: "Posterior") -> dict[str, Any]:
    info = json.loads(posterior.info.model_dump_json())
    kept = ("title", "model", "law", "languages", "runs", "sampling", "checks", "versions", "created")
    return {name: info[name] for name in kept}


def _print_posterior(posterior: "Posterior") -> None:
    info = posterior.info
    say(f"{info.title}: {info.runs.rows:,} rows, {info.runs.curves:,} curves, {len(info.languages)} languages")
    for reason, rows in info.runs.left_out.items():
        say(f"Left out: {rows:,} rows, which {reason}")
    sampling = info.sampling
    say(f"{sampling.chains} x {sampling.draws} draws after {sampling.warmup} of warm-up, {sampling.seconds:.0f} s")
    if sampling.interrupted:
        say("Interrupted: there are fewer draws than were asked for")
    table = new_table("check", "", "value", "limit", "worst at")
    for check in info.checks:
        result = "pass" if check.passed else "FAIL"
        table.add_row(check.name, result, f"{check.value:.4g}", f"{check.limit:.4g}", check.where)
    out.print(table)
    for check in posterior.failed_checks:
        _print_advice(check)


def _print_advice(check: "Check") -> None:
    place = f" at {check.where}" if check.where else ""
    say(f"{check.name} failed ({check.value:.4g}{place}): {check.advice}")
