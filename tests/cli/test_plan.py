"""The command `plan`."""

from bayes_atlas.decisions.scenario import plan, read_scenario
from bayes_atlas.posterior import load_posterior


def test_plan(command, scenario, saved, capacity, document):
    result = command("plan", scenario, saved)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("Two languages\n")
    for text in (
        "loss saved over",
        "compute-optimal",
        "plan to act on",
        "Note: the law chinchilla does not include rep",
    ):
        assert text in result.out
    found = document(command("plan", scenario, saved, "--json"))
    assert set(found) == {
        "posterior", "scenario", "mixture", "optimum", "action", "cautious_action", "notes"
    }  # fmt: skip
    scenario.write_text("[expand]\nfactor = 2\n")
    assert "cheapest growth" in command("plan", scenario, capacity).out


def test_plan_prints_the_document_of_its_answer(command, scenario, saved, document):
    printed = document(command("plan", scenario, saved, "--json"))
    assert printed == plan(read_scenario(scenario), load_posterior(str(saved))).to_dict()


def test_plan_draws_a_figure_of_all_but_growth(command, saved, capacity, scenario, refused, tmp_path):
    figure = tmp_path / "plan.svg"
    assert command("plan", scenario, saved, "--plot", figure).code == 0
    assert figure.read_text().startswith("<?xml")
    scenario.write_text("compute = 1e21\n[weights]\nsw = 1\n")
    assert command("plan", scenario, saved, "--plot", tmp_path / "one.svg").code == 0
    scenario.write_text("[expand]\nfactor = 2\n")
    refused(
        command("plan", scenario, capacity, "--plot", tmp_path / "two.svg"), "draw it with bayes-atlas expand --plot"
    )
