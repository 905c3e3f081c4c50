"""Fits of small tables whose truth is known: what a posterior holds, and that it holds the truth."""

import inspect
import re
import signal
import subprocess
import sys
from itertools import pairwise

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from numpyro.infer import Predictive

from bayes_atlas.catalogue import find_model, load_model, model_names
from bayes_atlas.data.runs import runs_from_frame
from bayes_atlas.decisions.optimum import optimum
from bayes_atlas.errors import InputError
from bayes_atlas.inference.calls import PRIOR_DRAWS
from bayes_atlas.inference.fit import fit, fit_many
from bayes_atlas.inference.staleness import is_stale
from bayes_atlas.laws import atlas, chinchilla, family_share, get_law
from bayes_atlas.observations.curves import arrange
from bayes_atlas.posterior import load_posterior
from bayes_atlas.sampler.draws import Missing
from bayes_atlas.validation.review import review_fit

CHAINS, WARMUP, DRAWS = 2, 150, 200
QUICKLY_COMPILED = {"xla_backend_optimization_level": 0}  # for programs that run once
QUICK = {"chains": CHAINS, "warmup": WARMUP, "draws": DRAWS}
MANY = QUICK | {"draws": 2 * DRAWS, "keep": DRAWS}
NOISE = 0.005
REFERENCE = {"params": 1e9, "tokens": 2e10}
TRUTH = {  # A and B are losses at REFERENCE
    "en": {"E": 1.5, "A": 0.5, "B": 0.6, "alpha": 0.33, "beta": 0.28},
    "sw": {"E": 1.8, "A": 0.6, "B": 0.9, "alpha": 0.30, "beta": 0.33},
}
TRANSFER = {"lam": 0.4, "tau": np.array([0.3])}

OTHER_TABLES = (
    "bilingual",
    "crossover",
    "crossover_rule",
    "law_error",
    "transfer",
)  # models that take more than runs from scratch


def counted(language, references=REFERENCE):
    """The truth with A and B as losses at other references."""
    truth = TRUTH[language]
    return truth | {
        "A": truth["A"] * (REFERENCE["params"] / references["params"]) ** truth["alpha"],
        "B": truth["B"] * (REFERENCE["tokens"] / references["tokens"]) ** truth["beta"],
    }


def plain_table(seed=0, runs=15, languages=tuple(TRUTH)):
    """Finished runs on each language, and one of each that started from a checkpoint."""
    rng = np.random.default_rng(seed)
    rows = []
    for language in languages:
        sizes = [(p, t) for p in (1e8, 3e8, 1e9, 3e9, 1e10) for t in (3e9, 2e10, 1e11)]
        for number, (params, tokens) in enumerate(sizes[:runs]):
            loss = chinchilla.loss(params / 1e9, tokens / 2e10, **TRUTH[language]) * np.exp(NOISE * rng.normal())
            rows.append((f"{language}{number}", language, params, tokens, loss, "scratch", "multilingual"))
        rows.append((f"{language}-tuned", language, 1e9, 2e10, 1.7, "unimax", "multilingual"))
    columns = ["run", "language", "params", "tokens", "loss", "init", "vocabulary"]
    return runs_from_frame(pd.DataFrame(rows, columns=columns), "plain.csv")


@pytest.fixture(scope="module")
def plain():
    """Fifteen finished runs on each of two languages, and two that started from a checkpoint."""
    return plain_table()


@pytest.fixture(scope="module")
def mixed():
    """Runs of two checkpoints on two languages, alone and half and half; Swahili is repeated up to 16 times."""
    rng = np.random.default_rng(1)
    unique = {"en": 1e12, "sw": 2e9}
    rows = []
    for language, other in (("en", "sw"), ("sw", "en")):
        for params in (1e8, 1e9, 1e10):
            for total in (2e9, 8e9, 3.2e10):
                for borrowed in (0.0, 1.0):
                    effect = NOISE * rng.normal()
                    for share in (0.5, 1.0):
                        own = total * share
                        tokens = {language: own, other: borrowed * own}
                        worth = {
                            "source_tokens": np.array([tokens[other]]) / 2e10,
                            "source_unique": np.array([unique[other]]) / 2e10,
                        }
                        loss = atlas.loss(
                            params / 1e9, own / 2e10, unique[language] / 2e10, **TRUTH[language], **TRANSFER, **worth
                        )
                        rows.append(
                            {
                                "run": f"{language}-{params:g}-{total:g}-{borrowed:g}",
                                "language": language,
                                "params": params,
                                "loss": loss * np.exp(effect + 0.2 * NOISE * rng.normal()),
                            }
                            | {f"tokens.{name}": tokens[name] for name in unique}
                            | {f"unique.{name}": limit for name, limit in unique.items()}
                        )
    return runs_from_frame(pd.DataFrame(rows), "mixed.csv")


