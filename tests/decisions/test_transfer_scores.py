import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayes_atlas.data.bilingual_design import bilingual_study
from bayes_atlas.data.runs import runs_from_frame
from bayes_atlas.data.transfer_scores import scores_from_frame
from bayes_atlas.decisions.transfer_scores import check_anchors, transfer_scores
from bayes_atlas.errors import InputError
from bayes_atlas.laws import bilingual as law
from bayes_atlas.posterior import Posterior

DRAWS = 400
NAMES = ["en", "sw", "fr"]
ALONE = {"E": 1.6, "B": 0.6, "beta": 0.35}
WORTH = np.array([[1, 1.3, 1.1], [1.6, 1, 0.5], [1.1, 1.2, 1]])  # (target, source)
UNIT = 1e10
ANCHOR = 2e10


def study_of(last=4e10, done=1.0, **columns):
    """Runs of every language alone and of every pair, eight checkpoints each; `done` of runs alone is kept."""
    rows = []
    for target, name in enumerate(NAMES):
        for source, other in enumerate(NAMES):
            steps = np.arange(1, 9) / 8
            alone = source == target
            own = last * steps[steps <= done] if alone else last * steps / 2
            loss = law.loss(own / UNIT, worth=WORTH[target, source], **ALONE)
            for place, (count, value) in enumerate(zip(own, loss, strict=True)):
                tokens = {f"tokens.{key}": count if key in (name, other) else 0.0 for key in NAMES}
                label = name if alone else "-".join(sorted((name, other)))
                rows.append({"run": label, "language": name, "params": 1e9, "loss": value, "place": place} | tokens)
    frame = pd.DataFrame(rows).drop(columns="place").assign(**columns)
    return frame


@pytest.fixture
def posterior(tiny_posterior):
    def build(runs, sd=0.01):
        rng = np.random.default_rng(0)
        sites = {name: (("language",), np.full((DRAWS, 3), value)) for name, value in ALONE.items()}
        sites["worth"] = (("language", "source"), WORTH * np.exp(sd * rng.normal(size=(DRAWS, 3, 3))))
        sites["floor"] = (("language", "source"), np.ones((DRAWS, 3, 3)))
        arrays = {name: (("chain", "draw", *dims), values[None]) for name, (dims, values) in sites.items()}
        coords = {"language": NAMES, "source": ["1", "2", "3"]}
        info = tiny_posterior.info.model_copy(
            update={
                "law": "bilingual",
                "model": "bilingual",
                "languages": NAMES,
                "sources": {name: NAMES for name in NAMES},
                "references": {name: {"params": 1e9, "tokens": UNIT} for name in NAMES},
                "runs": tiny_posterior.info.runs.model_copy(update={"sha256": runs.attrs["sha256"]}),
            }
        )
        tree = xr.DataTree.from_dict({"posterior": xr.Dataset(arrays, coords)})
        return Posterior(tree, info, "this posterior")

    return build


@pytest.fixture
def found(posterior):
    def score(frame, anchors=(ANCHOR,), **options):
        study = bilingual_study(runs_from_frame(frame))
        return transfer_scores(posterior(study.runs), study, list(anchors), **options)

    return score


def by_pair(scores):
    return {(each.source, each.target): each for each in scores.pairs}


def test_scores_are_those_of_the_worths(found):
    scores = by_pair(found(study_of(), seeds=0.0))
    assert len(scores) == 6
    assert scores["sw", "en"].score == pytest.approx(2 - 2 / 1.3, abs=0.01)
    assert scores["en", "sw"].score == pytest.approx(2 - 2 / 1.6, abs=0.01)
    # The score's error: 2 / worth times the relative error of worth.
    assert scores["sw", "en"].error == pytest.approx(0.01 * 2 / 1.3, rel=0.2)


def test_what_is_never_reached_is_a_bound(found):
    """With a worth of .5 it takes 8e10 tokens in all, and there are 4e10."""
    scores = by_pair(found(study_of(), seeds=0.0))
    lost = scores["fr", "sw"]
    assert lost.censored
    assert lost.score == lost.bound == 2 - 4e10 / ANCHOR
    assert lost.probability_reached == 0
    assert lost.to_dict()["lower"] is None
    assert not scores["sw", "en"].censored


def test_luck_of_seeds_widens_the_score(found):
    none, some = (by_pair(found(study_of(), seeds=seeds))["sw", "en"].error for seeds in (0.0, 0.005))
    assert some > 2 * none


def test_scores_at_several_anchors_are_a_curve(found):
    scores = found(study_of(), anchors=[1e10, 2e10])
    assert [len(scores.at(anchor)) for anchor in (1e10, 2e10)] == [6, 6]
    with pytest.raises(InputError, match=r"scores at 1e\+10, 2e\+10 tokens, and a score table has one per pair"):
        scores.table()
    assert json.loads(json.dumps(scores.to_dict(), allow_nan=False))["scores"][0]["anchor"] == 1e10


