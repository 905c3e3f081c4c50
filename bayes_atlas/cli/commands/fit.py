"""`fit`: sample the posterior of a model."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayes_atlas.cli.arguments import AsJson, RunsFile
from bayes_atlas.cli.console import err, print_json, print_warnings, say, writing
from bayes_atlas.cli.options import Runs, Sampling
from bayes_atlas.cli.sampling import print_posterior, progress_bar, sampling_report
from bayes_atlas.sampler.settings import Settings

if TYPE_CHECKING:
    from bayes_atlas.inference.options import FitOptions

PANEL = "Posteriors"


@dataclass(frozen=True)
class Tuning:
    """Options of NUTS."""

    target_accept: Annotated[float, typer.Option(help="Target acceptance probability of NUTS.")] = (
        Settings.target_accept
    )
    max_tree_depth: Annotated[int, typer.Option(help="Largest tree depth; a trajectory has at most 2^depth steps.")] = (
        Settings.max_tree_depth
    )
    no_compile_cache: Annotated[
        bool, typer.Option("--no-compile-cache", help="Do not keep compiled programs for later fits.")
    ] = False


@dataclass(frozen=True)
class Storage:
    """Options of the stored posterior."""

    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Folder to write; by default RUNS-MODEL in the current folder.", show_default=False
        ),
    ] = None
    keep: Annotated[
        int | None, typer.Option(min=1, help="Number of draws to keep per chain, evenly spaced.", show_default="all")
    ] = None
    without_data: Annotated[
        bool, typer.Option("--without-data", help="Store neither the run table nor the pointwise log likelihood.")
    ] = False
    title: Annotated[str | None, typer.Option(help="Title of the posterior, one line.", show_default=False)] = None
    force: Annotated[bool, typer.Option("--force", help="Replace the posterior in the output folder.")] = False
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume an interrupted or killed fit; repeat its other options.")
    ] = False


def fit(
    runs: RunsFile,
    model: Annotated[
        str, typer.Option(help="Name of a model that ships, or path of a model file, which is executed.")
    ] = "atlas",
    language: Annotated[
        list[str] | None,
        typer.Option(
            help="Fit the losses of this language only (repeatable); other languages remain sources.",
            show_default=False,
        ),
    ] = None,
    tau_from: Annotated[
        str | None,
        typer.Option(
            metavar="POSTERIOR",
            help="Posterior of transfer scores that the prior of tau comes from (model atlas).",
            show_default=False,
        ),
    ] = None,
    traits: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Script, genus and family of languages outside the paper (models of transfer scores).",
            show_default=False,
        ),
    ] = None,
    *,
    storage: Storage,
    selected: Runs,
    sampling: Sampling,
    tuning: Tuning,
    as_json: AsJson = False,
) -> None:
    """Fit a model to a table by sampling its posterior. Exits with 1 if a check of the sampling fails.

    Chains draw in rounds until all checks of the sampling pass, and adapt again where that helps. Limits are
    `--max-minutes` and 10,000 draws per chain. `--draws` fixes the number of draws instead.

    The progress is kept beside the output until the fit is done. Control-C after warm-up stores the draws made so far.
    `--resume` continues an interrupted or killed fit.

    Examples:

    - `bayes-atlas fit runs.csv --model chinchilla`

    - `bayes-atlas fit runs.csv --model ./mine.py --chains 8 -o mine`

    - `bayes-atlas fit runs.csv --model atlas --by vocabulary --sources 3`

    - `bayes-atlas fit scores.csv --model transfer`

    - `bayes-atlas fit runs.csv --model atlas --tau-from transfer-atlas`
    """
    from bayes_atlas.catalogue import read_model
    from bayes_atlas.data.plausibility import doubts
    from bayes_atlas.observations.kind import RUNS, kind_of
    from bayes_atlas.posterior import check_target
    from bayes_atlas.sampler.checkpoint import check_free, remove

    file = read_model(model)
    target = storage.output or Path(f"{runs.stem}-{file.path.stem}")
    checkpoint = target.with_name(f".{target.name}.unfinished")
    check_target(target, force=storage.force)
    check_free(checkpoint)
    kind = kind_of(file)
    table = kind.read(runs, traits)
    if kind.name == RUNS:
        print_warnings(doubts(table), err)
    from bayes_atlas.inference.fit import fit as run_fit

    with _stopping(checkpoint), writing(checkpoint), progress_bar() as report:
        options: FitOptions = {
            **selected.options(),
            **sampling.options(),
            "languages": language or (),
            "target_accept": tuning.target_accept,
            "max_tree_depth": tuning.max_tree_depth,
            "compile_cache": not tuning.no_compile_cache,
            "keep": storage.keep,
            "with_data": not storage.without_data,
            "law_error": True,
            "report": report,
        }
        posterior = run_fit(
            table,
            model,
            tau_from=tau_from,
            title=storage.title,
            checkpoint=checkpoint,
            resume=storage.resume,
            **options,
        )
        kept = f"free the space for it and add --resume, which stores the draws: they are kept in {checkpoint}"
        with writing(target, kept):
            posterior = posterior.save(target, force=storage.force)
        if not posterior.info.sampling.interrupted:
            remove(checkpoint)
    if as_json:
        print_json({"posterior": str(target), **sampling_report(posterior)})
    else:
        print_posterior(posterior)
        say(f"Wrote {target}")
    raise typer.Exit(1 if posterior.failed_checks else 0)


@contextmanager
def _stopping(checkpoint: Path) -> Iterator[None]:
    """End an interrupt that leaves no posterior with a message and exit code 130."""
    from bayes_atlas.sampler.checkpoint import begun

    try:
        yield
    except KeyboardInterrupt:
        if begun(checkpoint):
            err.print(f"Interrupted; {checkpoint} holds the progress: --resume continues it")
        else:
            err.print("Interrupted before anything was sampled")
        raise typer.Exit(130) from None
