import json
import time

import numpy as np
import pandas as pd
import pytest

from bayes_atlas.data.describe import describe
from bayes_atlas.data.identifiability import findings
from bayes_atlas.data.runs import read_runs, runs_from_frame
from bayes_atlas.laws import data_constrained


def grid(params=(1e8, 4e8, 1.6e9), tokens=(2e9, 1e10, 5e10, 2e11), language="en", **columns):
    """Every size with every amount of data."""
    size, data = (values.ravel() for values in np.meshgrid(params, tokens))
    frame = pd.DataFrame({"params": size, "tokens": data, "language": language, "loss": 3.0, **columns})
    return frame.assign(run=[f"{language}{i}" for i in range(len(frame))])


def found(frame):
    return {finding.parameter: finding for finding in findings(runs_from_frame(frame))}


def repeated(rate, noise=0.003, epochs=(1, 2, 4, 8, 16, 32, 64), languages=("en",)):
    """Runs that follow the data-constrained law with R_D* = `rate`."""
    rng = np.random.default_rng(1)
    size, unique, epoch, language = (
        values.ravel()
        for values in np.meshgrid([1e8, 3e8, 1e9, 3e9], [3e8, 1e9, 4e9, 1.6e10], epochs, np.arange(len(languages)))
    )
    loss = data_constrained.loss(
        size, unique * epoch, unique, E=1.8, A=500, B=1500, alpha=0.35, beta=0.35, R_D=rate, R_N=5.3
    )
    frame = pd.DataFrame({"params": size, "tokens": unique * epoch, "unique": unique})
    loss = loss * (1 + 0.1 * language) * np.exp(noise * rng.standard_t(4, len(frame)))
    return frame.assign(loss=loss, language=np.array(languages)[language.astype(int)], run=np.arange(len(frame)))


def allowed(finding):
    lower, upper = finding.reason.split("from ")[1].split(" (")[0].split(" to ")
    return float(lower), float(upper)


def test_description_states_rows_runs_and_ranges():
    frame = pd.concat(
        [grid(unique=5e9), grid(language="sw", tokens=(1e9, 3e9), init="mt5", mixture="x")], ignore_index=True
    )
    frame["mixture"] = frame["mixture"].fillna("y")
    description = describe(runs_from_frame(frame, name="mine"))
    assert (description.name, description.sources) == ("mine", ["en", "sw"])
    assert description.total.rows == description.total.runs == 18
    assert description.by_language["en"].tokens == (2e9, 2e11)
    assert description.by_language["en"].epochs == (0.4, 40)
    assert description.by_language["sw"].epochs is None
    assert description.by_language["sw"].compute == (6e17, 6 * 1.6e9 * 3e9)
    assert description.init == {"mt5": 6, "scratch": 12}
    assert description.labels == {"mixture": {"x": 6, "y": 12}}


def test_description_is_json():
    content = describe(runs_from_frame(repeated(10))).to_dict()
    text = json.dumps(content, allow_nan=False)
    assert json.loads(text)["total"]["epochs"] == [1, 64]
    assert json.loads(text)["identified"][0]["parameter"] == "E"
    assert (
        json.loads(json.dumps(describe(runs_from_frame(grid())).to_dict(), allow_nan=False))["total"]["unique"] is None
    )


def test_a_full_grid_tells_size_data_and_the_constant():
    statuses = {name: finding.status for name, finding in found(grid()).items()}
    assert statuses == {
        "E": "yes",
        "alpha": "yes",
        "beta": "yes",
        "lam": "no",
        "R_N": "no",
        "tau": "no",
        "tau_other": "no",
        "phi": "no",
        "psi": "no",
    }


@pytest.mark.parametrize(
    ("frame", "parameter", "status", "reason"),
    [
        (grid(params=[1e8]), "alpha", "no", "every run has the same model size"),
        (grid(params=[1e8]), "E", "no", "finite size: every run has the same model size"),
        (grid(tokens=[1e9]), "beta", "no", "every run has the same amount of own tokens"),
        (grid(params=[1e8, 1.9e8, 1.5e8]), "alpha", "weak", "varies by at most a factor of 1.9"),
        (grid(params=[1e8, 1e9]), "alpha", "weak", "languages with at least 3 distinct levels: 0 of 1;"),
        (grid(tokens=[1e9, 1.5e9]), "beta", "weak", "varies by at most a factor of 1.5"),
        (grid(params=[1e8, 2e8, 4e8], tokens=[1e9, 2e9, 4e9]), "E", "weak", "compute spans up to a factor of 16"),
        (grid(params=[1e8, 1e10]), "E", "weak", "trades off against a weakly identified exponent"),
        (
            pd.concat([grid(params=[1e8]), grid(params=[1e9], language="sw")], ignore_index=True),
            "alpha",
            "no",
            "it varies only between languages",
        ),
    ],
)
def test_the_design_of_the_runs_decides(frame, parameter, status, reason):
    finding = found(frame)[parameter]
    assert (finding.status, reason in finding.reason) == (status, True), finding.reason


