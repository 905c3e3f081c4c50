"""Figures: they hold what they say they show, on new axes or on given ones, and are written as asked."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes

from bayes_atlas import plots
from bayes_atlas.data.crossings import read_crossings
from bayes_atlas.decisions.bayes_action import bayes_action, cautious_action
from bayes_atlas.decisions.crossover import find_crossover
from bayes_atlas.decisions.expand import Expansion, Frontier
from bayes_atlas.decisions.mixture import mixture
from bayes_atlas.decisions.optimum import optimum
from bayes_atlas.decisions.scenario import Answer, Scenario
from bayes_atlas.decisions.tax import Tax, Taxes
from bayes_atlas.decisions.trajectory import trajectories, trajectory
from bayes_atlas.decisions.transfer_map import TransferMap
from bayes_atlas.errors import InputError
from bayes_atlas.plots.crossover import crossover_by_size
from bayes_atlas.plots.figure import COLOURS
from bayes_atlas.plots.transfer_map import transfer_answer
from bayes_atlas.posterior import load_posterior
from bayes_atlas.validation.review import PredictedRows


@pytest.fixture
def actions(tiny_posterior):
    plans = optimum(tiny_posterior, compute=1e21, language="sw")
    return {"bayes": bayes_action(plans), "cautious": cautious_action(plans)}


@pytest.fixture
def paths(tiny_posterior):
    return {name: trajectory(tiny_posterior, compute=[1e19, 1e20, 1e21], language=name) for name in ("en", "sw")}


@pytest.fixture
def found(tiny_posterior):
    return mixture(tiny_posterior, compute=1e21, unique={"en": 1e12, "sw": 1e10})


@pytest.fixture
def frontiers(tiny_posterior):
    """Two frontiers of one draw; the smallest size of the second is infeasible."""

    def build(factor, tokens):
        ones = np.ones(1)
        growth = Expansion(tiny_posterior, "en", factor, None, 1.2 * ones, 1.5 * ones, 0.75 * ones, 1.8 * ones, [])
        tokens = np.array([tokens])
        return Frontier(growth, np.array([0.5, 1.0, 2.0]), tokens, tokens, [])

    return [build(2.0, [9.0, 2.0, 1.0]), build(4.0, [np.inf, 4.0, 2.0])]


@pytest.fixture
def taxes():
    """One of two budgets is identified."""
    factor = np.array([[1.5, 2.0], [1.6, np.inf]])
    return [Tax("fr:a", "fr:b", np.array([1e20, 1e21]), np.ones((2, 2)), factor)]


@pytest.fixture
def transfer_map(tiny_posterior):
    """fr surely helps en, sw surely harms it, and nothing else is sure."""
    score = 0.2 * np.random.default_rng(0).normal(size=(400, 3, 3))
    score[:, 0] = [np.nan, 0.5, -0.5] + 0.01 * score[:, 0]
    score[:, range(3), range(3)] = np.nan
    return TransferMap(tiny_posterior, ["en", "fr", "sw"], score, [])


def labels(axes):
    legend = axes.get_legend()
    return [text.get_text() for text in legend.get_texts()] if legend else []


def test_trajectories_are_medians_by_name(paths):
    axes = plots.trajectories(paths, "tokens")
    assert labels(axes) == ["en", "sw"]
    for line, path in zip(axes.get_lines(), paths.values(), strict=True):
        np.testing.assert_allclose(line.get_ydata(), np.median(path.tokens, axis=0))
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert plots.trajectories(paths, "loss").get_yscale() == "linear"
    assert labels(plots.trajectories({"en": paths["en"]})) == []


def test_iso_loss_curves_start_where_they_are_feasible(frontiers):
    axes = plots.iso_loss(frontiers)
    assert labels(axes) == ["2 x languages", "4 x languages", "least compute"]
    curves = [line for line in axes.get_lines() if line.get_label().endswith("languages")]
    np.testing.assert_allclose(curves[0].get_xdata(), [0.5, 1, 2])
    np.testing.assert_allclose(curves[1].get_xdata(), [1, 2])


def test_trade_off_marks_the_plan_and_what_is_as_good(actions):
    axes = plots.trade_off(actions["bayes"])
    assert labels(axes)[0] == "as good, within 0.1 % of loss"
    mean = next(line for line in axes.get_lines() if line.get_label() == "regret, mean")
    lowest = mean.get_xdata()[np.argmin(mean.get_ydata())]
    assert lowest == pytest.approx(actions["bayes"].params, rel=0.05)


def test_regret_is_a_curve_of_exceedance(actions):
    axes = plots.regret(actions)
    assert labels(axes) == ["bayes", "cautious"]
    x, y = axes.get_lines()[0].get_data()
    assert y[np.argmin(np.abs(x - np.median(actions["bayes"].regret)))] == pytest.approx(0.5, abs=0.02)


def test_shares_and_gains(found):
    axes = plots.shares(found)
    assert labels(axes) == ["chosen", *found.baselines]
    assert axes.patches[0].get_height() == found.plan.shares["en"]
    named = [text.get_text() for text in plots.gains(found).get_yticklabels()]
    assert named == list(found.baselines)


def test_taxes_that_are_not_identified_are_dotted(taxes):
    axes = plots.tax(taxes)
    assert labels(axes) == ["fr:b", "not identified"]
    solid = next(line for line in axes.get_lines() if line.get_label() == "fr:b")
    np.testing.assert_array_equal(np.isnan(solid.get_ydata()), [False, True])


def test_the_map_has_a_cell_for_each_pair_that_is_the_fuller_the_surer(transfer_map):
    axes = plots.heatmap(transfer_map, top=1)
    order = [transfer_map.languages[place] for place in transfer_map.order()]
    assert [text.get_text() for text in axes.get_xticklabels()] == order
    assert [text.get_text() for text in axes.get_yticklabels()] == order
    cells = [patch for patch in axes.patches if patch.get_fill()]
    boxes = [patch for patch in axes.patches if not patch.get_fill()]
    assert len(cells) == 6
    centre = {(cell.get_x() + cell.get_width() / 2, cell.get_y() + cell.get_height() / 2): cell for cell in cells}
    at = {name: place for place, name in enumerate(order)}
    helps, harms = (centre[at[name], at["en"]] for name in ("fr", "sw"))
    assert helps.get_width() == harms.get_width() == pytest.approx(1.0)
    assert min(cell.get_width() for cell in cells) < 0.5
    # Blue helps and red harms; the one source that surely is the best has the thick box.
    assert helps.get_facecolor()[2] > helps.get_facecolor()[0]
    assert harms.get_facecolor()[0] > harms.get_facecolor()[2]
    thick = [box for box in boxes if box.get_linewidth() > 1]
    assert [(box.get_x() + 0.5, box.get_y() + 0.5) for box in thick] == [(at["fr"], at["en"])]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("source", "target")


def test_the_map_of_too_few_best_is_refused(transfer_map):
    with pytest.raises(InputError, match=r"top is 0; it must be at least 1"):
        plots.heatmap(transfer_map, top=0)


def test_the_figure_of_an_answer_boxes_as_many_sources_as_it_counts(transfer_map):
    left, right = plots.new_axes(2)
    assert transfer_answer(transfer_map.answer(top=2), axes=right) is right
    assert not left.has_data()
    drawn, expected = (
        [(patch.get_xy(), patch.get_linewidth()) for patch in axes.patches]
        for axes in (right, plots.heatmap(transfer_map, top=2))
    )
    assert drawn == expected


def test_given_axes_are_drawn_on(transfer_map, actions, paths, found, frontiers, taxes):
    for draw, what in (
        (plots.trajectories, paths),
        (plots.iso_loss, frontiers),
        (plots.trade_off, actions["bayes"]),
        (plots.regret, actions),
        (plots.shares, found),
        (plots.gains, found),
        (plots.tax, taxes),
        (plots.heatmap, transfer_map),
    ):
        left, right = plots.new_axes(2)
        assert isinstance(left, Axes)
        assert draw(what, axes=right) is right
        assert not left.has_data()
        assert right.has_data()


@pytest.mark.parametrize(("suffix", "start"), [(".svg", b"<?xml"), (".png", b"\x89PNG"), (".pdf", b"%PDF")])
def test_figures_are_written_by_suffix(actions, tmp_path, suffix, start):
    plots.save(plots.regret(actions), tmp_path / f"figure{suffix}")
    assert (tmp_path / f"figure{suffix}").read_bytes().startswith(start)


def test_other_suffixes_are_refused(actions, tmp_path):
    with pytest.raises(InputError, match=r"cannot draw a figure to 'figure\.gif'; end its name in \.svg, \.png, \.pdf"):
        plots.save(plots.regret(actions), tmp_path / "figure.gif")


def test_powers_of_ten_are_drawn_as_powers_and_all_other_text_as_it_is(tmp_path):
    axes, *_ = plots.new_axes()
    axes.loglog([1e8, 1e11], [1, 2])
    axes.set(title="$x^$", xlabel="$y^$")
    plots.save(axes, tmp_path / "figure.png")
    powers = [label for label in axes.get_xticklabels() if "mathdefault" in label.get_text()]
    assert powers
    assert all(label.get_parse_math() for label in powers)
    assert not axes.title.get_parse_math()
    assert not axes.xaxis.label.get_parse_math()


def test_pit_values_and_both_predictions_are_drawn():
    rng = np.random.default_rng(0)
    observed, names, last = rng.lognormal(size=50), [f"r{row}" for row in range(50)], np.ones(50, dtype=bool)
    prior, posterior = (
        PredictedRows("loss", names, last, observed, scale * observed[:, None] ** power * rng.lognormal(size=(50, 200)))
        for scale, power in ((9.0, 0.0), (1.0, 1.0))
    )
    left, right = plots.new_axes(2)
    assert plots.pit(posterior, axes=left) is left
    _, line = left.get_lines()
    assert line.get_ydata()[[0, -1]] == pytest.approx([0, 0], abs=0.02)
    assert left.patches[0].get_height() == pytest.approx(2 * posterior.band)
    assert plots.predictives({"prior": prior, "posterior": posterior}, axes=right) is right
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["prior", "posterior", "observed"]
    assert right.get_lines()[0].get_ydata() == [1, 1]
    assert right.get_ylabel() == "predicted loss / observed"
    prior_band, posterior_band = (band.get_paths()[0].vertices[:, 1] for band in right.collections)
    least, most = right.get_ylim()
    assert least < posterior_band.min() < 1 < posterior_band.max() < most
    assert prior_band.max() > most


@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_what_was_observed_is_seen_beside_a_prediction_that_misses_it(factor):
    """Also where the prior reaches to infinity."""
    rng = np.random.default_rng(0)
    observed, names, last = rng.lognormal(size=50), [f"r{row}" for row in range(50)], np.ones(50, dtype=bool)
    off = PredictedRows("loss", names, last, observed, factor * observed[:, None] * rng.lognormal(0, 0.1, (50, 200)))
    wild = PredictedRows("loss", names, last, observed, np.where(rng.random((50, 200)) < 0.5, np.inf, off.draws))
    axes = plots.predictives({"prior": wild, "posterior": off})
    least, most = axes.get_ylim()
    assert least < min(1, factor) and max(1, factor) < most
    assert plots.predictives({"prior": wild}).get_ylim()[0] < np.inf


def test_crossovers_show_what_was_measured_and_which_sizes_were(tmp_path):
    table = tmp_path / "measured.csv"
    table.write_text("language,params,tokens,error\nde,2e9,1.6e11,.03\nzh,2e9,2.8e11,.03\n", encoding="utf-8")
    axes = plots.crossovers(load_posterior("crossover-atlas"), ["de"], points=read_crossings(table))
    line, within, *points = (line for line in axes.get_lines() if line.get_marker() in ("None", "o"))
    assert (line.get_linestyle(), within.get_linestyle()) == (":", "-")  # beyond the measured sizes, and among them
    drawn = {point.get_color(): point.get_ydata().item() for point in points}
    assert drawn == {COLOURS[0]: pytest.approx(6 * 2e9 * 1.6e11), "0.6": pytest.approx(6 * 2e9 * 2.8e11)}
    axes = plots.crossovers(load_posterior("crossover-bytes"), ["de"], checkpoint="en", params=(1e7, 1e9))
    assert axes.get_lines()[0].get_linestyle() == ":"  # one size was fitted
    assert axes.patches[0].get_x() < 65.8e6


def test_the_figure_of_a_crossover_is_that_of_its_language_and_checkpoint():
    found = find_crossover(load_posterior("crossover-bytes"), params=65.8e6, language="de", checkpoint="en")
    left, right = plots.new_axes(2)
    assert crossover_by_size(found, axes=right) is right
    assert not left.has_data()
    axes = plots.crossovers(found.posterior, ["de"], checkpoint="en", params=(65.8e6, 1e10))
    for line, expected in zip(right.get_lines(), axes.get_lines(), strict=True):
        np.testing.assert_array_equal(line.get_xydata(), expected.get_xydata())


def test_each_decision_draws_its_own_figure(transfer_map, actions, paths, found, frontiers, taxes, tiny_posterior):
    plans = optimum(tiny_posterior, compute=1e21, language="sw")
    several = trajectories(tiny_posterior, compute=[1e19, 1e20, 1e21])
    crossover = find_crossover(load_posterior("crossover-atlas"), params=2e9, language="de")
    answer = Answer(Scenario(), tiny_posterior, optimum=plans)
    sizes, budgets = "parameters N at the same budget", "compute (FLOPs)"
    for decision, label in (
        (plans, sizes),
        (actions["cautious"], sizes),
        (answer, sizes),
        (replace(answer, mixture=found), ""),
        (paths["sw"], budgets),
        (several, budgets),
        (found, ""),
        (frontiers[0], "model size, factor on N"),
        (Taxes(tiny_posterior, "fr", "fr:a", None, taxes, []), "compute of fr:a (FLOPs)"),
        (crossover, "parameters N"),
        (transfer_map, "source"),
    ):
        left, right = plots.new_axes(2)
        assert plots.draw(decision, axes=right) is right
        assert right.get_xlabel() == label
        assert not left.has_data()
        assert plots.draw(decision).has_data()
    assert labels(several.plot(quantity="tokens")) == ["en", "sw"]
    right = plots.new_axes()[0]
    assert plans.plot(right, probability=0.5) is right


def test_an_answer_without_a_figure_is_refused(tiny_posterior):
    with pytest.raises(InputError, match=r"no figure shows dict; draw one of: Action, Answer, Crossover, "):
        plots.draw({})
    with pytest.raises(InputError, match="no figure shows the growth of a scenario"):
        Answer(Scenario(), tiny_posterior).plot()
