"""Tests of doubtful run tables: each kind of mistake is found, and sound tables of all shapes raise no doubt."""

from inspect import getmembers, isfunction

import numpy as np
import pandas as pd
import pytest

from bayes_atlas.data import plausibility
from bayes_atlas.data.plausibility import doubts
from bayes_atlas.data.runs import RunTableError, read_runs, runs_from_frame

BITS = 1 / np.log(2)


def sound(sizes=(5e7, 2e8, 8e8, 3e9), tokens=(1e9, 4e9, 1.6e10, 6e10, 2e11), seed=0):
    """Runs on a grid of sizes and tokens, with losses of a law and noise of 0.3 %."""
    rng = np.random.default_rng(seed)
    n, d = (axis.ravel() for axis in np.meshgrid(sizes, tokens, indexing="ij"))
    loss = (1.8 + 482 / n**0.348 + 2085 / d**0.366) * np.exp(0.003 * rng.normal(size=n.size))
    names = [f"r{index}" for index in range(n.size)]
    return pd.DataFrame({"run": names, "language": "en", "params": n, "tokens": d, "loss": loss})


def rows(frame, where, **changes):
    """The frame with columns multiplied in the rows `where`."""
    frame = frame.copy()
    for column, factor in changes.items():
        frame.loc[where, column] *= factor
    return frame


def shuffled(frame):
    return frame.assign(loss=np.random.default_rng(3).permutation(frame["loss"]))


def in_shares(whole):
    return sound().drop(columns="tokens").assign(**{"tokens.en": 0.75 * whole, "tokens.sw": 0.25 * whole})


def replicated(ratio):
    again = sound().assign(run=lambda frame: frame["run"] + "b", loss=lambda frame: frame["loss"] * ratio)
    return pd.concat([sound(), again], ignore_index=True)


def with_checkpoints(frame, runs):
    """The frame with a row at half the tokens of the first `runs` runs, at a loss that is 1 % higher."""
    half = frame[:runs].assign(tokens=frame["tokens"] / 2, loss=frame["loss"] * 1.01)
    return pd.concat([frame, half], ignore_index=True)


SOUND, TAIL = sound(), slice(15, None)

REFUSED = [
    ("rows in billions", rows(SOUND, TAIL, tokens=1e-9), "times smaller or larger than all others"),
    ("all in billions", rows(SOUND, slice(None), params=1e-9), "must be at least 1 and at most 1e+18"),
    ("shares", in_shares(1.0), "multiply it by the run's tokens"),
    ("shares in per cent", in_shares(100.0), "sum to 100 in every row, so they are shares"),
    ("unique as share", SOUND.assign(unique=0.5), "give unique tokens as a count"),
    ("run is seed", SOUND.assign(run=[f"seed{index % 2}" for index in range(20)]), "a run has one size"),
    ("overflowing sizes", rows(SOUND, TAIL, params=1e160, tokens=1e160), "at most 1e+18"),
    ("tiny losses", rows(SOUND, TAIL, loss=1e-100), "must be from 1e-06 to 1e+06"),
    ("compute overflows", SOUND.assign(compute=1e200), "must be from 1e-12 to 1e+40"),
    ("letter case", SOUND.assign(language=["en", "EN"] * 10), "differ only in upper and lower case"),
    ("zero width", SOUND.assign(language=["en", "en\u200b"] * 10), "zero-width characters"),
    ("escape sequence", SOUND.assign(run=SOUND["run"] + "\x1b[2J"), "control characters"),
    ("bidirectional override", SOUND.assign(language="\u202een"), "zero-width characters"),
    ("control in a header", SOUND.assign(**{"note\x07": 1}), "control characters"),
]

