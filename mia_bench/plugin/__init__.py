"""All that the author of an attack, defense, target or evaluator needs of mia-bench (``mia_bench`` itself gives the
commonest). Imports nothing above it: plugins import from here alone.

Names are loaded when first used: ``mia-bench --help`` does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_HOMES = {
    "Access": "access",
    "AccessError": "errors",
    "AdversarialGenerator": "generator",
    "Attack": "attack",
    "BudgetExceededError": "errors",
    "CallableRecogniser": "target",
    "Component": "component",
    "ComponentError": "errors",
    "Defense": "defense",
    "Engine": "engine",
    "Enrolment": "fitting",
    "Evaluator": "evaluator",
    "Fitting": "fitting",
    "Generator": "generator",
    "HasFeatures": "evaluator",
    "ModuleRecogniser": "target",
    "NetworkEvaluator": "evaluator",
    "Oracle": "oracle",
    "Photos": "photos",
    "Pipeline": "defense",
    "Query": "service",
    "REFUSED": "scores",
    "Recogniser": "target",
    "Reconstructions": "attack",
    "RequestError": "errors",
    "Service": "service",
    "Streams": "seeds",
    "Target": "target",
    "Trainable": "fitting",
    "TrainedDefense": "defense",
    "Trials": "attack",
    "alpha": "estimator",
    "bounded": "scores",
    "criterion": "estimator",
    "gradient": "estimator",
    "ranking": "scores",
    "refused": "scores",
    "scores_of": "attack",
    "top_label": "scores",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
