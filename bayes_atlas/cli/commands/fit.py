"""`fit`: sample the posterior of a model."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayes_atlas.cli.arguments import AllTokens, AsJson, By, Chains, Draws, Others, Platform, RunsFile, Sources, Warmup
from bayes_atlas.cli.console import err, print_json, say, writing
from bayes_atlas.cli.sampling import print_posterior, sampling_report
from bayes_atlas.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

    from bayes_atlas.sampler import Progress

PANEL = "Posteriors"


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
        print_json({"posterior": str(target), **sampling_report(posterior)})
    else:
        print_posterior(posterior)
        say(f"Wrote {target}")
    raise typer.Exit(1 if posterior.failed_checks else 0)


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
