"""Runs from start to draws, against posteriors that are known."""

import json
import socket
import subprocess
import sys
from itertools import combinations

import arviz as az
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from bayes_atlas.errors import InputError
from bayes_atlas.sampler.checkpoint import Checkpoint
from bayes_atlas.sampler.draws import Missing
from bayes_atlas.sampler.driver import _blame, sample, sample_many
from bayes_atlas.sampler.layout import Layout
from bayes_atlas.sampler.settings import BLOCK, PHASES, ROUND, Settings

CHAINS, DRAWS = 4, 1000
LEAST_ESS = 400


# A conjugate model: normal coefficients, normal noise


@pytest.fixture(scope="module")
def regression_draws(regression, regression_data):
    reports = []
    settings = Settings(CHAINS, 300, DRAWS, seed=3)
    return sample(regression, regression_data, settings, reports.append), reports, settings


def test_draws_have_the_moments_of_a_known_posterior(
    regression_draws, regression_data, regression_truth, assert_agrees
):
    draws, *_ = regression_draws
    mean, covariance = regression_truth(regression_data)
    assert draws.sites["coefficients"].shape == (CHAINS, DRAWS, 4)
    for index in range(4):
        assert_agrees(draws.sites["coefficients"][..., index], mean[index], np.sqrt(covariance[index, index]))
    assert_agrees(draws.sites["total"], mean.sum(), np.sqrt(covariance.sum()))


def test_nothing_went_wrong_on_a_gaussian(regression_draws):
    draws, *_ = regression_draws
    assert not draws.stats["diverging"].any()
    assert (draws.target_accept, draws.blamed, draws.interrupted) == (0.9, [], False)
    assert float(az.rhat(draws.sites["total"])) < 1.01
    assert draws.stats["n_steps"].mean() < 8  # whitened: few steps reach across


def test_log_likelihood_is_of_each_run(regression_draws, regression_data):
    draws, *_ = regression_draws
    covariates, loss = regression_data
    expected = scipy.stats.norm(draws.sites["coefficients"] @ covariates["design"].T, 0.5).logpdf(loss)
    np.testing.assert_allclose(draws.log_likelihood, expected, rtol=1e-9)


def test_sites_are_described(regression_draws):
    draws, *_ = regression_draws
    assert set(draws.sites) == {"coefficients", "total"}
    assert draws.dims == {"coefficients": [], "total": []}
    assert set(draws.stats) == {
        *("lp", "energy", "n_steps", "tree_depth", "acceptance_rate", "step_size", "diverging"),
    }
    assert all(values.shape == (CHAINS, DRAWS) for values in draws.stats.values())
    depth = draws.stats["tree_depth"]
    np.testing.assert_array_equal(depth, np.floor(np.log2(draws.stats["n_steps"])) + 1)


