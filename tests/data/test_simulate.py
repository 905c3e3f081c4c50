import json
import sys
from subprocess import run
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayes_atlas.data.printed import load_table
from bayes_atlas.data.runs import co_sampled_sources, group_runs, read_runs
from bayes_atlas.data.simulate import write_simulation
from bayes_atlas.data.simulate.atlas_runs import simulate
from bayes_atlas.data.simulate.capacity_runs import simulate_capacity
from bayes_atlas.errors import InputError
from bayes_atlas.laws import _repetition as repetition
from bayes_atlas.laws import atlas, capacity, crossover_rule


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("simulated") / "runs.csv"
    write_simulation(path, 0)
    return path


@pytest.fixture(scope="module")
def table(written):
    return pd.read_csv(written)


@pytest.fixture(scope="module")
def truth(written):
    return json.loads(written.with_suffix(".truth.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def grouped(written):
    return group_runs(read_runs(written), by=["vocabulary"])


def law_of_rows(runs: xr.Dataset, parameters: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Expected loss and D_eff over the worth of own tokens, of rows of one language, from the columns of the table."""
    sources = runs["source"].to_numpy().tolist()
    tokens, unique = runs["source_tokens"].to_numpy(), runs["source_unique"].to_numpy()
    named = [sources.index(name) for name in parameters["tau"]]
    own = sources.index(runs["own"].to_numpy()[0])
    is_other = tokens > 0
    is_other[:, [*named, own]] = False
    mixture = {
        "tau": np.array(list(parameters["tau"].values())),
        "tau_other": parameters["tau_other"],
        "source_tokens": tokens[:, named],
        "source_unique": unique[:, named],
        "other_tokens": np.where(is_other, tokens, 0).sum(axis=1),
        "other_unique": np.where(is_other.any(axis=1), np.where(is_other, unique, 0).sum(axis=1), np.inf),
    }
    own_tokens, own_unique, lam = runs["tokens"].to_numpy(), runs["unique"].to_numpy(), parameters["lam"]
    curve = {name: parameters[name] for name in ("E", "A", "B", "alpha", "beta", "lam")}
    loss = atlas.loss(runs["params"].to_numpy(), own_tokens, own_unique, **curve, **mixture)
    effective = atlas.effective_tokens(own_tokens, own_unique, lam=lam, **mixture)
    return loss, effective / repetition.effective_tokens(own_tokens, own_unique, lam)


def test_the_runs_are_those_of_table_b1(table):
    runs = table.drop_duplicates("run")
    sizes = load_table("model_sizes").set_index("scale")["params"]
    at_34 = runs["params"] == sizes[34]
    scratch, multilingual = runs["init"] == "scratch", runs["vocabulary"] == "multilingual"
    kind = runs["mixture"].str.partition(":")[0]
    assert len(runs) == 774
    assert ((kind == "mono") & scratch & ~multilingual).sum() == 140
    assert (kind == "unimax").sum() == 20
    assert ((kind == "mono") & scratch & multilingual & ~at_34).sum() == 70
    assert ((kind == "mono") & scratch & multilingual & at_34).sum() == 50
    assert ((kind == "pair") & at_34).sum() == 90
    assert ((kind == "pair") & ~at_34).sum() == 150
    assert kind.str.contains("v").sum() == 120
    assert (~scratch).sum() == 50 + 84
    assert set(runs.loc[~scratch, "init"]) == {"unimax"}
    assert set(runs.loc[~multilingual, "mixture"]) == {
        f"mono:{name}" for name in ("en", "fr", "ru", "zh", "hi", "sw", "yo")
    }


def test_sizes_are_those_of_the_scales_and_the_held_out_ones_are_among_them(table):
    sizes = load_table("model_sizes").set_index("scale")["params"]
    per_mixture = table.drop_duplicates("run").groupby(["mixture", "vocabulary", "init"])["params"].nunique()
    assert set(table["params"]) <= set(sizes)
    assert {sizes[20], sizes[46]} <= set(table.loc[table["mixture"] == "50v0", "params"])
    assert per_mixture["unimax", "multilingual", "scratch"] == 20
    assert per_mixture["mono:en", "monolingual", "scratch"] == 20
    assert per_mixture["mono:en", "multilingual", "scratch"] == 11
    assert per_mixture["8v1", "multilingual", "scratch"] == 10
    assert per_mixture["mono:ja", "multilingual", "unimax"] == 7
    assert per_mixture["mono:ba", "multilingual", "unimax"] == 1


def test_each_run_has_four_checkpoints_in_all_its_evaluated_languages(table):
    evaluated = str(load_table("mixtures_table_b5").set_index("mixture")["languages"]["50v0"]).split()
    assert set(table["language"]) == set(evaluated)
    assert (table.groupby(["run", "language"]).size() == 4).all()
    assert (table[table["mixture"] == "unimax"].groupby("run")["language"].nunique() == 50).all()
    assert (table[table["mixture"] == "24v0"].groupby("run")["language"].nunique() == 20).all()
    ends = table.groupby(["run", "language"])["tokens"].agg(["min", "max"])
    np.testing.assert_allclose(ends["min"] / ends["max"], 0.25, rtol=1e-6)


def test_budgets_are_at_least_thirty_thousand_steps_of_the_printed_batches(table):
    last = table.groupby("run").last()
    total = last.filter(regex=r"^tokens\.").sum(axis=1)
    batch = np.select([last["params"] < 150e6, last["params"] < 1e9, last["params"] < 2e9], [256, 512, 1024], 2048)
    steps = total / (2048 * batch)
    unimax = last["mixture"] == "unimax"
    assert steps[~unimax].between(29_999, 100_001).all()
    assert steps[~unimax].round(-3).nunique() > 50
    np.testing.assert_allclose(total[unimax], 1e12, rtol=1e-9)


def test_sources_add_up_and_are_sampled_evenly_outside_unimax(table):
    tokens = table.filter(regex=r"^tokens\.")
    trained = (tokens > 0).sum(axis=1)
    unimax = table["mixture"] == "unimax"
    assert (trained[~unimax] == table.loc[~unimax, "languages"]).all()
    assert (trained[unimax] == 51).all()
    assert (table.loc[unimax, "languages"] == 420).all()
    even = tokens[~unimax].where(tokens[~unimax] > 0)
    np.testing.assert_allclose(even.max(axis=1), even.min(axis=1))
    english = tokens.loc[unimax, "tokens.en"] / tokens[unimax].sum(axis=1)
    np.testing.assert_allclose(english, 0.05, rtol=1e-6)


def test_unique_tokens_are_the_printed_ones_and_given_where_a_run_trains(table):
    printed = load_table("unique_tokens").set_index("language")["unique_tokens"]
    for language, unique in printed.items():
        assert (table.loc[table["language"] == language, "unique"] == unique).all()
    for name in table.filter(regex=r"^tokens\."):
        unique = table[name.replace("tokens.", "unique.")]
        assert (unique.notna() == (table[name] > 0)).all()
        assert unique.nunique() == 1


def test_the_file_is_a_run_table(written, table):
    runs = read_runs(written)
    assert runs.sizes == {"row": len(table), "source": 58}
    assert runs["source"].to_numpy()[-1] == "rest"
    np.testing.assert_array_equal(runs["languages"], table["languages"])
    np.testing.assert_array_equal(runs["unique"], table["unique"])


def test_parquet_holds_the_same_runs(tmp_path, written):
    write_simulation(tmp_path / "runs.parquet", 0)
    assert (tmp_path / "runs.truth.json").read_bytes() == written.with_suffix(".truth.json").read_bytes()
    xr.testing.assert_equal(read_runs(tmp_path / "runs.parquet"), read_runs(written))


def test_same_seed_same_bytes_and_another_seed_another_world(tmp_path, written):
    for name, seed in (("again", 0), ("other", 1)):
        write_simulation(tmp_path / f"{name}.csv", seed)
    for suffix in (".csv", ".truth.json"):
        first = written.with_suffix(suffix).read_bytes()
        assert (tmp_path / f"again{suffix}").read_bytes() == first
        assert (tmp_path / f"other{suffix}").read_bytes() != first


def test_named_sources_are_the_most_co_sampled_ones_of_the_runs_from_scratch(grouped, truth):
    scratch = grouped.isel(row=grouped["init"].to_numpy() == "scratch")
    named = co_sampled_sources(scratch, 3)
    assert set(named["language"].to_numpy()) == set(truth["languages"])
    for language, parameters in truth["languages"].items():
        assert list(parameters["tau"]) == [name for name in named.sel(language=language).to_numpy() if name]
        assert len(parameters["tau"]) == (3 if language.endswith(":multilingual") else 0)


def test_losses_are_the_law_of_the_truth_plus_the_stated_noise(grouped, truth):
    scratch = grouped.isel(row=grouped["init"].to_numpy() == "scratch")
    residuals = []
    for language, rows in scratch.groupby("language"):
        expected, ratio = law_of_rows(rows, truth["languages"][language])
        assert (ratio > 0.5 - 1e-9).all()
        assert (ratio > atlas.GUARD).all()
        residuals.append(pd.DataFrame({"run": rows["run"], "language": language, "z": np.log(rows["loss"] / expected)}))
    z = pd.concat(residuals)
    last = z.groupby(["run", "language"])["z"].last()
    noise = truth["noise"]
    sd = np.hypot(noise["run_sd"], noise["checkpoint_sd"])
    # Of 3,350 curves; a Student-t with 5 degrees of freedom has kurtosis 9, hence the standard error of its sd.
    assert abs(last.mean()) < 5 * sd / np.sqrt(len(last))
    assert last.std() == pytest.approx(sd, rel=5 * np.sqrt((9 - 1) / (4 * len(last))))
    step = z.groupby(["run", "language"])["z"].agg(lambda values: values.iloc[-1] - values.iloc[0])
    early = noise["checkpoint_sd"] * 4 ** noise["checkpoint_exponent"]
    assert step.std() == pytest.approx(np.hypot(noise["checkpoint_sd"], early), rel=5 / np.sqrt(2 * len(step)))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_other_seeds_are_plausible_too(seed):
    simulation = simulate(seed)
    assert simulation.runs["loss"].between(0.3, 10).all()
    assert (simulation.runs["loss"] > 6).mean() < 0.01
    for language, parameters in simulation.truth["languages"].items():
        assert all(-0.1 <= tau <= 0.3 for tau in parameters["tau"].values())
        assert (parameters["tau_other"] > 0) == language.endswith(":multilingual")
        assert 0.1 < parameters["alpha"] < 1
        assert parameters["alpha"] == parameters["beta"]


def test_printed_fits_are_the_truth_of_their_languages(truth):
    fits = load_table("fits_table_c1")
    for vocabulary in ("monolingual", "multilingual"):
        for fit in fits[fits["regime"] == f"{vocabulary} vocabulary, monolingual data"].itertuples():
            parameters = truth["languages"][f"{fit.language}:{vocabulary}"]
            assert parameters["E"] == (fit.E or 0.004)
            assert np.log([parameters["A"], parameters["B"]]) == pytest.approx([fit.log_A, fit.log_B])
            assert parameters["alpha"] == fit.alpha_equals_beta


def test_loss_falls_in_data_and_in_size(table):
    alone = table[table["mixture"].str.startswith("mono:")].groupby("run")["loss"].agg(["first", "last"])
    assert (alone["last"] < alone["first"] * 1.02).all()  # flat, but for noise, where a language's data is used up
    monolingual = (table["mixture"] == "mono:en") & (table["vocabulary"] == "monolingual")
    english = table[monolingual].groupby("params")["loss"].last()
    assert np.corrcoef(np.log(english.index), english)[0, 1] < -0.9


def finetuned_minus_scratch(
    tokens: np.ndarray, params: float, unique: float, language: str, truth: dict[str, Any]
) -> np.ndarray:
    """Difference of the two curves as the docstring of `simulate` states them."""
    theta, start = truth["languages"][language], truth["finetune"]["languages"][language]
    crossing = crossover_rule.crossover_tokens(params, c=start["c"], gamma=truth["finetune"]["gamma"])
    ahead = start["head_start"] * crossing
    B, beta = theta["B"], theta["beta"]
    own = repetition.effective_tokens(tokens, unique, theta["lam"])
    excess = B * crossing**-beta - B * (ahead + crossing) ** -beta
    return excess + B * (ahead + own) ** -beta - B * own**-beta


@pytest.mark.parametrize("language", ["en", "ja", "pt", "de", "ru", "vi", "es", "zh"])
def test_finetunes_are_ahead_until_the_printed_crossover(language, truth):
    printed = load_table("crossover_tokens_2b").set_index("language").loc[language]
    tokens = printed["crossover_tokens"] * np.array([0.1, 0.9, 1.0, 1.1])
    gap = finetuned_minus_scratch(tokens, printed["params"], np.inf, f"{language}:multilingual", truth)
    assert gap[0] < gap[1] < 0 < gap[3]
    assert gap[2] == pytest.approx(0, abs=1e-9)


def test_a_language_with_little_data_never_crosses(truth):
    gap = finetuned_minus_scratch(np.geomspace(1e8, 1e13, 20), 2.034e9, 7.7e8, "sw:multilingual", truth)
    assert (gap < 0).all()


def test_finetuned_losses_are_what_the_truth_says(grouped, truth):
    finetuned = grouped.isel(row=grouped["init"].to_numpy() == "unimax")
    residuals = []
    for language, rows in finetuned.groupby("language"):
        scratch, _ = law_of_rows(rows, truth["languages"][language])
        gap = finetuned_minus_scratch(rows["tokens"], rows["params"], rows["unique"], language, truth)
        residuals.append(np.log(rows["loss"] / (scratch + gap)))
    z = xr.concat(residuals, dim="row")
    assert set(truth["finetune"]["languages"]) == set(finetuned["language"].to_numpy())
    assert abs(z.mean()) < 5 * 0.005 / np.sqrt(134)
    assert 0.003 < z.std() < 0.006


def test_it_needs_no_sampler():
    code = "import sys, bayes_atlas.data.simulate; sys.exit('jax' in sys.modules)"
    assert run([sys.executable, "-c", code], check=False).returncode == 0


def test_negative_seed_is_refused():
    with pytest.raises(ValueError, match="the seed is -1; it must be a whole number of at least 0"):
        simulate(-1)


def test_unknown_format_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"cannot write a run table to 'runs.xlsx'; end its name in .csv"):
        write_simulation(tmp_path / "runs.xlsx", 0)
    assert list(tmp_path.iterdir()) == []


# By the capacity law


@pytest.fixture(scope="module")
def by_capacity(tmp_path_factory):
    """The simulation by the capacity law as it is read back, and its truth."""
    path = tmp_path_factory.mktemp("capacity") / "runs.csv"
    write_simulation(path, 1, "capacity")
    return read_runs(path), json.loads(path.with_suffix(".truth.json").read_text(encoding="utf-8"))


def test_capacity_runs_sample_evenly_from_scratch(by_capacity):
    runs, _ = by_capacity
    trained = runs["source_tokens"].to_numpy()
    assert set(np.unique(runs["languages"])) == {1, 2, 4, 6, 8, 12, 16, 24, 32, 50}
    np.testing.assert_array_equal((trained > 0).sum(axis=1), runs["languages"])
    np.testing.assert_allclose(trained.max(axis=1), runs["tokens"])
    assert set(runs["init"].to_numpy().tolist()) == {"scratch"}
    assert np.isinf(runs["unique"]).all()


def test_capacity_losses_follow_their_truth(by_capacity):
    runs, truth = by_capacity
    assert (truth["law"], truth["seed"], truth["noise"]["run_sd"]) == ("capacity", 1, 0.012)
    language = runs["language"].to_numpy()
    assert set(language.tolist()) == set(truth["languages"])
    for name, parameters in truth["languages"].items():
        rows = runs.isel(row=language == name)
        expected = capacity.loss(
            *(rows[column].to_numpy() for column in ("params", "tokens", "languages")), **parameters
        )
        deviation = np.log(rows["loss"].to_numpy() / expected)
        assert 0.008 < deviation.std() < 0.03
        assert abs(deviation.mean()) < 0.005


def test_capacity_exponents_give_the_printed_factors(by_capacity):
    _, truth = by_capacity
    for factor, params, tokens in ((2, 1.18, 1.66), (4, 1.40, 2.74), (8, 1.66, 4.54), (16, 1.96, 7.52)):
        growth = capacity.expansion(factor, **truth["languages"]["en"])
        assert growth.params == pytest.approx(params, abs=0.006)
        assert growth.tokens == pytest.approx(tokens, abs=0.015)


def test_capacity_is_reproducible_by_seed():
    first, again, other = (simulate_capacity(seed) for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(first.runs, again.runs)
    assert not first.runs["loss"].equals(other.runs["loss"])


def test_laws_without_a_simulation_are_refused(tmp_path):
    with pytest.raises(InputError, match="no simulation follows the law 'msl'; choose one of: atlas, capacity"):
        write_simulation(tmp_path / "runs.csv", 0, "msl")
    with pytest.raises(InputError, match="the seed is -1"):
        simulate_capacity(-1)
