"""All that the author of an attack, defense, target or evaluator needs of mia-bench (``mia_bench`` itself gives the
commonest). Imports nothing above it: plugins import from here alone."""

from .access import Access
from .attack import Attack, Reconstructions, Trials, scores_of
from .component import Component
from .defense import Defense, Pipeline, TrainedDefense
from .engine import Engine
from .errors import AccessError, BudgetExceededError, ComponentError, RequestError
from .estimator import alpha, criterion, gradient
from .evaluator import Evaluator, HasFeatures, NetworkEvaluator
from .fitting import Enrolment, Fitting, Trainable
from .generator import AdversarialGenerator, Generator
from .oracle import Oracle
from .photos import Photos
from .scores import REFUSED, bounded, ranking, refused, top_label
from .seeds import Streams
from .service import Query, Service
from .target import CallableRecogniser, ModuleRecogniser, Recogniser, Target

__all__ = [
    "REFUSED",
    "Access",
    "AccessError",
    "AdversarialGenerator",
    "Attack",
    "BudgetExceededError",
    "CallableRecogniser",
    "Component",
    "ComponentError",
    "Defense",
    "Engine",
    "Enrolment",
    "Evaluator",
    "Fitting",
    "Generator",
    "HasFeatures",
    "ModuleRecogniser",
    "NetworkEvaluator",
    "Oracle",
    "Photos",
    "Pipeline",
    "Query",
    "Recogniser",
    "Reconstructions",
    "RequestError",
    "Service",
    "Streams",
    "Target",
    "Trainable",
    "TrainedDefense",
    "Trials",
    "alpha",
    "bounded",
    "criterion",
    "gradient",
    "ranking",
    "refused",
    "scores_of",
    "top_label",
]
