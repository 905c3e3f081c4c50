"""The stack: a weighted mixture of several models' predictive distributions (Yao et al. 2018).

Weights are chosen on rows that no model was fitted to and that do not score the stack: in `validate` an inner hold-out
of the fitted rows, in `leave_one_out` the left-out runs, where the stack itself is not scored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.special import logsumexp

from bayes_atlas.arrays import Floats, Rng
from bayes_atlas.errors import InputError
from bayes_atlas.posterior import Posterior
from bayes_atlas.validation.predict import Prediction, predict

SUM = 1e-6  # tolerance of the sum of weights, which is 1


@dataclass(frozen=True)
class Stack:
    """Predictive distributions of loss, a mixture of several models for each row."""

    predictions: Sequence[Prediction]  # of the same rows, one per model
    weights: Floats  # (row, model), or (1, model) if all rows have the same weights

    def draw(self, rng: Rng, least: int = 2000) -> Floats:
        """Draw losses ``(row, draw)``, from each model in proportion to its weight, as far as whole draws allow."""
        each = [prediction.draw(rng, least) for prediction in self.predictions]
        count = min(draws.shape[1] for draws in each)
        share = (np.arange(count) + 0.5) / count
        upper = np.cumsum(self.weights, axis=1)
        model = sum(share > upper[:, [index]] for index in range(len(each) - 1))  # (row, draw), or (1, draw)
        drawn = np.empty((len(each[0]), count))
        for index, draws in enumerate(each):
            some = rng.choice(draws, count, replace=False, axis=1)
            drawn = np.where(model == index, some, drawn)
        return drawn

    def log_density(self, loss: Floats) -> Floats:
        """Return the log of the weighted sum of predictive densities of runs at `loss` ``(row,)``, per unit of loss.

        As in `Prediction.log_density`, each row's is given the rows of its run before it.
        """
        each = np.stack([prediction.log_density(loss) for prediction in self.predictions], axis=1)
        together = self.predictions[0].together
        if together is None:
            return np.asarray(logsumexp(each, axis=1, b=self.weights))
        return together.apart(logsumexp(together.of_run(each), axis=1, b=self.weights))


def predict_stack(
    posteriors: Mapping[str, Posterior],
    weights: Mapping[str, float],
    rows: xr.Dataset,
    fitted: xr.Dataset,
    *,
    seed: int = 0,
) -> Stack:
    """Predict the losses of `rows` with several models at once, with the errors of their laws.

    Args:
        posteriors: posterior of each model, all fitted to the same table.
        weights: weight of each model, at least 0 and with sum 1, such as those of `leave_one_out`. Those of a
            `Validation` work too if it has no point fits, which have no posterior.
        rows, fitted, seed: see `predict`.

    Raises:
        InputError: see `predict`; also if the weights are not shares, or belong to other models.
    """
    if set(weights) != set(posteriors):
        odd = sorted({*weights} ^ {*posteriors})
        raise InputError(f"{odd[0]} has a weight or a posterior, but not both; give every model of a stack both")
    shares = np.array([[weights[name] for name in posteriors]])
    if not (shares >= 0).all() or abs(shares.sum() - 1) > SUM:
        raise InputError(f"the weights {dict(weights)} are not shares; give weights of at least 0 with sum 1")
    return Stack([predict(posterior, rows, fitted, seed=seed) for posterior in posteriors.values()], shares)
