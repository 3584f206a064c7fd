"""The types that plugins are written against: all they need of mia_bench (``mia_bench`` itself gives the commonest)."""

from ..bench.offers import Offers
from .access import Access
from .attack import Attack, Reconstructions, Trials, scores_of
from .component import Component
from .defense import Defense, Pipeline
from .engine import Engine
from .errors import AccessError, BudgetExceededError, ComponentError, RequestError
from .estimator import alpha, criterion, gradient
from .evaluator import Evaluator, Fitting, HasFeatures, NetworkEvaluator, Progress
from .generator import AdversarialGenerator, Generator
from .oracle import Ledger, Oracle
from .photos import Photos
from .scores import REFUSED, bounded, ranking, refused, top_label
from .seeds import Streams
from .target import CallableRecogniser, Enrolment, ModuleRecogniser, Recogniser, Target

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
    "Ledger",
    "ModuleRecogniser",
    "NetworkEvaluator",
    "Offers",
    "Oracle",
    "Photos",
    "Pipeline",
    "Progress",
    "Recogniser",
    "Reconstructions",
    "RequestError",
    "Streams",
    "Target",
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
