"""The model of transfer scores, where some are only bounds."""

import jax
import numpy as np
import pandas as pd
import pytest
from numpyro.infer.util import log_density

from bayes_atlas import fit, scores_from_frame
from bayes_atlas.catalogue import load_model
from bayes_atlas.inference.staleness import is_stale
from bayes_atlas.observations.pairs import arrange_pairs, made_up_pairs

NAMES = ["en", "ru", "es", "fr", "de", "pt", "zh", "vi", "ja", "sw"]
BOUND = -0.3


def table(rng):
    """Scores with a known truth, measured with an error of .05 where above `BOUND`, else that bound."""
    receives, gives = rng.normal(-0.1, 0.3, len(NAMES)), rng.normal(0, 0.1, len(NAMES))
    rows = []
    for target, name in enumerate(NAMES):
        for source, other in enumerate(NAMES):
            if source != target:
                true = receives[target] + gives[source] + 0.05 * rng.normal()
                seen = true + 0.05 * rng.normal()
                row = {"source": other, "target": name, "true": true, "score": max(seen, BOUND), "error": 0.05}
                rows.append(row | {"censored": int(seen < BOUND)})
    return pd.DataFrame(rows)


def test_bounds_reach_the_model_and_none_leave_it_as_it_was():
    frame = table(np.random.default_rng(0))
    assert arrange_pairs(scores_from_frame(frame.drop(columns="censored"))).pairs.censored is None
    data = arrange_pairs(scores_from_frame(frame))
    assert data.pairs.censored.sum() == frame["censored"].sum()
    assert data.probe()["layout"] == {"distances": 0, "stated": 1, "censored": 1}


def test_made_up_bounds_are_among_what_was_observed():
    (plain, score), (bounded, same) = made_up_pairs(5, 0, 1), made_up_pairs(5, 0, 1, 1)
    np.testing.assert_array_equal(score, same)
    np.testing.assert_array_equal(plain.observed, bounded.observed)
    assert (bounded.censored <= bounded.observed).all()
    assert 0 < bounded.censored.sum() < bounded.observed.sum()
    module = load_model("transfer")
    with jax.enable_x64(True), jax.debug_nans(True):
        sites = {"level": 0.0, "script": 0.0, "genus": 0.0, "family": 0.0, "reciprocity": 0.1}
        sites |= {"receives_scale": 0.3, "gives_scale": 0.1, "spread_location": -2.0, "spread_scale": 0.3}
        sites |= {"receives": np.zeros(5), "spread": np.full(5, 0.1), "gives": np.zeros(5)}
        value, _ = log_density(module.model, (bounded, score), {}, sites)
    assert np.isfinite(value)


@pytest.mark.slow
@pytest.mark.large
def test_scores_below_their_bound_are_told_by_the_rest():
    """True scores inside 90 % intervals: of 90, 71 or more but for one in a thousand (binomial)."""
    frame = table(np.random.default_rng(4))
    assert 15 < frame["censored"].sum() < 60
    posterior = fit(scores_from_frame(frame.drop(columns="true")), "transfer", chains=2, warmup=300, draws=300)
    score = posterior.drawn("score")["score"]
    names = posterior.info.languages
    at = [
        (names.index(target), names.index(source))
        for target, source in zip(frame["target"], frame["source"], strict=True)
    ]
    draws = np.stack([score[:, target, source] for target, source in at], axis=-1)
    lower, upper = np.quantile(draws, [0.05, 0.95], axis=0)
    inside = (lower <= frame["true"]) & (frame["true"] <= upper)
    assert inside.sum() >= 71
    censored = frame["censored"] == 1
    # Bounds taken for scores would leave the mean of these near the bound; that of the draws holds the truth.
    assert frame["true"][censored].mean() < BOUND - 0.1
    least, most = np.quantile(draws[:, censored].mean(axis=1), [0.0005, 0.9995])
    assert least < frame["true"][censored].mean() < most < BOUND
    assert not is_stale(posterior)
