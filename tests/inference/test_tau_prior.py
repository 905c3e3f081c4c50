import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpyro import handlers
from numpyro.infer.util import log_density

from bayes_atlas import fit
from bayes_atlas.catalogue import load_model
from bayes_atlas.data.runs import runs_from_frame
from bayes_atlas.errors import InputError
from bayes_atlas.inference.staleness import is_stale
from bayes_atlas.inference.tau_prior import tau_prior
from bayes_atlas.laws.atlas import tau_from_bts
from bayes_atlas.observations.curves import arrange
from bayes_atlas.observations.normal_prior import Prior
from bayes_atlas.posterior import Posterior, load_posterior


@pytest.fixture
def scores(tiny_posterior):
    """Scores of en, sw and fr; those of sw by its source en around .4."""

    def build(shift=0.0):
        draws = -0.2 + 0.1 * np.random.default_rng(0).normal(size=(1, 500, 3, 3)) + shift
        draws[..., 1, 0] += 0.6
        draws[..., range(3), range(3)] = np.nan
        names = ["en", "sw", "fr"]
        group = xr.Dataset(
            {"score": (("chain", "draw", "target", "source"), draws)}, {"target": names, "source": names}
        )
        info = tiny_posterior.info.model_copy(
            update={"law": "transfer", "languages": names}
            | {"sampling": tiny_posterior.info.sampling.model_copy(update={"chains": 1, "kept": 500})}
        )
        return Posterior(xr.DataTree.from_dict({"posterior": group}), info, "the scores")

    return build


@pytest.fixture(scope="module")
def runs():
    """Finished runs on en and sw together and on yo; single checkpoints."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(16):
        tokens = {f"tokens.{name}": 10 ** rng.uniform(9, 11) for name in ("en", "sw", "yo")}
        loss = 1.6 + 0.5 * 2 ** (-0.3 * (number % 4)) + 0.6 * (tokens["tokens.sw"] / 1e10) ** -0.3
        rows.append({"run": f"r{number}", "language": "sw", "params": 1e8 * 2 ** (number % 4), "loss": loss} | tokens)
    return runs_from_frame(pd.DataFrame(rows))


def test_the_prior_is_that_of_the_draws_of_tau(scores):
    found = tau_prior(scores(), {"sw": ["en", "yo"], "yo": ["en", ""], "sw:mono": ["fr", "sw"]})
    assert found.given.tolist() == [[True, False], [False, False], [True, False]]
    tau = tau_from_bts(scores().drawn("score")["score"][:, 1, 0])
    assert found.mean[0, 0] == pytest.approx(tau.mean())
    assert found.sd[0, 0] == pytest.approx(tau.std())
    assert (found.mean[1].tolist(), found.sd[1].tolist()) == ([0, 0], [1, 1])


def test_scores_of_another_kind_and_unknown_pairs_are_refused(scores, tiny_posterior):
    with pytest.raises(InputError, match=r"are not bilingual transfer scores, as some are above 1.0"):
        tau_prior(scores(shift=2.0), {"sw": ["en"]})
    with pytest.raises(InputError, match=r"no score of any named source \(hi->yo\).*as it does: en, sw, fr"):
        tau_prior(scores(), {"yo": ["hi"]})
    with pytest.raises(InputError, match=r"fits the law 'chinchilla' and has no 'score'"):
        tau_prior(tiny_posterior, {"sw": ["en"]})


def density(runs, **more):
    """Log density of `atlas` at a draw from its prior, and its covariates."""
    module = load_model("atlas")
    wanted = [name for name in inspect.signature(module.model).parameters if name != "loss"]
    data = arrange(runs, wanted, sources=2)
    covariates = data.covariates | {"loss": jnp.asarray(data.loss)}
    trace = handlers.trace(handlers.seed(module.model, jax.random.key(1))).get_trace(**covariates)
    latent = {
        name: site["value"] for name, site in trace.items() if site["type"] == "sample" and not site["is_observed"]
    }
    return float(log_density(module.model, (), covariates | more, latent)[0]), latent


def test_only_sources_with_a_prior_of_their_own_have_another_density(runs):
    with jax.enable_x64(True):
        plain, latent = density(runs)
        none = Prior(np.zeros((1, 2), bool), np.zeros((1, 2)), np.ones((1, 2)))
        assert density(runs, tau_prior=none)[0] == plain
        own = Prior(np.array([[True, False]]), np.array([[0.3, 0.0]]), np.array([[0.05, 1.0]]))
        tau, scale, location = (float(latent[name].reshape(-1)[0]) for name in ("tau", "tau_scale", "tau_location"))
        before = -(((tau - location) / scale) ** 2) / 2 - np.log(scale)
        after = -(((tau - 0.3) / 0.05) ** 2) / 2 - np.log(0.05)
        assert density(runs, tau_prior=own)[0] - plain == pytest.approx(after - before)


@pytest.mark.slow
@pytest.mark.large
def test_a_fit_takes_tau_from_scores_and_says_so(runs, scores, tmp_path):
    """Scores so sure that these few runs cannot overrule them; five standard errors of the mean."""
    sure = scores()
    sure.draws["posterior"]["score"] = (sure.draws["posterior"]["score"] - 0.4).fillna(0.0) * 0.01 + 0.4
    folder = tmp_path / "scores"
    sure.save(folder)
    posterior = fit(runs, "atlas", sources=2, tau_from=folder, chains=2, warmup=300, draws=300)
    assert posterior.info.tau_from == f"{folder} sha256:{load_posterior(folder).info.draws_sha256}"
    slot = posterior.info.sources["sw"].index("en")
    tau = posterior.parameters("sw")["tau"]
    assert tau[:, slot].mean() == pytest.approx(0.25, abs=0.02)
    assert tau[:, 1 - slot].std() > 5 * tau[:, slot].std()
    assert not is_stale(posterior)
    assert fit(runs, "atlas", sources=2, chains=1, warmup=150, draws=50).info.tau_from == ""