def test_sizes_grown_with_data_are_confounded():
    diagonal = grid().assign(params=lambda frame: frame["tokens"] / 20)
    for name in ("alpha", "beta"):
        assert (found(diagonal)[name].status, "are confounded" in found(diagonal)[name].reason) == ("weak", True)


def test_many_close_sizes_are_many_levels():
    dense = grid(params=np.geomspace(1e8, 1e10, 100))
    assert found(dense)["alpha"].status == "yes"


def test_a_few_languages_with_several_sizes_are_too_few():
    few = [grid(params=[1e8, 1e9], language=f"l{i}") for i in range(19)]
    alpha = found(pd.concat([*few, grid()], ignore_index=True))["alpha"]
    assert alpha.reason.startswith("languages with at least 3 distinct levels: 1 of 20;")


def mixtures(shares, names=("sw", "yo", "hi", "fr")):
    frame = grid().drop(columns="tokens").assign(**{"tokens.en": np.tile([1e9, 2e9, 4e9], 4)})
    cycle = np.resize(np.asarray(shares, dtype=float), (len(frame), len(names)))
    return frame.assign(**{f"tokens.{name}": frame["tokens.en"] * cycle[:, i] for i, name in enumerate(names)})


@pytest.mark.parametrize(
    ("shares", "tau", "tau_other"),
    [
        ([[0, 0, 0, 0]], "no", "no"),
        ([[1, 1, 1, 0]], "weak", "no"),
        ([[1, 1, 1, 1]], "weak", "weak"),
        ([[1, 1, 1, 0], [2, 1, 1, 0]], "weak", "no"),
        ([[1, 1, 1, 0], [2, 1, 1, 0], [1, 2, 1, 0], [1, 1, 2, 0]], "yes", "no"),
        ([[1, 1, 1, 0], [2, 1, 1, 0.1], [1, 2, 1, 0], [1, 1, 2, 0]], "yes", "yes"),
    ],
)
def test_transfer_needs_mixtures_that_vary(shares, tau, tau_other):
    result = found(mixtures(shares))
    assert (result["tau"].status, result["tau_other"].status) == (tau, tau_other)


@pytest.mark.parametrize(
    ("languages", "status", "reason"),
    [
        ([4], "no", "the same number of languages, 4"),
        ([4, 5], "weak", "4 to 5 languages"),
        ([1, 20], "yes", "1 to 20 languages"),
    ],
)
def test_capacity_needs_numbers_of_languages_that_vary(languages, status, reason):
    result = found(grid().assign(languages=lambda frame: np.resize(languages, len(frame))))
    for name in ("phi", "psi"):
        assert (result[name].status, reason in result[name].reason) == (status, True), result[name].reason


def test_capacity_of_a_size_term_that_cannot_be_told_is_weak():
    result = found(grid(params=[1e8]).assign(languages=[1, 4, 16, 64]))
    assert (result["phi"].status, result["psi"].status) == ("weak", "yes")


def test_without_repetition_or_with_constant_epochs_the_decay_is_not_told():
    assert found(grid(unique=1e12))["lam"].reason == "no row repeats its data"
    constant = found(grid().assign(unique=lambda frame: frame["tokens"] / 10))["lam"]
    assert (constant.status, constant.reason) == ("no", "every row has the same number of epochs, 10")


def test_repetition_of_other_sources_is_told_through_transfer_alone():
    frame = mixtures([[1, 1, 1, 0]]).assign(**{"unique.sw": 1e8})
    assert (found(frame)["lam"].status, found(frame)["R_N"].status) == ("weak", "no")
    assert "only through tau" in found(frame)["lam"].reason