def test_progress_is_reported_after_each_block(regression_draws):
    draws, reports, settings = regression_draws
    total = settings.warmup + settings.draws
    assert [report.done for report in reports] == list(range(BLOCK, total + 1, BLOCK))
    assert all(report.total == total and report.gradients >= 1 for report in reports)
    assert [report.warming for report in reports] == [True] * (settings.warmup // BLOCK) + [False] * (DRAWS // BLOCK)
    assert reports[-1].divergences == draws.stats["diverging"].sum()


# Languages


@pytest.mark.parametrize(("model", "tie", "blocks"), [("languages", 0.0, True), ("tied", 3.0, False)])
def test_languages_are_sampled_in_blocks_or_if_they_are_tied_without(
    model, tie, blocks, languages_data, languages_truth, assert_agrees, request, monkeypatch
):
    tried, layout_of = [], Layout.of

    def noted(model, data, *, blocks):
        tried.append(blocks)
        return layout_of(model, data, blocks=blocks)

    monkeypatch.setattr(Layout, "of", noted)
    draws = sample(request.getfixturevalue(model), languages_data, Settings(CHAINS, 300, DRAWS, seed=1))
    assert tried == ([True] if blocks else [True, False])
    mean, covariance = languages_truth(tie)
    sites = [draws.sites["common"][..., None], draws.sites["level"], draws.sites["slope"]]
    for index, values in enumerate(np.moveaxis(np.concatenate(sites, axis=-1), -1, 0)):
        assert_agrees(values, mean[index], np.sqrt(covariance[index, index]))
    assert draws.stats["n_steps"].mean() < 8


def test_a_factor_is_no_runs_likelihood(tied, languages_data):
    draws = sample(tied, languages_data, Settings(1, 150, 50, seed=1))
    covariates, loss = languages_data
    level, slope = (draws.sites[name][..., covariates["language"]] for name in ("level", "slope"))
    expected = scipy.stats.norm(level + slope * covariates["x"]).logpdf(loss)
    np.testing.assert_allclose(draws.log_likelihood, expected, rtol=1e-9)


# A hierarchy that is a funnel, with every school global and with each its own block


@pytest.fixture(scope="module", params=["schools", "schools_by_language"])
def schools_draws(request, schools_data):
    model = request.getfixturevalue(request.param)
    return sample(model, schools_data, Settings(CHAINS, 600, 1500, seed=0, target_accept=0.95))


def test_a_funnel_is_sampled_without_divergences(schools_draws):
    assert not schools_draws.stats["diverging"].any()
    for name in ("theta_location", "theta_scale"):
        assert float(az.rhat(schools_draws.sites[name])) < 1.01


def test_a_funnel_has_the_moments_that_quadrature_gives(schools_draws, schools_truth, assert_agrees):
    for name in ("theta_scale", "theta_location"):
        assert_agrees(schools_draws.sites[name], *schools_truth.moments[name])
    for school in range(8):
        mean, sd = schools_truth.moments["theta"]
        assert_agrees(schools_draws.sites["theta"][..., school], mean[school], sd[school])


@pytest.mark.parametrize("limit", [0.5, 2.0])
def test_a_funnel_is_followed_to_its_neck(schools_draws, schools_truth, limit):
    """False alarms: less than one in a million, as of a mean."""
    truth = schools_truth.probability[schools_truth.scale < limit].sum()
    below = (schools_draws.sites["theta_scale"] < limit).astype(float)
    ess = float(az.ess(below, method="bulk"))
    assert ess > LEAST_ESS
    assert abs(below.mean() - truth) < 5 * np.sqrt(truth * (1 - truth) / ess)


def test_dimensions_go_by_their_plates(schools_draws):
    assert schools_draws.dims["theta_location"] == schools_draws.dims["theta_scale"] == []
    assert schools_draws.dims["theta"] in (["school"], ["language"])


# Divergences


def funnel(covariates, loss=None):
    """A funnel that the sampler cannot know for one, as its sites are named otherwise; `depth` is how long its neck."""
    log_width = numpyro.sample("log_width", dist.Normal(0.0, covariates["depth"]))
    with numpyro.plate("members", 5):
        numpyro.sample("member", dist.Normal(0.0, jnp.exp(log_width / 2)))
    numpyro.sample("loss", dist.Normal(log_width, 3.0), obs=loss)


FUNNEL = Settings(chains=4, warmup=150, draws=200, seed=0)
ATTEMPTS = [0.9, 0.95, 0.99, 0.99]


def sample_funnel(depth):
    """Draws, and the number of divergences in each attempt."""
    reports = []
    draws = sample(funnel, ({"depth": np.array(depth)}, np.array(0.5)), FUNNEL, reports.append)
    return draws, [report.divergences for report in reports if report.done == report.total]


def test_where_chains_diverge_they_try_again_and_the_best_attempt_is_kept():
    """In all, fewer draws diverge than in first attempts.

    A first attempt may be the best of one funnel, as draws that are cut short count too; which one it is depends on
    the rounding of the machine.
    """
    first = last = 0
    for depth in (4.0, 9.0, 12.0):
        draws, divergences = sample_funnel(depth)
        assert divergences[0] > 0
        assert len(divergences) >= 2
        kept = int(draws.stats["diverging"].sum())
        assert kept <= divergences[0]
        assert (draws.target_accept, kept) in zip(ATTEMPTS, divergences, strict=False)
        assert draws.stats["diverging"].shape == (4, 200)
        first, last = first + divergences[0], last + kept
    assert last < first


def cliff(covariates, loss=None):
    """A wall at one standard deviation of one parameter, over which no step size helps."""
    with numpyro.plate("members", 5):
        numpyro.sample("member", dist.Normal(0.0, 1.0))
        beside = numpyro.sample("beside", dist.Normal(0.0, 1.0))
    numpyro.factor("cliff", -1e6 * jnp.maximum(beside[2] - covariates["wall"], 0.0))
    numpyro.sample("loss", dist.Normal(0.0, 1.0), obs=loss)


@pytest.fixture(scope="module")
def fallen():
    """Draws before a wall, and the number of divergences in each attempt."""
    reports = []
    draws = sample(cliff, ({"wall": np.array(1.0)}, np.array(0.5)), FUNNEL, reports.append)
    return draws, [report.divergences for report in reports if report.done == report.total]


def test_what_is_to_blame_for_divergences_is_named(fallen):
    draws, divergences = fallen
    assert len(divergences) == len(ATTEMPTS)
    assert min(divergences) > 0
    assert len(draws.blamed) == 3


def test_the_neck_of_a_funnel_is_to_blame():
    layout = Layout.of(funnel, ({"depth": np.array(9.0)}, np.array(0.5)))
    z = np.random.default_rng(0).normal(size=(4, 50, layout.size))
    diverging = np.zeros((4, 50), bool)
    diverging[:, ::5] = True
    z[diverging, layout.places.index(("log_width", ()))] -= 3.0
    assert _blame(z, diverging, layout)[0] == ("log_width", ())
    assert _blame(z, ~diverging & False, layout) == []


def test_chains_that_diverge_whatever_is_done_give_the_best_attempt(fallen):
    draws, divergences = fallen
    assert draws.stats["diverging"].sum() == min(divergences)
    assert draws.target_accept == ATTEMPTS[np.argmin(divergences)]


def test_chains_that_hardly_move_are_not_the_best_since_they_do_not_diverge(schools):
    """Schools that are seen sharply, with a wall beside: sampled apart from their scale they are stuck."""

    def model(covariates, loss=None):
        schools(covariates, loss)
        beside = numpyro.sample("beside", dist.Normal(0.0, 1.0))
        numpyro.factor("cliff", -1e6 * jnp.maximum(beside - 2.0, 0.0))

    reports = []
    data = {"errors": np.full(8, 1e-3)}, np.arange(8.0)
    draws = sample(model, data, Settings(2, 150, 200, seed=0, max_tree_depth=6), reports.append)
    gradients = [report.gradients for report in reports if report.done == report.total]
    assert len(gradients) == len(ATTEMPTS)
    assert gradients[-1] > 50  # trajectories are cut short at 63
    assert (draws.stats["tree_depth"] < 6).mean() > 0.9


# Rounds, until the checks pass


def judge_of(*longer):
    """A judge that misses one check of as many looks as there are values, then none; and what it saw."""
    left, seen = list(longer), []

    def judge(draws):
        seen.append((draws.attempts, draws.stats["diverging"].shape[1]))
        return [Missing("ess", "total", left.pop(0))] if left else []

    return judge, seen


def in_rounds(regression, regression_data, judge, **settings):
    reports = []
    options = {"chains": 2, "warmup": 150, "seed": 3} | settings
    return sample(regression, regression_data, Settings(**options), reports.append, judge=judge), reports


def test_a_run_ends_after_the_first_round_that_passes(regression, regression_data):
    judge, seen = judge_of()
    draws, _ = in_rounds(regression, regression_data, judge)
    assert seen == [(1, ROUND)]
    assert (draws.attempts, draws.dropped, draws.ended) == (1, 0, "")


def test_where_a_check_misses_some_draws_the_chains_go_on(regression, regression_data, regression_truth, assert_agrees):
    judge, seen = judge_of(3.0, 1.5)
    draws, reports = in_rounds(regression, regression_data, judge)
    assert seen == [(1, ROUND), (1, 2 * ROUND), (1, 3 * ROUND)]
    assert draws.sites["total"].shape == (2, 3 * ROUND)
    assert draws.log_likelihood.shape == (2, 3 * ROUND, 30)
    assert np.ptp(draws.stats["step_size"]) == 0  # one kernel
    assert (draws.attempts, draws.dropped, draws.ended) == (1, 0, "")
    mean, covariance = regression_truth(regression_data)
    assert_agrees(draws.sites["total"], mean.sum(), np.sqrt(covariance.sum()))
    assert not reports[0].missing
    assert reports[-1].missing == "ess at total"
    assert reports[150 // BLOCK + ROUND // BLOCK].total == 150 + 3 * ROUND


def test_the_first_round_is_that_of_a_fixed_number_of_draws(regression, regression_data):
    more, _ = in_rounds(regression, regression_data, judge_of(2.0)[0])
    fixed, _ = in_rounds(regression, regression_data, judge_of()[0], draws=ROUND)
    np.testing.assert_array_equal(more.sites["total"][:, :ROUND], fixed.sites["total"])


def test_where_a_check_misses_many_draws_the_sampler_adapts_again_and_drops_the_earlier_ones(
    regression, regression_data, regression_truth, assert_agrees
):
    judge, seen = judge_of(50.0, 2.0)
    draws, _ = in_rounds(regression, regression_data, judge)
    assert seen == [(1, ROUND), (2, ROUND), (2, 2 * ROUND)]
    assert (draws.attempts, draws.dropped) == (2, ROUND)
    assert np.ptp(draws.stats["step_size"]) == 0
    mean, covariance = regression_truth(regression_data)
    assert_agrees(draws.sites["total"], mean.sum(), np.sqrt(covariance.sum()))


def test_a_run_that_adapting_does_not_help_ends_with_its_reason(regression, regression_data):
    judge, seen = judge_of(*[np.inf] * 20)
    draws, _ = in_rounds(regression, regression_data, judge)
    assert seen == [(1, ROUND), (2, ROUND), (3, ROUND)]
    assert draws.ended == "two further adaptations did not help"
    assert draws.dropped == 2 * ROUND


def test_a_run_ends_at_its_limit_of_draws(regression, regression_data):
    judge, seen = judge_of(*[2.0] * 20)
    draws, _ = in_rounds(regression, regression_data, judge, max_draws=3 * ROUND)
    assert draws.sites["total"].shape == (2, 3 * ROUND)
    assert len(seen) == 3
    assert draws.ended == "limit of 3,000 draws per chain"


def test_a_run_ends_at_its_limit_of_time_once_there_are_draws(regression, regression_data):
    judge, _ = judge_of(*[2.0] * 20)
    draws, _ = in_rounds(regression, regression_data, judge, max_minutes=1e-9)
    assert draws.sites["total"].shape == (2, BLOCK)
    assert not draws.interrupted
    assert draws.ended == "limit of 1e-09 minutes"


def test_an_interrupt_of_a_later_round_leaves_all_draws_so_far(regression, regression_data):
    stop = interrupting(lambda progress: progress.done == 150 + ROUND + 2 * BLOCK)
    settings = Settings(2, 150, seed=3)
    draws = sample(regression, regression_data, settings, stop, judge=judge_of(*[2.0] * 20)[0])
    assert draws.interrupted
    assert draws.sites["total"].shape == (2, ROUND + 2 * BLOCK)


@pytest.mark.parametrize("stopped", [150 + ROUND + 2 * BLOCK, 3 * BLOCK])
def test_a_run_in_rounds_resumes_to_the_same_draws(regression, regression_data, tmp_path, stopped):
    """Stopped in its second round, or in the warm-up of its second attempt."""
    factors = (2.0, 2.0) if stopped > ROUND else (50.0, 2.0)
    whole, _ = in_rounds(regression, regression_data, judge_of(*factors)[0])
    killed = {"now": False}

    class Killed(Exception):
        pass

    def report(progress):
        killed["now"] |= progress.done >= 150 + ROUND
        if killed["now"] and progress.done == stopped:
            raise Killed

    run, settings = {"run": "this"}, Settings(2, 150, seed=3)
    judge, _ = judge_of(*factors)
    with pytest.raises(Killed), Checkpoint(tmp_path, run, resume=False) as kept:
        sample(regression, regression_data, settings, report, kept, judge)
    judge, seen = judge_of(*factors)
    with Checkpoint(tmp_path, run, resume=True) as kept:
        again = sample(regression, regression_data, settings, checkpoint=kept, judge=judge)
    assert len(seen) == 3
    np.testing.assert_array_equal(again.sites["total"], whole.sites["total"])
    assert (again.attempts, again.dropped) == (whole.attempts, whole.dropped)


def interrupting(when):
    def report(progress):
        if when(progress):
            raise KeyboardInterrupt

    return report


def test_an_interrupt_ends_with_the_draws_there_are(regression, regression_data, regression_draws):
    whole, _, settings = regression_draws
    stop = interrupting(lambda progress: progress.done >= settings.warmup + 2 * BLOCK)
    draws = sample(regression, regression_data, settings, stop)
    assert draws.interrupted
    np.testing.assert_array_equal(draws.sites["total"], whole.sites["total"][:, : 2 * BLOCK])
    assert draws.log_likelihood.shape == (CHAINS, 2 * BLOCK, 30)
    assert all(values.shape == (CHAINS, 2 * BLOCK) for values in draws.stats.values())


@pytest.mark.parametrize("done", [50, 150, 300])
def test_an_interrupt_in_warm_up_is_raised(regression, regression_data, regression_draws, done):
    *_, settings = regression_draws
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        sample(regression, regression_data, settings, interrupting(lambda progress: progress.done == done))


@pytest.mark.parametrize("warming", [True, False])
def test_an_interrupt_of_a_second_attempt_leaves_the_better_one(warming):
    ends = []  # divergences of attempts that were not interrupted

    def report(progress):
        if progress.done == progress.total:
            ends.append(progress.divergences)
        elif ends and progress.warming == warming and progress.done > 150 - BLOCK * warming:
            raise KeyboardInterrupt

    draws = sample(funnel, ({"depth": np.array(9.0)}, np.array(0.5)), FUNNEL, report)
    (first,) = ends  # there is no third attempt
    assert draws.stats["diverging"].mean() <= first / 800
    assert draws.interrupted == (draws.target_accept == 0.95)
    assert draws.stats["diverging"].shape == (4, 50 if draws.interrupted else 200)
    assert not (warming and draws.interrupted)


# Many data sets


@pytest.fixture(scope="module")
def studies(regression_data):
    covariates, loss = regression_data
    rng = np.random.default_rng(5)
    return [({"design": covariates["design"]}, loss + shift + rng.normal(size=30)) for shift in (0.0, 1.0, -2.0)]


MANY = Settings(2, 300, 700, seed=8)


@pytest.fixture(scope="module")
def studied(regression, studies):
    return sample_many(regression, studies, MANY)


def test_each_data_set_has_its_own_posterior(studies, studied, regression_truth, assert_agrees):
    assert len(studied) == 3
    for data, draws in zip(studies, studied, strict=True):
        mean, covariance = regression_truth(data)
        for index in range(4):
            assert_agrees(draws.sites["coefficients"][..., index], mean[index], np.sqrt(covariance[index, index]))
        _, loss = data
        expected = scipy.stats.norm(draws.sites["coefficients"] @ data[0]["design"].T, 0.5).logpdf(loss)
        np.testing.assert_allclose(draws.log_likelihood, expected, rtol=1e-9)


def test_many_data_sets_are_sampled_alike_with_the_same_seed_and_apart_from_each_other(regression, studies, studied):
    again = sample_many(regression, studies, MANY)
    for one, other in zip(studied, again, strict=True):
        np.testing.assert_array_equal(one.sites["total"], other.sites["total"])
    twice = sample_many(regression, [studies[0], studies[0]], MANY)
    assert not np.isclose(twice[0].sites["total"], twice[1].sites["total"]).any()


def test_of_many_data_sets_only_those_that_miss_a_check_go_on(regression, studies, regression_truth, assert_agrees):
    looks = []

    def judge(number, draws):
        looks.append((number, draws.attempts))
        return [Missing("ess", "total", 2.0)] if number == 1 and draws.attempts == 1 else []

    first, second, third = sample_many(regression, studies, Settings(2, 300, seed=8), judge=judge)
    assert looks == [(0, 1), (1, 1), (1, 2), (2, 1)]
    assert [(each.attempts, each.dropped) for each in (first, second, third)] == [(1, 0), (2, ROUND), (1, 0)]
    for data, draws in zip(studies, (first, second, third), strict=True):
        mean, covariance = regression_truth(data)
        assert_agrees(draws.sites["total"], mean.sum(), np.sqrt(covariance.sum()))


# Seeds, chains, devices


def test_the_same_seed_gives_the_same_draws(regression, regression_data, regression_draws):
    draws, _, settings = regression_draws
    again = sample(regression, regression_data, settings)
    for name, values in draws.sites.items():
        np.testing.assert_array_equal(again.sites[name], values)
    for one, other in combinations(draws.sites["total"], 2):
        assert not np.isclose(one, other, rtol=1e-9).all()


ON_DEVICES = """
import json, sys
import jax, numpy as np, numpyro, numpyro.distributions as dist
devices, chains, process, port = map(int, sys.argv[1:])
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", devices)
jax.config.update("jax_enable_x64", True)
if port:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, process, initialization_timeout=60)
from bayes_atlas.sampler.settings import Settings
from bayes_atlas.sampler.checkpoint import Checkpoint
from bayes_atlas.sampler.draws import Missing
from bayes_atlas.sampler.driver import sample

def model(covariates, loss=None):
    mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
    with numpyro.plate("run", 2):
        numpyro.sample("loss", dist.Normal(mean * covariates["x"], 1.0), obs=loss)

draws = sample(model, ({"x": np.array([1.0, 2.0])}, np.array([0.5, 1.5])), Settings(chains, 150, 50, seed=5))
print()
print(json.dumps([len(jax.devices()), draws.sites["mean"].tolist(), draws.log_likelihood.tolist()]))
"""


def start_on(devices, chains, process=0, port=0):
    command = [sys.executable, "-c", ON_DEVICES, *map(str, (devices, chains, process, port))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def results_of(processes):
    """What each process printed last: its number of devices, means and log likelihoods."""
    try:
        printed = [process.communicate(timeout=200) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    for process, (_, err) in zip(processes, printed, strict=True):
        assert process.returncode == 0, err[-3000:]
    return [json.loads(out.splitlines()[-1]) for out, _ in printed]


def test_devices_share_the_chains_without_changing_them():
    (one, mean, _), (two, same, _) = (results_of([start_on(devices, 2)])[0] for devices in (1, 2))
    assert (one, two) == (1, 2)
    np.testing.assert_allclose(same, mean, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("devices", "chains"), [(1, 4), (2, 4), (1, 3)], ids=["one each", "two each", "not shared"])
def test_processes_share_the_chains_and_all_get_them(devices, chains):
    """Two processes with some devices each give the draws of one process with all of the devices."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    first, second = results_of([start_on(devices, chains, process, port) for process in (0, 1)])
    (alone,) = results_of([start_on(2 * devices, chains)])
    assert first == second
    assert first[0] == alone[0] == 2 * devices
    for values, expected in zip(first[1:], alone[1:], strict=True):
        np.testing.assert_allclose(values, expected, rtol=1e-6)
    assert np.shape(first[1]) == (chains, 50)


# Settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"chains": 0}, "chains is 0; it must be at least 1"),
        ({"warmup": 100}, "warmup is 100; it must be at least 150 and a multiple of 50"),
        ({"warmup": 160}, "warmup is 160; it must be at least 150 and a multiple of 50"),
        ({"draws": 0}, "draws is 0; it must be at least 50 and a multiple of 50"),
        ({"draws": 75}, "draws is 75; it must be at least 50 and a multiple of 50"),
        ({"target_accept": 1.0}, r"target_accept is 1.0; it must lie in \[.5, 1\), such as .9"),
        ({"target_accept": float("nan")}, "target_accept is nan"),
        ({"max_tree_depth": 0}, "max_tree_depth is 0; it must lie between 1 and 15, such as 10"),
        ({"max_tree_depth": 16}, "max_tree_depth is 16"),
        ({"max_draws": 500}, "max_draws is 500; it must be at least 1000 and a multiple of 50"),
        ({"max_minutes": 0}, "max_minutes is 0; it must be above 0, such as 30"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Settings(**settings)


@given(blocks=st.integers(PHASES, 100))
def test_phases_sum_to_the_warm_up(blocks):
    phases = Settings(warmup=blocks * BLOCK).phases
    assert sum(phases) == blocks * BLOCK
    assert len(phases) == PHASES
    assert all(length >= BLOCK and length % BLOCK == 0 for length in phases)
    assert phases[0] >= phases[-1]


def test_chains_of_a_data_set_draw_with_one_step_size(regression, regression_data):
    draws = sample(regression, regression_data, Settings(4, 150, 100, seed=0))
    assert np.ptp(draws.stats["step_size"]) == 0
