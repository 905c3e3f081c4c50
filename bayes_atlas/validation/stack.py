"""The stack: a mixture of several models' predictive distributions, by weight (Yao et al. 2018).

Its weights are best chosen where models are scored (`bayes_atlas.validation.proper_scores.stacking_weights`), and then
these scores are none of the stack: it was made to fit them. `crossed_weights` gives every run weights that it had no
part in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import logsumexp

from bayes_atlas.arrays import Floats, Rng
from bayes_atlas.errors import InputError
from bayes_atlas.posterior import Posterior
from bayes_atlas.validation.predict import Prediction, predict
from bayes_atlas.validation.proper_scores import stacking_weights

SUM = 1e-6  # by how much weights may miss 1


@dataclass(frozen=True)
class Stack:
    """Predictive distributions of loss that are mixtures, one for each row."""

    predictions: Sequence[Prediction]  # of the same rows, by model
    weights: Floats  # (row, model), or (1, model) where all rows have the same

    def draw(self, rng: Rng, least: int = 2000) -> Floats:
        """Losses ``(row, draw)``: each model's in proportion to its weight, as far as whole draws allow."""
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
        """Log predictive density of `loss` ``(row,)``, per unit of loss: that of the weighted sum of densities."""
        each = np.stack([prediction.log_density(loss) for prediction in self.predictions], axis=1)
        return np.asarray(logsumexp(each, axis=1, b=self.weights))


def predict_stack(
    posteriors: Mapping[str, Posterior],
    weights: Mapping[str, float],
    rows: xr.Dataset,
    fitted: xr.Dataset,
    *,
    seed: int = 0,
) -> Stack:
    """The predictive of the losses of `rows` by several models at once, whose intervals hold if the laws do.

    Errors of the laws beyond what was fitted (`bayes_atlas.validation.law_error_beyond`), with which `validate` scores,
    are not included.

    Args:
        posteriors: by model, fitted to the same table.
        weights: by model, at least 0 and of sum 1, such as those of `leave_one_out`, or of a `Validation` of models
            only: point fits have no posterior.
        rows, fitted, seed: as of `predict`.

    Raises:
        InputError: as `predict`; weights that are none, or of other models.
    """
    if set(weights) != set(posteriors):
        odd = sorted({*weights} ^ {*posteriors})
        raise InputError(f"{odd[0]} has a weight or a posterior, not both; give every model of a stack both")
    shares = np.array([[weights[name] for name in posteriors]])
    if not (shares >= 0).all() or abs(shares.sum() - 1) > SUM:
        raise InputError(f"the weights {dict(weights)} are no shares; give weights of at least 0 whose sum is 1")
    return Stack([predict(posterior, rows, fitted, seed=seed) for posterior in posteriors.values()], shares)


def crossed_weights(log_density: Mapping[str, Floats], run: NDArray[np.str_], seed: int = 0) -> Floats:
    """Stacking weights ``(row, model)`` of each row, chosen on the half of the runs that it is not of.

    Args:
        log_density: model -> log predictive density ``(row,)`` of the same rows.
        run: ``(row,)`` run of each row, of at least two; all rows of a run are of one half.
        seed: of the halves, which are random.
    """
    number = np.unique(run, return_inverse=True)[1]
    half = np.random.default_rng(seed).permutation(number.max() + 1)[number] % 2
    weights = np.empty((len(run), len(log_density)))
    for own in (0, 1):
        others = {name: density[half != own] for name, density in log_density.items()}
        weights[half == own] = list(stacking_weights(others).values())
    return weights