def test_epochs_that_vary_only_between_languages_are_weak():
    frame = pd.concat([grid(), grid(language="sw").assign(unique=lambda rows: rows["tokens"] / 4)], ignore_index=True)
    assert (found(frame)["lam"].status, "vary between languages" in found(frame)["lam"].reason) == ("weak", True)


def test_too_few_runs_for_a_profile_are_weak():
    frame = grid(params=[1e8, 1e9], tokens=[1e9, 4e9], unique=1e9)
    assert "4 final checkpoints are too few for a profile with 7 unknowns" in found(frame)["lam"].reason


@pytest.mark.parametrize("rate", [4.0, 15.0])
def test_profile_of_a_good_design_is_narrow_and_holds_the_truth(rate):
    finding = found(repeated(rate))["lam"]
    assert finding.status == "yes"
    lower, upper = allowed(finding)
    assert lower < rate < upper < 1.3 * lower


def test_profile_is_open_upwards_where_repeated_data_is_as_good_as_new():
    finding = found(repeated(1e6, epochs=(1, 2, 4)))["lam"]
    assert (finding.status, "put no upper limit on R_D*" in finding.reason) == ("weak", True), finding.reason


def test_profile_of_noise_says_that_anything_goes():
    finding = found(repeated(15, noise=0.3, epochs=(1, 1.5)))["lam"]
    assert (finding.status, "the data allow any R_D*" in finding.reason) == ("no", True), finding.reason


def test_profile_of_exact_losses_is_a_point():
    finding = found(repeated(15, noise=0.0))["lam"]
    assert (finding.status, "best near 15;" in finding.reason) == ("yes", True), finding.reason
    lower, upper = allowed(finding)
    assert upper == pytest.approx(lower, rel=0.01)


def test_profile_of_a_large_table_is_quick_and_says_what_it_used():
    frame = repeated(10, languages=[f"l{i}" for i in range(20)])
    runs = runs_from_frame(frame)
    start = time.perf_counter()
    (finding,) = (finding for finding in findings(runs) if finding.parameter == "lam")
    assert time.perf_counter() - start < 6  # about two seconds on one free core
    assert finding.status == "yes"
    assert "profile on 400 of 2240 final checkpoints of runs from scratch, own tokens only, 4 of 20" in finding.reason
    assert findings(runs) == findings(runs)


def test_profile_takes_the_final_checkpoint_of_runs_from_scratch():
    frame = repeated(10)
    earlier = frame.assign(tokens=frame["tokens"] / 2, loss=9.0)
    continued = frame.assign(run=frame["run"] + 1000, init="mt5", loss=1.0)
    assert found(pd.concat([frame, earlier, continued], ignore_index=True))["lam"].reason.startswith(
        found(frame)["lam"].reason.split(" (")[0]
    )


def by_parameter(path):
    return {finding.parameter: finding for finding in findings(read_runs(path))}


def test_repetition_in_datablations_is_not_well_identified_upwards(data_folder):
    finding = by_parameter(data_folder / "datablations.csv")["lam"]
    assert (finding.status, "put no upper limit on R_D*" in finding.reason) == ("weak", True), finding.reason


@pytest.mark.parametrize(
    ("name", "parameter", "status", "reason"),
    [
        ("chinchilla", "alpha", "yes", "factor of 282"),
        ("chinchilla", "beta", "yes", "own tokens"),
        ("chinchilla", "E", "yes", "compute spans"),
        ("chinchilla", "lam", "no", "no row repeats its data"),
        ("goldfish", "lam", "no", "the same number of epochs, 10"),
        ("goldfish", "alpha", "weak", "languages with at least 3 distinct levels: "),
        ("marin_isoflop", "E", "weak", "compute spans up to a factor of 55.5"),
        ("marin_isoflop", "lam", "no", "no row repeats its data"),
        ("pretrain_vs_finetune_bytes", "alpha", "no", "every run has the same model size"),
        ("pretrain_vs_finetune_bytes", "lam", "no", "the data allow any"),
        ("slimpajama_mixtures", "tau", "yes", "unknown transfer weights of named sources: 7 of 7"),
        ("slimpajama_mixtures", "phi", "no", "the same number of languages, 7"),
    ],
)
def test_findings_on_real_tables(data_folder, name, parameter, status, reason):
    finding = by_parameter(data_folder / f"{name}.csv")[parameter]
    assert (finding.status, reason in finding.reason) == (status, True), finding.reason
