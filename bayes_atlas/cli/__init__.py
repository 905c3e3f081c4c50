"""The command ``bayes-atlas``: it reads arguments and prints tables or JSON. Only commands that fit load the sampler.

Each module of `bayes_atlas.cli.commands` is one command. Its function has the command's name; only ``list.py`` has
``list_``, because ``list`` is a builtin. ``PANEL`` is the command's heading in ``--help``.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from io import TextIOWrapper
from pkgutil import iter_modules
from typing import Annotated, Any

import typer

from bayes_atlas.cli import commands
from bayes_atlas.cli.console import err, out
from bayes_atlas.cli.options import expanded
from bayes_atlas.errors import InputError

PANELS = ("Run tables", "Posteriors", "Validation", "Decisions", "Languages and checkpoints")  # in the order of --help

app = typer.Typer(
    name="bayes-atlas",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        out.print(version("bayes-atlas"))
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Bayesian scaling laws for multilingual pretraining: model size, data and languages, with their uncertainty.

    Decide from a posterior that ships:

        bayes-atlas optimum datablations-2023 --compute 1e21 --unique 1e9

    or from your own runs:

        bayes-atlas check runs.csv

        bayes-atlas fit runs.csv --model atlas -o mine

        bayes-atlas optimum ./mine --language sw --compute 1e21
    """


def found_commands() -> dict[str, tuple[str, Callable[..., Any]]]:
    """Return the panel and the function of each command, in the order of ``--help``."""
    names = [module.name for module in iter_modules(commands.__path__)]
    modules = {name: import_module(f"{commands.__name__}.{name}") for name in names}
    functions = {name: getattr(module, name, None) or getattr(module, f"{name}_") for name, module in modules.items()}
    ordered = sorted(names, key=lambda name: (PANELS.index(modules[name].PANEL), name))
    return {name: (modules[name].PANEL, functions[name]) for name in ordered}


for name, (panel, function) in found_commands().items():
    app.command(name, rich_help_panel=panel)(expanded(function))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit. A mistake in the input ends in one message on stderr and exit code 2."""
    os.environ["MATPLOTLIBRC"] = os.devnull  # figures of the command do not depend on the user's settings
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name may not fit the terminal's encoding
    try:
        with _writing_out():
            app(args=arguments, prog_name="bayes-atlas")
    except InputError as error:
        err.print(f"bayes-atlas: {error}", style="red", soft_wrap=True)
        sys.exit(2)


@contextmanager
def _writing_out() -> Iterator[None]:
    """Write all output before leaving; turn a failure into an `InputError`, and a closed pipe into a silent end."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (open until Python's own flush at exit)
        if isinstance(error, BrokenPipeError):
            sys.exit(1)
        raise InputError(f"cannot write the output: {error.strerror}; free space or write it elsewhere") from None
