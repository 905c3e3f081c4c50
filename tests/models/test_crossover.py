"""The model of learning curves from scratch and from checkpoints finds what was planted."""

import numpy as np
import pandas as pd
import pytest

from bayes_atlas import find_crossover, fit
from bayes_atlas.data.runs import runs_from_frame
from bayes_atlas.decisions.crossover import outlying
from bayes_atlas.laws import crossover as law

LANGUAGES = {"de": 0.60, "es": 0.55, "fr": 0.65, "hi": 0.50}  # their E
CHECKPOINTS = {"en": (1.5e9, 5e9), "ru": (1e9, 1e13)}  # what each transfers at one unit, and its limit
SHARED = {"B": 0.35, "alpha": 0.3, "beta": 0.4, "lam": 0.0}
SLOW = {"late": 0.6, "onset": 0.15, "steep": 4.0}
UNIT, DELTA, NOISE = 1e9, 0.4, 0.01
BUDGETS = np.geomspace(5e7, 5e10, 8)
FAILED = "es_scratch_7"


def _loss(language: str, start: str, params: float, tokens: float) -> float:
    """The law with tokens in units of `UNIT` and sizes in units of 1e8."""
    terms = SHARED | {"E": LANGUAGES[language], "A": 0.15}
    if start == "scratch":
        terms |= SLOW
    else:
        worth, limit = CHECKPOINTS[start]
        terms |= {"D_0": worth / UNIT, "delta": DELTA, "limit": limit / UNIT}
    return float(law.loss(params / 1e8, tokens / UNIT, **terms))


def _crossing(language: str, start: str) -> float:
    grid = np.geomspace(5e8, 5e10, 20_001)
    behind = [_loss(language, start, 1e8, tokens) > _loss(language, "scratch", 1e8, tokens) for tokens in grid]
    return float(grid[np.argmax(behind)])


def planted(sizes: tuple[float, ...], *, without: str | None = None):
    rng = np.random.default_rng(0)
    rows = []
    for language in LANGUAGES:
        for start in ("scratch", *CHECKPOINTS):
            for step, tokens in enumerate(BUDGETS):
                params = sizes[step % len(sizes)]
                name = f"{language}_{start}_{step}"
                loss = _loss(language, start, params, tokens) * np.exp(NOISE * rng.normal())
                failed = 1.3 if name == FAILED else 1.0
                rows.append((name, language, start, params, tokens, failed * loss))
    frame = pd.DataFrame(rows, columns=["run", "language", "init", "params", "tokens", "loss"])
    return runs_from_frame(frame[frame["run"] != without])


@pytest.fixture(scope="module")
def fitted():
    return fit(planted((1e8,)), "crossover", warmup=1000, draws=5000, seed=1)  # `steep` has a long tail


@pytest.mark.slow
@pytest.mark.large
def test_planted_crossovers_are_recovered(fitted):
    """Three of four inside their 99 % intervals; were these independent, it would fail with probability .0006."""
    assert not fitted.failed_checks
    inside = []
    for language in LANGUAGES:
        found = find_crossover(fitted, params=1e8, language=language, checkpoint="en")
        lower, upper = np.quantile(found.tokens, [0.005, 0.995])
        inside.append(lower < _crossing(language, "en") < upper)
        assert (
            find_crossover(fitted, params=1e8, language=language, checkpoint="ru", tokens=2e10).choice == "checkpoint"
        )
    assert sum(inside) >= 3


@pytest.mark.slow
@pytest.mark.large
def test_a_failed_run_is_flagged_and_moves_nothing(fitted):
    assert [name.split(":")[0] for name in outlying(fitted)] == [FAILED]
    without = fit(planted((1e8,), without=FAILED), "crossover", warmup=1000, draws=1500)
    for language in LANGUAGES:
        kept, left = (posterior.parameters(language) for posterior in (fitted, without))
        for name in ("E", "beta", "late"):
            assert abs(kept[name].mean() - left[name].mean()) < left[name].std()


@pytest.mark.slow
@pytest.mark.large
def test_a_table_of_several_sizes_tells_the_exponent_of_size():
    posterior = fit(planted((2.5e7, 1e8, 4e8)), "crossover", warmup=1000, draws=1000)
    narrow = posterior.parameters("de")["alpha"]
    prior = posterior.draws["prior"]["alpha"].to_numpy()
    assert np.log(narrow).std() < 0.8 * np.log(prior).std()