# Fits


@pytest.fixture(scope="module")
def precision():
    """Whether jax was in double precision before any fit."""
    return jax.config.jax_enable_x64


@pytest.fixture(scope="module")
def reports():
    return []


@pytest.fixture(scope="module")
def fitted(plain, precision, reports):
    return fit(plain, "chinchilla", **QUICK, report=reports.append)


def test_a_fit_without_a_number_of_draws_ends_when_its_checks_pass(plain, tmp_path):
    """Two languages, so that the first attempt may have divergences; whatever it takes, all checks pass."""
    found = fit(plain, "chinchilla", warmup=300, seed=1, law_error=False)
    sampling = found.info.sampling
    assert not found.failed_checks
    assert sampling.draws % 1000 == 0
    assert sampling.draws + sampling.dropped <= 10_000
    assert sampling.kept == 1000 == found.draws["posterior"].sizes["draw"]
    assert found.draws["log_likelihood"].sizes["draw"] == 1000
    assert sampling.ended == ""
    found.save(tmp_path / "passed")
    assert load_posterior(tmp_path / "passed").info.sampling == sampling


def test_tables_that_fail_a_check_go_on_alone(plain, monkeypatch):
    """The second table's first look misses a check, made up here."""
    looks = []

    def judged(task, data, sampled):
        looks.append(sampled.attempts)
        return [Missing("ess_bulk_at_least_400", "alpha[sw]", 2.0)] if len(looks) == 2 else []

    monkeypatch.setattr("bayes_atlas.inference.fit.judged", judged)
    first, second = fit_many([plain, plain_table(seed=5)], "chinchilla", chains=2, warmup=150)
    assert looks == [1, 1, 2]
    assert [each.info.sampling.attempts for each in (first, second)] == [1, 2]
    assert second.info.sampling.dropped == 1000


