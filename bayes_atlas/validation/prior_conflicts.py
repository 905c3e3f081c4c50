"""Parameters at odds with their priors: far out in the prior, or at an end of their range.

A parameter that the data pull there stands for something else: a mean that the law lacks, taken for noise, or a prior
that is wrong. Parameters of the whole model are compared, law and noise alike; those of single languages have a prior
that the model learns. Only stored draws of posterior and prior are needed, so posteriors without their data can be
checked too.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import logit
from scipy.stats import norm

from bayes_atlas.arrays import Floats
from bayes_atlas.folder.info import Check
from bayes_atlas.posterior import Posterior

FAR = 2.0  # distance from the prior's median, in half-widths of its central 68 %, beyond which one is far out
WHOLE = 0.8  # range of a prior within (0, 1) that shows a share, not a small number
AT_END = 0.01  # distance from an end of (0, 1) that counts as the end
MOST = 0.5  # share of the draws there
FALSE_ALARM = 0.05  # probability that the check fails where all parameters came from their priors


@dataclass(frozen=True)
class PriorConflict:
    """One parameter at odds with its prior."""

    parameter: str
    median: float
    lower: float  # of the central 90 % of the posterior
    upper: float
    prior_lower: float  # of the central 95 % of the prior
    prior_upper: float
    deviations: float  # from the prior's median, in half-widths of its central 68 %, on the scale of its support
    at_end: bool

    @property
    def remark(self) -> str:
        """The finding in words."""
        place = "sits at an end of its range" if self.at_end else f"is {abs(self.deviations):.1f} deviations out"
        own, known = f"{self.lower:.3g} to {self.upper:.3g}", f"{self.prior_lower:.3g} to {self.prior_upper:.3g}"
        return (
            f"{self.parameter} {place} ({own}; 95 % of its prior: {known}): data and prior disagree, so the model may "
            f"lack something, or its prior may be wrong"
        )


def prior_conflicts(posterior: Posterior) -> list[PriorConflict]:
    """Return the parameters of the whole model that are at odds with their priors, worst first.

    Each is a remark: of ten parameters that came from their priors and that the data determine, one in two posteriors
    would show one by chance. `prior_check` fails where chance does not account for the worst.
    """
    found = [each for each in _all(posterior) if each.at_end or abs(each.deviations) > FAR]
    return sorted(found, key=lambda each: (not each.at_end, -abs(each.deviations)))


def prior_check(posterior: Posterior) -> Check | None:
    """Return the named check that no parameter of the whole model is at an end, or too far out in its prior.

    The limit, in deviations, is that which the worst of all parameters exceeds with probability `FALSE_ALARM` if they
    came from their priors. None without stored draws of the prior.
    """
    found = _all(posterior)
    if not found:
        return None
    worst = max(found, key=lambda each: (each.at_end, abs(each.deviations)))
    limit = float(norm.isf(FALSE_ALARM / 2 / len(found)))
    return Check(
        name="parameters_within_priors",
        passed=not worst.at_end and abs(worst.deviations) <= limit,
        value=abs(worst.deviations),
        limit=limit,
        where=worst.parameter,
        advice="data and prior disagree: it stands for something that the model lacks, or its prior is wrong",
    )


def _all(posterior: Posterior) -> list[PriorConflict]:
    if "prior" not in posterior.draws:
        return []
    drawn, prior = (posterior.draws[name].to_dataset() for name in ("posterior", "prior"))
    found = []
    for name in drawn:
        if drawn[name].dims != ("chain", "draw") or name not in prior:
            continue
        each = _compared(str(name), *(values[name].to_numpy().astype(float).ravel() for values in (drawn, prior)))
        if each is not None:
            found.append(each)
    return found


def _compared(name: str, drawn: Floats, prior: Floats) -> PriorConflict | None:
    prior = prior[np.isfinite(prior)]
    share = bool(prior.min() > 0 and prior.max() < 1 and prior.max() - prior.min() > WHOLE and drawn.max() <= 1)
    scaled_drawn, scaled = (_scaled(values, share, bool((prior > 0).all())) for values in (drawn, prior))
    lower, middle, upper = np.quantile(scaled, [0.16, 0.5, 0.84])
    if not upper > lower:
        return None
    ends = [float(end) for end in np.quantile(drawn, [0.05, 0.95])]
    return PriorConflict(
        parameter=name,
        median=float(np.median(drawn)),
        lower=ends[0],
        upper=ends[1],
        prior_lower=float(np.quantile(prior, 0.025)),
        prior_upper=float(np.quantile(prior, 0.975)),
        deviations=float((np.median(scaled_drawn) - middle) / ((upper - lower) / 2)),
        at_end=share and bool((np.minimum(drawn, 1 - drawn) < AT_END).mean() > MOST),
    )


def _scaled(values: Floats, share: bool, positive: bool) -> Floats:
    """Return values on the scale of their support: logits of shares, logs of positive numbers, or as they are."""
    if share:
        return np.asarray(logit(np.clip(values, 1e-9, 1 - 1e-9)))
    return np.log(values) if positive else values