DOUBTED = [
    ("rows in thousands", rows(SOUND, TAIL, tokens=1e-3), "loss", "the losses of en follow no law"),
    ("rows in millions", rows(SOUND, SOUND["tokens"] > 1e11, tokens=1e-6), "tokens", "times smaller or larger"),
    ("steps for tokens", rows(SOUND, slice(None), tokens=1 / 2e6), "tokens", "training tokens per parameter"),
    ("epochs for tokens", SOUND.assign(tokens=[1.0, 2, 3, 4, 5] * 4), "tokens", "training tokens per parameter"),
    ("params in millions", rows(SOUND, slice(None), params=1e-6), "tokens", "training tokens per parameter"),
    ("epochs for unique", SOUND.assign(unique=4.0), "unique", "repeats its unique tokens more than 1,000 times"),
    ("N and D swapped", SOUND.rename(columns={"params": "tokens", "tokens": "params"}), "tokens", "not swapped"),
    ("exaflops", SOUND.assign(compute=6e-18 * SOUND["params"] * SOUND["tokens"]), "compute", "compute is 1e-18 times"),
    ("accuracy", SOUND.assign(loss=1 / SOUND["loss"]), "loss", "rises with size and tokens"),
    ("constant losses", SOUND.assign(loss=3.0), "loss", "every row has the same loss"),
    ("shuffled", shuffled(SOUND), "loss", "hardly depends on size and tokens"),
    ("a run in bits", rows(SOUND, [7, 13], loss=BITS), "loss", "as bits and nats do"),
    ("half in bits", rows(SOUND, slice(0, 20, 2), loss=BITS), "loss", "the losses of en follow no law"),
    ("replicates disagree", replicated(1.2), "loss", "differ by up to 2"),
    ("stages mixed", with_checkpoints(SOUND, 8), "tokens", "some runs of en have checkpoints and others"),
]


@pytest.mark.parametrize(("frame", "rule"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_cannot_be_meant_is_refused(frame, rule):
    with pytest.raises(RunTableError) as caught:
        runs_from_frame(frame)
    assert rule in str(caught.value)
    assert "next: " in str(caught.value)


@pytest.mark.parametrize(("frame", "column", "words"), [c[1:] for c in DOUBTED], ids=[case[0] for case in DOUBTED])
def test_what_is_rarely_meant_is_doubted(frame, column, words):
    found = doubts(runs_from_frame(frame))
    assert any(words in str(doubt) for doubt in found), found
    assert column in {doubt.column for doubt in found}
    for doubt in found:
        assert doubt.advice
        assert set(doubt.rows) <= set(range(1, len(frame) + 1))
        assert len(doubt.rows) == len(doubt.values) > 0


def test_the_rows_of_a_doubt_are_those_changed():
    (doubt,) = doubts(runs_from_frame(rows(SOUND, [7, 13], loss=BITS)))
    assert doubt.rows == [8, 14]


@pytest.mark.parametrize("seed", range(20))
def test_sound_tables_raise_no_doubt(seed):
    assert doubts(runs_from_frame(sound(seed=seed))) == []


def test_replicates_that_differ_by_noise_raise_no_doubt():
    assert doubts(runs_from_frame(replicated(1.01))) == []


def test_one_row_raises_no_doubt():
    assert doubts(runs_from_frame(SOUND[:1])) == []


def test_checkpoints_rounded_to_one_size_are_one_run():
    run = SOUND[:5].assign(run="a", params=[5e7, 5.01e7, 5e7, 5e7, 4.99e7])
    assert doubts(runs_from_frame(run)) == []


def test_checkpoints_of_all_runs_raise_no_doubt():
    assert not doubts(runs_from_frame(with_checkpoints(sound(), 20)))


def test_names_in_two_normal_forms_are_one_language():
    frame = SOUND.assign(language=["\u00e9", "e\u0301"] * 10)
    assert set(runs_from_frame(frame)["language"].to_numpy()) == {"\u00e9"}


def test_every_test_stands_in_one_list():
    written = {name for name, each in getmembers(plausibility, isfunction) if each.__module__ == plausibility.__name__}
    tests = {name for name in written if not name.startswith("_")} - {"doubts", "refusals"}
    assert tests == {test.__name__ for test in (*plausibility.REFUSED, *plausibility.DOUBTED)}


# Warnings on public tables, each with its reason. A new one is a false alarm until somebody gives the reason.
PUBLIC = {
    "chinchilla.csv": {2},  # c001, one of the five points that its readers mark as outliers
    "datablations.csv": {62, 98},  # seeds of one run of 44 epochs; 2.8B parameters on 100M tokens
    "misfitting_all_lr.csv": {16},  # every learning rate of a size, good and bad
    "mix3_sizes.csv": {1},  # one size has finished runs, the others have checkpoints
    "regmix_small.csv": {942, 395},  # mixtures: the quick law ignores what other sources teach
    "steplaw_all_hyperparameters.csv": {1, 374},  # every learning rate and batch, failed runs among them
}


def test_public_tables_pass_with_no_other_warnings(data_folder):
    broken = {"mix3_410M_with_zero_shares.csv", "transfer_bytes_src600M_10ep.csv"}  # no tokens; a score table
    for path in sorted(set(data_folder.glob("*.csv")) - {data_folder / name for name in broken}):
        first = {doubt.rows[0] for doubt in doubts(read_runs(path))}
        assert first == PUBLIC.get(path.name, set()), path.name
