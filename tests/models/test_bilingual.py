"""The model of bilingual studies: its form, and scores that are recovered from runs with a known truth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro import handlers

from bayes_atlas import fit, runs_from_frame
from bayes_atlas.catalogue import load_model, read_model
from bayes_atlas.data.bilingual_design import bilingual_study
from bayes_atlas.decisions.transfer_scores import transfer_scores
from bayes_atlas.inference.staleness import is_stale
from bayes_atlas.laws import get_law
from bayes_atlas.observations.curves import arrange
from benchmarks.bilingual import ANCHOR, simulate_study


def test_it_samples_every_parameter_of_its_law_in_plates_of_target_and_partner():
    frame, _ = simulate_study(0, 3)
    module = load_model("bilingual")
    data = arrange(bilingual_study(runs_from_frame(frame)).runs, read_model("bilingual").covariates)
    with jax.enable_x64(True), handlers.trace() as trace, handlers.seed(rng_seed=0):
        module.model(**data.covariates, loss=jnp.asarray(data.loss))
    assert module.LAW == "bilingual"
    assert set(get_law("bilingual").PARAMETERS) <= set(trace)
    assert trace["worth"]["value"].shape == trace["floor"]["value"].shape == (3, 3)
    assert trace["log_loss"]["is_observed"]


@pytest.mark.slow
@pytest.mark.large
def test_a_study_with_bounds_gives_its_true_scores_back():
    """56 scores: of 90 % intervals 43 or more hold the truth, but for one in a thousand (binomial).

    Likewise of upper ends of 95 %, of which all but 9 of 56 should. Draws are few, so a floor on them is asked first.
    """
    frame, truth = simulate_study(1, 8)
    study = bilingual_study(runs_from_frame(frame))
    posterior = fit(study.runs, "bilingual", chains=2, warmup=450, draws=400)
    assert min(check.value for check in posterior.info.checks if check.name.startswith("ess_bulk")) > 100
    assert not is_stale(posterior)
    found = transfer_scores(posterior, study, [ANCHOR]).pairs
    names = posterior.info.languages
    true = np.array([truth[names.index(each.target), names.index(each.source)] for each in found])
    lower, upper = np.array([np.quantile(each.draws, [0.05, 0.95], method="closest_observation") for each in found]).T
    censored = np.array([each.censored for each in found])
    assert 5 < censored.sum() < 45
    assert (np.where(censored, True, lower <= true) & (true <= upper)).sum() >= 43
    assert (true <= upper).sum() >= 47