@pytest.fixture(scope="module")
def own_model(tmp_path_factory):
    """A user's own model file: a copy of one that ships."""
    path = tmp_path_factory.mktemp("own") / "mine.py"
    path.write_text(find_model("chinchilla").read_text(encoding="utf-8"), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def own(plain, own_model):
    return fit(plain, str(own_model), **QUICK, keep=20, with_data=False, title="Mine")


@pytest.fixture(scope="module")
def grouped(plain):
    return fit(plain, "chinchilla", **QUICK, seed=1, by=["vocabulary"])


@pytest.fixture(scope="module")
def transfer(mixed):
    return fit(mixed, "atlas", **QUICK, sources=1)


# What a posterior holds


def test_a_posterior_holds_everything_a_reader_needs(fitted):
    assert set(fitted.draws.children) == {
        *("posterior", "sample_stats", "prior", "log_prior", "log_likelihood", "observed_data", "constant_data"),
        "law_error",
    }
    posterior = fitted.draws["posterior"]
    assert dict(posterior.sizes) == {"chain": CHAINS, "draw": DRAWS, "language": 2}
    assert posterior["alpha"].dims == ("chain", "draw", "language")
    assert posterior["alpha_scale"].dims == ("chain", "draw")
    assert posterior["language"].to_numpy().tolist() == ["en", "sw"]
    assert fitted.draws["log_likelihood"]["log_loss"].dims == ("chain", "draw", "run")
    assert fitted.draws["log_likelihood"]["run"].to_numpy().tolist()[:2] == ["en0:en", "en1:en"]
    assert fitted.draws["prior"]["alpha"].shape == (1, min(PRIOR_DRAWS, DRAWS), 2)
    assert set(fitted.draws["prior"].data_vars) == set(posterior.data_vars)
    for name, group in fitted.draws.children.items():
        for values in group.data_vars.values():
            assert values.dtype != np.float64, name
            assert np.isfinite(values.astype(float)).all()


def test_observed_data_are_the_table(fitted, plain):
    scratch = plain.isel(row=plain["init"].to_numpy() == "scratch")
    observed = fitted.draws["observed_data"]["loss"]
    assert observed.dims == ("run", "step")
    np.testing.assert_allclose(observed.to_numpy()[:, 0], scratch["loss"], rtol=1e-6)
    constant = fitted.draws["constant_data"]
    assert set(constant.data_vars) == {"params", "tokens", "language_index", "size_index", "size_weight", "stage"}
    params = constant["params"].to_numpy()[:, 0] * fitted.info.references["en"]["params"]
    np.testing.assert_allclose(params, scratch["params"], rtol=1e-6)


def test_info_says_what_was_fitted(fitted, plain):
    info = fitted.info
    assert (info.model, info.law, info.languages) == ("chinchilla", "chinchilla", ["en", "sw"])
    assert info.title == "chinchilla fitted to plain.csv"
    assert (info.runs.name, info.runs.sha256) == ("plain.csv", plain.attrs["sha256"])
    assert (info.runs.rows, info.runs.curves) == (30, 30)
    assert info.runs.ranges["params"] == (1e8, 1e10)
    assert info.runs.ranges["epochs"] == (1, 1)
    assert info.runs.ranges["compute"] == pytest.approx((6 * 1e8 * 3e9, 6 * 1e10 * 1e11))
    sampling = info.sampling
    assert (sampling.chains, sampling.warmup, sampling.draws, sampling.kept) == (CHAINS, WARMUP, DRAWS, DRAWS)
    assert (sampling.seed, sampling.platform) == (0, "cpu")
    assert len({check.name for check in info.checks}) == 6
    assert {"jax", "numpyro", "bayes-atlas"} <= set(info.versions)


def test_rows_that_started_from_a_checkpoint_are_reported(fitted):
    assert fitted.info.runs.left_out == {"started from a checkpoint": 2}


def test_progress_is_reported(fitted, reports):
    assert (reports[-1].done, reports[-1].total) == (WARMUP + DRAWS, WARMUP + DRAWS)


def test_double_precision_ends_with_the_fit(fitted, precision):
    assert jax.config.jax_enable_x64 == precision
    assert jnp.ones(1).dtype == (jnp.float64 if precision else jnp.float32)


def test_groups_get_parameters_of_their_own(grouped):
    assert grouped.info.languages == ["en:multilingual", "sw:multilingual"]
    assert grouped.parameters("sw:multilingual")["alpha"].shape == (CHAINS * DRAWS,)


# The same code for files of one's own, the same draws for the same seed


def test_own_files_same_seed_and_thinning(own, fitted, own_model):
    """A copy of the model, by path, gives the very draws of the one that ships, thinned to those that were kept."""
    assert own.info.model == str(own_model)
    assert own.info.model_sha256 == fitted.info.model_sha256
    assert (own.info.sampling.draws, own.info.sampling.kept) == (DRAWS, 20)
    assert own.info.checks == fitted.info.checks
    kept = np.linspace(0, DRAWS - 1, 20).round().astype(int)
    for name, values in own.draws["posterior"].data_vars.items():
        np.testing.assert_array_equal(values, fitted.draws["posterior"][name].isel(draw=kept))


def test_data_can_be_left_out(own):
    assert set(own.draws.children) == {"posterior", "sample_stats", "prior", "log_prior", "law_error"}
    assert own.info.title == "Mine"


def test_another_seed_gives_other_draws(grouped, fitted):
    """The data are the same: all runs have one vocabulary."""
    one, other = (posterior.draws["posterior"]["alpha"].to_numpy() for posterior in (fitted, grouped))
    assert not np.isclose(one, other, rtol=1e-6).any()
    np.testing.assert_allclose(one.mean(axis=(0, 1)), other.mean(axis=(0, 1)), atol=one.std(axis=(0, 1)).max())


# One program for all tables of about one size


@pytest.fixture
def compiled():
    """What jax compiles from here on, from its cache or not."""
    events = []

    def heard(event, duration, **details):
        if event.endswith("backend_compile_duration"):
            events.append(details.get("fun_name", event))

    jax.monitoring.register_event_duration_secs_listener(heard)
    yield events
    jax.monitoring.unregister_event_duration_listener(heard)


def test_another_seed_and_another_table_of_about_the_size_compile_nothing(compiled):
    careful = QUICK | {"target_accept": 0.99}  # there is no more careful attempt that could be called for
    fit(plain_table(), "chinchilla", **careful)
    assert compiled  # at least the start; what draws may be there from another test's more careful attempt
    compiled.clear()
    fit(plain_table(), "chinchilla", **careful, seed=1)
    smaller = plain_table(seed=7)
    left = smaller.isel(row=smaller["run"].to_numpy() != "en3")
    fitted = fit(left, "chinchilla", **careful)
    assert compiled == []
    assert (fitted.info.runs.rows, fitted.info.runs.curves) == (29, 29)
    assert fitted.draws["log_likelihood"]["log_loss"].sizes["run"] == 29


@pytest.fixture(scope="module")
def folds(plain):
    """The table without one run each time."""
    return [plain.isel(row=plain["run"].to_numpy() != run) for run in ("en0", "sw7")]


@pytest.fixture(scope="module")
def many(folds):
    return fit_many([*folds, plain_table(seed=5)], "chinchilla", **MANY)


def test_many_tables_give_a_posterior_each(many):
    assert [posterior.info.runs.rows for posterior in many] == [29, 29, 30]
    assert [posterior.info.title for posterior in many] == ["chinchilla fitted to plain.csv"] * 3
    for posterior in many:
        assert set(posterior.draws.children) == {"posterior", "sample_stats"}
        assert posterior.draws["posterior"]["alpha"].shape == (CHAINS, DRAWS, 2)
        assert (posterior.info.sampling.draws, posterior.info.sampling.kept) == (2 * DRAWS, DRAWS)
        assert len(posterior.info.checks) == 6
        assert not is_stale(posterior)


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("language", TRUTH)
def test_many_tables_recover_the_truth(many, number, language):
    posterior = many[number]
    assert_recovers(posterior, language, counted(language, posterior.info.references[language]))


def test_a_table_among_many_has_the_posterior_it_has_alone(folds, many):
    """Means within five Monte Carlo errors of each other; false alarms less than one in a million a parameter."""
    alone = fit(folds[0], "chinchilla", **QUICK, seed=3).draws["posterior"]
    for name in ("alpha", "beta", "E", "sigma"):
        one, other = alone[name].to_numpy(), many[0].draws["posterior"][name].to_numpy()
        for index in range(2):
            ess = [float(az.ess(draws[..., index], method="bulk")) for draws in (one, other)]
            assert min(ess) > 50
            error = one[..., index].std() * np.sqrt(1 / ess[0] + 1 / ess[1])
            assert abs(one[..., index].mean() - other[..., index].mean()) < 5 * error, name


def test_more_folds_compile_nothing(many, plain, compiled):
    others = [plain.isel(row=plain["run"].to_numpy() != run) for run in ("en4", "en5", "sw2")]
    again = fit_many(others, "chinchilla", **MANY, seed=4)
    assert compiled == []
    assert len(again) == 3


def test_many_tables_must_be_alike(plain, mixed):
    with pytest.raises(InputError, match="there are no tables to fit; give at least one"):
        fit_many([], "chinchilla", **QUICK)
    with pytest.raises(InputError, match=r"table 1 \(plain\.csv\) has 1 languages, the first has 2; fit tables of"):
        fit_many([plain, plain_table(languages=["en"])], "chinchilla", **QUICK)
    with pytest.raises(InputError, match=r"table 1 \(plain\.csv\) and the first differ in unique, which only one"):
        fit_many([mixed, plain], "atlas", **QUICK, sources=1)
    with pytest.raises(
        InputError, match=r"table 1 \(mixed\.csv\) and the first do not both repeat data; fit them separately"
    ):
        fit_many([plain, mixed], "chinchilla", **QUICK)
    with pytest.raises(
        InputError, match="and the first do not both have more than 5 model sizes, from which sizes have effects"
    ):
        fit_many([sized_table(5), sized_table(12)], "chinchilla", **QUICK)


def sized_table(sizes):
    """Runs of so many sizes at two lengths."""
    rows = [
        (f"r{number}-{tokens}", "en", 1e8 * 1.3**number, tokens, 3 * 0.98**number)
        for number in range(sizes)
        for tokens in (1e10, 2e10)
    ]
    return runs_from_frame(pd.DataFrame(rows, columns=["run", "language", "params", "tokens", "loss"]), "sized.csv")


def test_the_model_of_a_table_is_told_by_its_own_sizes():
    """Sizes are counted, not sizes times data sets: what a table is padded to, or repeats, turns no effect on."""
    few, many = (arrange(sized_table(sizes), ["curves"]).curves for sizes in (5, 12))
    assert (few.size.groups, many.size.groups) == (0, 12)
    rows = [
        (f"r{size}{unique}", "en", 1e8 * 2.0**size, 4e9, unique, 3.0 * 0.98**size)
        for size in range(4)
        for unique in (1e9, 2e9, 3e9)
    ]
    columns = ["run", "language", "params", "tokens", "unique", "loss"]
    assert arrange(runs_from_frame(pd.DataFrame(rows, columns=columns)), ["curves"]).curves.size.groups == 0


def grid_of(sizes, seed=0):
    """Runs of chinchilla's law at five lengths of each size, with effects of sizes."""
    rng = np.random.default_rng(seed)
    params, tokens = (each.ravel() for each in np.meshgrid(1e8 * 1.4 ** np.arange(12), 2e9 * 2.0 ** np.arange(5)))
    loss = 1.8 + 482 / params**0.348 + 2085 / tokens**0.366
    noise = np.tile(0.002 * rng.normal(size=12), 5) + 0.003 * rng.normal(size=60)
    rows = {"run": [f"r{number}" for number in range(60)], "language": "en", "params": params, "tokens": tokens}
    frame = pd.DataFrame(rows | {"loss": loss * np.exp(noise)})
    return runs_from_frame(frame[frame["params"] < 1e8 * 1.4 ** (sizes - 0.5)], f"{sizes} sizes")


@pytest.mark.slow
def test_a_table_of_few_sizes_is_fitted_alike_alone_and_beside_many():
    """Means within 5 standard errors of both (ESS of at least 400); each of four would fail once in 1.7 million."""
    options = {"chains": 4, "warmup": 600, "draws": 600, "law_error": False}
    alone = fit(grid_of(6), "chinchilla", **options)
    beside, _ = fit_many([grid_of(6), grid_of(12)], "chinchilla", **options)
    for name in ("alpha", "beta", "E", "sigma"):
        one, two = (each.draws["posterior"][name].to_numpy().ravel() for each in (alone, beside))
        assert abs(one.mean() - two.mean()) < 5 * one.std() * np.sqrt(2 / 400)
        assert two.std() == pytest.approx(one.std(), rel=0.25)


@pytest.mark.slow
def test_one_more_size_changes_little_at_any_number_of_sizes():
    """The sd of alpha falls with each size from 5 to 12, without a step where effects of sizes begin or are full.

    With one more size of s it would fall by the factor (1 - 1/s)^1.5 if sizes alone told it; with the noise of single
    draws of the table and of sampling, a third is allowed.
    """
    sd = [
        float(
            fit(grid_of(sizes), "chinchilla", warmup=500, draws=500, law_error=False).draws["posterior"]["alpha"].std()
        )
        for sizes in range(5, 13)
    ]
    assert all(0.55 < now / before < 1.33 for before, now in pairwise(sd))


# Killed and resumed

KILLED = """
import os, signal, sys
import pandas as pd
from bayes_atlas.inference.fit import fit
from bayes_atlas.data.runs import runs_from_frame

def report(progress):
    if progress.done == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

runs = runs_from_frame(pd.read_csv("runs.csv"), "runs.csv")
settings = {"chains": 2, "warmup": 150, "draws": 150, "checkpoint": "unfinished"}
posterior = fit(runs, "chinchilla", **settings, report=report, resume=sys.argv[1] == "resume")
posterior.save("posterior", force=True)
"""


@pytest.fixture(scope="module")
def small():
    """Six runs of one language."""
    return plain_table(runs=6, languages=["en"])


def test_a_fit_that_was_killed_goes_on_to_the_same_draws(small, tmp_path):
    columns = {name: small[name].to_numpy() for name in ("run", "language", "params", "tokens", "loss")}
    pd.DataFrame(columns).to_csv(tmp_path / "runs.csv", index=False)

    def run(how, kill_at):
        command = [sys.executable, "-c", KILLED, how, str(kill_at)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)

    def draws():
        return load_posterior(tmp_path / "posterior").draws["posterior"].to_dataset()

    finished = run("anew", 0)
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert (tmp_path / "unfinished").exists()  # until the user removes it
    whole = draws()
    assert run("anew", 200).returncode == -signal.SIGKILL
    assert (tmp_path / "unfinished" / "0-2-block1.npz").is_file()
    finished = run("resume", 0)
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert (tmp_path / "unfinished").exists()  # until the user removes it
    for name, values in draws().items():
        np.testing.assert_array_equal(values, whole[name])


def test_only_the_fit_that_was_begun_is_resumed(small, tmp_path):
    def kill(progress):
        raise RuntimeError("killed")

    folder, options = tmp_path / "unfinished", {"model": "chinchilla", **QUICK, "compile_cache": False}
    with pytest.raises(InputError, match=r"there is nothing to resume without a checkpoint; give the folder"):
        fit(small, **options, resume=True)
    with pytest.raises(InputError, match=r"there is no run to resume in .*unfinished; leave out --resume"):
        fit(small, **options, checkpoint=folder, resume=True)
    with pytest.raises(RuntimeError, match="killed"):
        fit(small, **options, checkpoint=folder, report=kill)
    with pytest.raises(InputError, match=r"has a different setting of the sampler; repeat the command that began it"):
        fit(small, **options, checkpoint=folder, resume=True, seed=1)
    with pytest.raises(InputError, match=r"has a different run table; repeat"):
        fit(small.assign(loss=small["loss"] * 1.001), **options, checkpoint=folder, resume=True)
    with pytest.raises(InputError, match=r"has a different model; repeat"):
        fit(small, **options | {"model": "data_constrained"}, checkpoint=folder, resume=True)


# Truth


def assert_recovers(posterior, language, truth):
    for name, draws in posterior.parameters(language).items():
        distance = np.abs(draws.mean(axis=0) - truth[name]) / draws.std(axis=0)
        assert np.max(distance) < 4, name


@pytest.mark.parametrize("language", TRUTH)
def test_chinchilla_recovers_the_truth(fitted, language):
    truth = counted(language, fitted.info.references[language])
    assert_recovers(fitted, language, truth)
    prior = fitted.draws["prior"].to_dataset().sel(language=language)
    for name in ("alpha", "beta", "E"):
        assert fitted.parameters(language)[name].std() < 0.5 * float(prior[name].std())


@pytest.mark.parametrize("language", TRUTH)
def test_atlas_recovers_the_truth(transfer, language):
    truth = counted(language, transfer.info.references[language]) | TRANSFER
    assert_recovers(transfer, language, truth)
    draws = transfer.parameters(language)
    assert draws["tau"].shape == (CHAINS * DRAWS, 1)
    assert draws["tau"].std() < 0.1
    assert "tau_other" not in draws


def test_atlas_names_its_sources(transfer):
    assert transfer.info.sources == {"en": ["sw"], "sw": ["en"]}
    assert transfer.draws["posterior"]["tau"].dims == ("chain", "draw", "language", "source")
    assert transfer.info.runs.ranges["epochs"] == (1, 16)
    assert (transfer.info.runs.rows, transfer.info.runs.curves) == (72, 36)


@pytest.mark.parametrize(
    ("sources", "others", "sites"), [(0, False, set()), (0, True, {"tau_other"}), (1, True, {"tau"})]
)
def test_the_ablations_of_the_paper_are_settings(mixed, sources, others, sites):
    posterior = fit(mixed, "atlas", **QUICK, sources=sources, others=others)
    assert {"tau", "tau_other"} & set(posterior.draws["posterior"]) == sites


def test_family_share_recovers_its_exponent():
    rng = np.random.default_rng(0)
    rows = []
    for number in range(24):
        params, total, share = 1e8 * 3 ** (number % 4), 4e9 * 4 ** (number % 3), (0.05, 0.2, 0.6, 1.0)[number // 6]
        loss = float(family_share.loss(params / 1e9, total / 2e10, share, **TRUTH["en"], gamma=0.15))
        tokens = {"tokens.en": share * total, "tokens.sw": (1 - share) * total}
        row = {"run": f"r{number}", "language": "en", "params": params, "loss": loss * np.exp(NOISE * rng.normal())}
        rows.append(row | tokens)
    posterior = fit(runs_from_frame(pd.DataFrame(rows)), "family_share", chains=CHAINS, warmup=300, draws=DRAWS)
    gamma = posterior.parameters("en")["gamma"]
    assert abs(gamma.mean() - 0.15) < 4 * gamma.std()
    assert gamma.std() < 0.02
    with pytest.raises(InputError, match=r"family_share.*no compute-optimal point"):
        optimum(posterior, compute=1e21)


def test_a_count_of_sources_below_zero_is_refused(mixed):
    with pytest.raises(InputError, match=r"sources is -1; give a count of at least 0"):
        fit(mixed, "atlas", sources=-1)


# Priors


@pytest.fixture(scope="module", params=[name for name in model_names() if name not in OTHER_TABLES])
def predicted(request, mixed):
    """Prior predictive draws of a model that ships, and its law."""
    module = load_model(request.param)
    with jax.enable_x64(True):
        wanted = [name for name in inspect.signature(module.model).parameters if name != "loss"]
        covariates = arrange(mixed, wanted, sources=1).covariates
        predictive = Predictive(lambda: module.model(**covariates), num_samples=500)
        drawn = jax.jit(predictive, compiler_options=QUICKLY_COMPILED)(jax.random.key(0))
        draws = {name: np.asarray(values) for name, values in drawn.items()}
    return draws, get_law(module.LAW)


def test_prior_predictions_are_finite_and_positive(predicted):
    draws, _ = predicted
    loss = np.exp(draws["log_loss"])
    assert loss.shape == (500, 36, 2)
    assert np.isfinite(loss).all()
    assert (loss > 0).all()
    assert 0.5 < np.median(loss) < 20  # centred on nats per token ..
    assert np.log(np.median(loss, axis=(1, 2))).std() > 1  # .. and open to any unit


def test_prior_expectations_fall_in_size_and_data(predicted):
    draws, law = predicted
    theta = {name: draws[name][:, 0] for name in law.PARAMETERS if name in draws and name != "tau"}
    asked = inspect.signature(law.loss).parameters
    covariates = {
        name: value for name, value in (("unique", None), ("languages", 2.0), ("share", 0.5)) if name in asked
    }
    grid = np.geomspace(0.01, 100, 9)[:, None]
    by_size = law.loss(grid, 1.0, **covariates, **theta)
    by_data = law.loss(1.0, grid, **covariates, **theta)
    for losses in (by_size, by_data):
        assert losses.shape == (9, 500)
        assert (np.diff(losses, axis=0) <= 1e-12 * losses[:-1]).all()
    assert (by_data[-1] < by_data[0]).all()
    assert (by_size[-1] < by_size[0]).mean() > 0.9  # not all: the value of excess parameters saturates


# Staleness


@pytest.fixture
def restored(own_model):
    """Text of the user's model, put back after the test."""
    text = own_model.read_text(encoding="utf-8")
    yield text
    own_model.write_text(text, encoding="utf-8")


def test_a_posterior_of_an_unchanged_model_is_not_stale(fitted):
    assert not is_stale(fitted)


def test_a_stored_posterior_is_stale_once_its_model_says_something_else(own, own_model, restored, tmp_path):
    own.save(tmp_path / "posterior")
    stored = load_posterior(tmp_path / "posterior")
    assert not is_stale(stored, own_model)
    changes = [
        ('"""Chinchilla', '"""My own Chinchilla', False),
        ("law.loss(params, tokens,", "law.loss(params, 2 * tokens,", True),
        ("    return observe", '    numpyro.factor("prior", -10 * terms["alpha"].sum())\n    return observe', True),
        ("def model(params,", "def model(params, unique,", True),
        ("    return observe", '    numpyro.sample("more", dist.Normal())\n    return observe', True),
    ]
    for old, new, stale in changes:
        assert old in restored
        text = restored.replace("LAW =", "import numpyro\nimport numpyro.distributions as dist\n\nLAW =")
        own_model.write_text(text.replace(old, new), encoding="utf-8")
        assert is_stale(stored, own_model) == stale, new


def test_a_posterior_whose_model_is_gone_cannot_be_judged(own, own_model, restored):
    own_model.unlink()
    with pytest.raises(InputError, match=r"there is no model file .*mine\.py; correct the path"):
        is_stale(own, own_model)


def test_a_model_that_only_a_posterior_names_is_not_executed(own, own_model, restored, tmp_path):
    own_model.write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n" + restored, encoding="utf-8")
    with pytest.raises(InputError, match=r"which is executed only if you name it yourself: read it, then give"):
        is_stale(own)
    found = review_fit(own)
    assert found.stale is None
    assert "whether its model has changed since the fit" in found.missing
    assert found.posterior is None
    assert not (tmp_path / "ran").exists()
    assert not is_stale(own, own_model)
    assert (tmp_path / "ran").exists()


# Errors, all before any sampling


def write_model(tmp_path, text):
    path = tmp_path / "mine.py"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_model_must_name_its_law(plain, tmp_path):
    path = write_model(tmp_path, "def model(params, tokens, curves, loss=None):\n    return loss\n")
    with pytest.raises(InputError, match=r"mine\.py does not name its law; add a line such as LAW = 'chinchilla'"):
        fit(plain, path, **QUICK)


def test_a_model_must_name_a_law_there_is(plain, tmp_path):
    path = write_model(tmp_path, "LAW = 'moore'\n\ndef model(params, loss=None):\n    return loss\n")
    with pytest.raises(InputError, match=r"no law is called 'moore'; choose one of: atlas, .*chinchilla"):
        fit(plain, path, **QUICK)


def test_a_model_may_ask_only_for_columns_of_the_table(plain, tmp_path):
    path = write_model(tmp_path, "LAW = 'chinchilla'\n\ndef model(params, depth, loss=None):\n    return loss\n")
    with pytest.raises(InputError, match="has no covariate 'depth'; add a column depth of numbers"):
        fit(plain, path, **QUICK)


def test_a_table_must_have_runs_from_scratch(plain):
    tuned = plain.isel(row=plain["init"].to_numpy() != "scratch")
    with pytest.raises(InputError, match=r"no run of plain\.csv started from scratch \(column init\), .* add runs"):
        fit(tuned, "chinchilla", **QUICK)


def test_languages_must_be_in_the_table(plain):
    with pytest.raises(InputError, match=r"plain\.csv has no language 'xx'; choose from: en, sw"):
        fit(plain, "chinchilla", **QUICK, languages=["en", "xx"])


def test_groups_must_be_labels_of_the_table(plain):
    with pytest.raises(InputError, match=r"cannot group runs by 'tokenizer'; choose from: init, vocabulary"):
        fit(plain, "chinchilla", **QUICK, by=["tokenizer"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draws": 10}, "draws is 10; it must be at least 50 and a multiple of 50"),
        ({"platform": "abacus"}, "platform is 'abacus'; choose one of: cpu, gpu, tpu"),
        ({"model": "chinchila"}, "no model is called 'chinchila'. Did you mean 'chinchilla'?"),
    ],
)
def test_settings_are_checked_before_sampling(plain, options, message):
    with pytest.raises(InputError, match=re.escape(message)):
        fit(plain, **({"model": "chinchilla"} | QUICK | options))
