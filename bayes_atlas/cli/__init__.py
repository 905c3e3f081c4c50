"""The command ``bayes-atlas``: arguments in, tables or JSON out. No mathematics, and no sampler unless it samples."""

import sys
from collections.abc import Sequence

import typer

from bayes_atlas.cli import decisions, languages, posteriors, runs, validation
from bayes_atlas.cli.console import err
from bayes_atlas.errors import InputError

app = typer.Typer(
    name="bayes-atlas",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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


for command in (
    runs.simulate,
    runs.check,
    posteriors.fit,
    posteriors.diagnose,
    validation.validate,
    validation.compare,
    decisions.optimum,
    decisions.trajectory,
    decisions.mixture,
    decisions.expand,
    decisions.tax,
    decisions.plan,
    languages.scores,
    languages.transfer,
    languages.crossover,
):
    app.command()(command)
app.command("list")(posteriors.list_shipped)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit; a user's mistake is one message on stderr and exit code 2."""
    try:
        app(args=arguments, prog_name="bayes-atlas")
    except InputError as error:
        err.print(f"bayes-atlas: {error}", style="red", soft_wrap=True)
        sys.exit(2)
