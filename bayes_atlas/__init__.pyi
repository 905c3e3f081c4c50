"""The public names, each with its home; `bayes_atlas/__init__.py` loads them from here when first used."""

from .data.bilingual_design import bilingual_study as bilingual_study
from .data.crossings import read_crossings as read_crossings
from .data.runs import read_runs as read_runs
from .data.runs import runs_from_frame as runs_from_frame
from .data.transfer_scores import read_scores as read_scores
from .data.transfer_scores import scores_from_frame as scores_from_frame
from .decisions.bayes_action import Action as Action
from .decisions.bayes_action import bayes_action as bayes_action
from .decisions.bayes_action import cautious_action as cautious_action
from .decisions.crossover import Crossover as Crossover
from .decisions.crossover import find_crossover as find_crossover
from .decisions.expand import Expansion as Expansion
from .decisions.expand import Frontier as Frontier
from .decisions.expand import expand as expand
from .decisions.expand import frontier as frontier
from .decisions.mixture import Mixture as Mixture
from .decisions.mixture import mixture as mixture
from .decisions.optimum import Optimum as Optimum
from .decisions.optimum import optimum as optimum
from .decisions.scenario import plan as plan
from .decisions.scenario import read_scenario as read_scenario
from .decisions.tax import Tax as Tax
from .decisions.tax import Taxes as Taxes
from .decisions.tax import efficiency_tax as efficiency_tax
from .decisions.trajectory import Trajectory as Trajectory
from .decisions.trajectory import trajectory as trajectory
from .decisions.transfer_map import TransferAnswer as TransferAnswer
from .decisions.transfer_map import TransferMap as TransferMap
from .decisions.transfer_map import transfer_map as transfer_map
from .decisions.transfer_scores import BilingualScores as BilingualScores
from .decisions.transfer_scores import transfer_scores as transfer_scores
from .errors import InputError as InputError
from .inference.fit import fit as fit
from .inference.fit import fit_many as fit_many
from .posterior import Posterior as Posterior
from .posterior import load_posterior as load_posterior
from .validation.held_out import Validation as Validation
from .validation.held_out import validate as validate
from .validation.law_error_within import Misfit as Misfit
from .validation.law_error_within import with_misfit as with_misfit
from .validation.loo import LeaveOneOut as LeaveOneOut
from .validation.loo import leave_one_out as leave_one_out
from .validation.predict import predict as predict
from .validation.stack import predict_stack as predict_stack

__version__: str
