import numpy as np
import pandas as pd
import pytest

from bayes_atlas.data.bilingual_design import bilingual_study
from bayes_atlas.data.runs import runs_from_frame
from bayes_atlas.errors import InputError
from bayes_atlas.observations.curves import PARTNER, arrange


def row(run, language, params=1e9, loss=2.0, init="", vocabulary="multi", **tokens):
    named = {f"tokens.{name}": tokens.get(name, 0.0) for name in ("en", "sw", "fr")}
    return (
        {"run": run, "language": language, "params": params, "loss": loss, "init": init}
        | named
        | {"vocabulary": vocabulary}
    )


ROWS = [
    row("en", "en", en=1e10),
    row("sw", "sw", sw=1e10),
    row("en-sw", "en", en=1e10, sw=1e10),
    row("en-sw", "sw", en=1e10, sw=1e10),
]


def table(*more, rows=ROWS):
    return runs_from_frame(pd.DataFrame([*rows, *more]))


def test_runs_alone_and_half_and_half_are_chosen_and_the_rest_is_counted():
    others = [
        row("en-fr", "en", en=1e10, fr=3e10),
        row("all", "en", en=1e10, sw=1e10, fr=1e10),
        row("small", "en", params=1e8, en=1e10),
        row("tuned", "en", init="unimax", en=1e10),
        row("other", "en", vocabulary="mono", en=1e10),
        row("fr", "fr", fr=1e10),
    ]
    study = bilingual_study(table(*others))
    assert sorted(set(study.runs["run"].values.tolist())) == ["en", "en-sw", "sw"]
    assert study.params == 1e9
    assert study.left_out == {
        "started from a checkpoint": 1,
        "trained on neither one language alone nor two in equal parts": 2,
        "had another model size": 1,
        "used another vocabulary": 1,
        "had no run to compare with": 1,
    }


def test_of_several_sizes_one_has_to_be_chosen():
    small = [each | {"run": f"small-{each['run']}", "params": 1e8} for each in ROWS]
    with pytest.raises(
        InputError, match=r"have several model sizes, and a score compares runs of one; choose params: 1e\+08, 1e\+09"
    ):
        bilingual_study(table(*small))
    assert bilingual_study(table(*small), params=1.01e8).runs.sizes["row"] == 4


@pytest.mark.parametrize(
    ("rows", "asked", "message"),
    [
        (ROWS[:2], {}, r"no 50/50 bilingual run from scratch; give the tokens of both"),
        (ROWS, {"params": 5e9}, r"params is 5e\+09; no 50/50 bilingual run has that size; choose one of: 1e\+09"),
        (ROWS[2:], {}, r"no language with both a monolingual and a 50/50 bilingual run at 1e\+09 parameters"),
        (
            [*ROWS, row("again", "en", vocabulary="mono", en=2e10, sw=2e10)],
            {},
            r"several vocabularies \('mono', 'multi'\)",
        ),
    ],
)
def test_what_cannot_be_compared_says_why(rows, asked, message):
    with pytest.raises(InputError, match=message):
        bilingual_study(table(rows=rows), **asked)


def test_partners_are_the_sources_of_a_study():
    data = arrange(bilingual_study(table()).runs, ["tokens", PARTNER, "curves"])
    assert data.sources == {"en": ["en", "sw"], "sw": ["en", "sw"]}
    with_partner = {run: data.covariates[PARTNER][place, 0].tolist() for place, run in enumerate(data.coords["run"])}
    assert with_partner == {"en:en": [0, 0], "sw:sw": [0, 0], "en-sw:en": [0, 1], "en-sw:sw": [1, 0]}


def test_other_mixtures_and_studies_without_partners_are_refused():
    with pytest.raises(
        InputError, match=r"equal parts, and runs has 1 row of another mixture; select .*bilingual_study"
    ):
        arrange(table(row("all", "en", en=1e10, sw=1e10, fr=1e10)), ["tokens", PARTNER, "curves"])
    with pytest.raises(InputError, match=r"has no run on two languages in equal parts"):
        arrange(table(rows=ROWS[:2]), ["tokens", PARTNER, "curves"])


def test_tokens_may_differ_by_rounding():
    rounded = [row("en", "en", en=1e10), row("en-sw", "en", en=1e10, sw=1.01e10)]
    study = bilingual_study(table(rows=rounded))
    assert np.unique(study.runs["run"]).tolist() == ["en", "en-sw"]
