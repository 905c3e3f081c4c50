"""A sample of the attacks that ``make attack`` runs by the thousand, and every decision on every posterior."""

import subprocess
import sys

import pytest

from bayes_atlas.catalogue import posterior_names
from tests.attack.attack import QUESTIONS, json_fault, outcome, run
from tests.attack.processes import checkpoints, kills


@pytest.mark.parametrize("seed", range(150))
def test_a_mutated_table_is_checked_or_refused(seed):
    assert run("tables", seed) == ""


@pytest.mark.parametrize("seed", range(12))
def test_options_out_of_range_are_refused(seed):
    assert run("options", seed) == ""


@pytest.mark.parametrize("seed", range(20))
def test_a_mutated_scenario_is_answered_or_refused(seed):
    assert run("scenarios", seed) == ""


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_posterior_is_refused_or_answered(seed):
    assert run("posteriors", seed) == ""


@pytest.mark.parametrize("seed", range(10))
def test_a_damaged_checkpoint_is_refused_or_gives_the_same_draws(seed):
    assert checkpoints(seed) == ""


@pytest.mark.parametrize("seed", [1017, 1261])
def test_damage_to_a_checkpoint_that_once_failed_is_refused(seed):
    assert checkpoints(seed) == ""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_killed_fit_loses_nothing_that_was_sampled(seed):
    """By SIGKILL, SIGTERM and SIGINT; odd seeds aim at the saving."""
    assert kills(seed) == ""


ONCE_FAILED = {
    "tables": [10226],
    "options": [10004, 10123],
    "posteriors": [45, 143, 521, 1072, 2176, 2313, 2532, 5066, 5404],
}


@pytest.mark.parametrize(
    ("attack", "seed"), [(attack, seed) for attack, seeds in ONCE_FAILED.items() for seed in seeds]
)
def test_what_once_failed_holds(attack, seed):
    assert run(attack, seed) == ""


def test_a_figure_is_not_drawn_with_an_impossible_interval(tmp_path):
    (command, (asked, _)), *_ = [item for item in QUESTIONS.items() if item[0] == "expand"]
    assert outcome([command, *asked, "--probability", "1.5", "--plot", str(tmp_path / "figure.svg"), "--json"]) == ""


# A mixture of all languages takes minutes.
FEW = {"atlas-simulated": ["en:monolingual", "fr:monolingual"], "slimpajama-mixtures": ["c4", "github"]}
CROSSED: dict[str, list[str]] = {command: asked[1:] for command, (asked, _) in QUESTIONS.items()}
CROSSED |= {"mixture": ["--compute", "1e21"]}
PLAN = "compute = 1e21\nlanguage = 'en'\n[expand]\nfactor = 2\n"


@pytest.mark.slow
@pytest.mark.parametrize("posterior", posterior_names())
@pytest.mark.parametrize("command", CROSSED)
def test_every_command_on_every_posterior_is_a_document_or_a_refusal(command, posterior, tmp_path):
    figure = ["--plot", str(tmp_path / "figure.svg")]
    weights = [each for name in FEW.get(posterior, []) for each in ("--weight", f"{name}=1")] * (command == "mixture")
    assert outcome([command, posterior, *CROSSED[command], *weights, "--json", *figure]) == ""
    if command != "mixture":
        assert outcome([command, posterior, "--compute", "1e21", "--json"]) == ""


@pytest.mark.slow
@pytest.mark.parametrize("posterior", posterior_names())
def test_every_posterior_is_diagnosed_in_a_document(posterior):
    """In a process of its own: a fork of one in which jax runs may hang."""
    command = [sys.executable, "-m", "bayes_atlas", "diagnose", posterior, "--json"]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr[-2000:]
    assert json_fault(finished.stdout) == ""


@pytest.mark.parametrize("posterior", posterior_names())
def test_a_plan_on_every_posterior_is_a_document_or_a_refusal(posterior, tmp_path):
    (tmp_path / "scenario.toml").write_text(PLAN)
    for figure in ([], ["--plot", str(tmp_path / "figure.svg")]):
        assert outcome(["plan", str(tmp_path / "scenario.toml"), posterior, "--json", *figure]) == ""


@pytest.mark.parametrize("command", ["check", "scores", "simulate", "list"])
def test_the_other_commands_give_documents_or_refusals(command, tmp_path):
    (tmp_path / "runs.csv").write_text("run,language,params,tokens,loss\na,en,1e8,1e9,3\nb,en,1e9,1e10,2.5\n")
    more = {"check": ["runs.csv"], "scores": ["runs.csv", "--anchor", "1e9"], "simulate": ["made.csv"], "list": []}
    arguments = [str(tmp_path / each) if each.endswith(".csv") else each for each in more[command]]
    assert outcome([command, *arguments, "--json"]) == ""