def test_the_table_is_a_score_table(found):
    scores = scores_from_frame(found(study_of()).table())
    assert float(scores["error"].sel(target="en", source="sw")) > 0
    assert bool(scores["censored"].sel(target="sw", source="fr"))
    assert int(scores["censored"].sum()) == 1


def test_a_study_like_others_has_a_note_on_its_bounds_alone(found):
    (note,) = found(study_of()).notes
    assert note == "fr->sw never reach the loss in their tokens: only a bound is known"


def test_a_finished_run_against_one_halfway_is_said_to_fake_transfer(found):
    notes = found(study_of(done=0.5)).notes
    assert any("at different learning rates, which mimics transfer" in note for note in notes)


def test_learning_rates_go_before_the_part_of_the_run(found):
    frame = study_of(done=0.5)
    assert not any("learning rates" in note for note in found(frame.assign(learning_rate=1e-3)).notes)
    alone = frame["run"].isin(NAMES)
    notes = found(study_of().assign(learning_rate=np.where(study_of()["run"].isin(NAMES), 1e-3, 1e-5))).notes
    assert alone.any()
    assert any("learning rates" in note for note in notes)


def test_failed_runs_are_named(found):
    frame = study_of()
    last = frame[(frame["run"] == "en-sw") & (frame["language"] == "en")].index[-1]
    frame.loc[last, "loss"] *= 1.2
    assert any(note.startswith("en-sw end well above their best loss") for note in found(frame).notes)


def test_repeated_data_and_early_anchors_are_noted(found):
    frame = study_of(**{"unique.sw": 1e10})
    assert any(note.startswith("sw repeat data") for note in found(frame).notes)
    assert any("training has hardly begun" in note for note in found(study_of(), anchors=[1e6]).notes)


def test_targets_whose_run_alone_is_too_short_are_named(found):
    frame = study_of()
    short = (frame["run"] == "sw") & (frame["tokens.sw"] > 1e10)
    scores = found(frame[~short])
    assert {each.target for each in scores.pairs} == {"en", "fr"}
    assert any(note.startswith("sw have no monolingual run as long as the anchor") for note in scores.notes)


@pytest.mark.parametrize(
    ("anchors", "message"),
    [
        ([], r"there is no anchor"),
        ([-1.0], r"anchor is -1.0; it must be a positive number, such as 42e9"),
        ([1e12], r"anchor is 1e\+12, but no monolingual run has more than 4e\+10 tokens"),
    ],
)
def test_anchors_out_of_range_are_refused(anchors, message):
    with pytest.raises(InputError, match=message):
        check_anchors(bilingual_study(runs_from_frame(study_of())).runs, anchors)


def test_what_does_not_belong_together_is_refused(posterior, tiny_posterior):
    study, others = (bilingual_study(runs_from_frame(study_of(last=last))) for last in (4e10, 5e10))
    with pytest.raises(InputError, match=r"fits the law 'chinchilla'; give a posterior of the model bilingual"):
        transfer_scores(tiny_posterior, study, [ANCHOR])
    with pytest.raises(InputError, match=r"was fitted to hand.csv; give these runs"):
        transfer_scores(posterior(study.runs), others, [ANCHOR])
    with pytest.raises(InputError, match=r"seeds is -1.0; it must be at least 0"):
        transfer_scores(posterior(study.runs), study, [ANCHOR], seeds=-1.0)


def test_scores_keep_what_every_decision_promises(found, keeps_its_promises):
    scores = found(study_of(), anchors=[1e10, 2e10])
    info = scores.posterior.info
    named = info.model_copy(update={"runs": info.runs.model_copy(update={"name": "<mine>"})})
    scores = replace(scores, posterior=replace(scores.posterior, info=named), left_out={"had another model size": 3})
    keeps_its_promises(scores, {"score": ("draw", "pair")})
    for name in ("source", "target", "anchor"):
        assert scores.draws[name].to_numpy().tolist() == [getattr(pair, name) for pair in scores.pairs]
    assert scores.draws["anchor"].attrs["units"] == "tokens"
    np.testing.assert_array_equal(scores.draws["score"][:, 1], scores.pairs[1].draws)
    document = scores.to_dict(0.8)
    assert document["scores"] == [pair.to_dict(0.8) for pair in scores.pairs]
    assert (document["params"], document["anchors"]) == (1e9, [1e10, 2e10])
    assert (document["left_out"], document["table"]) == ({"had another model size": 3}, None)


def test_scores_of_no_pair_have_no_draws_and_no_rows(found):
    scores = replace(found(study_of()), pairs=[])
    assert scores.draws["score"].shape == (DRAWS, 0)
    assert scores.rows() == []
    assert "transfer scores at 1B parameters" in repr(scores)


def test_saved_scores_know_their_place(found, tmp_path):
    scores = found(study_of()).save(tmp_path / "scores.csv")
    assert scores.to_dict()["table"] == str(tmp_path / "scores.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "scores.csv"), scores.table())
    with pytest.raises(InputError, match=r"cannot write scores to 'scores\.txt'; end its name in \.csv"):
        scores.save(tmp_path / "scores.txt")
