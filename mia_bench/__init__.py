"""mia-bench: how well does a face-recognition service resist model inversion?

Names are loaded when first used, so that ``mia-bench --help`` does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import evaluate
    from .plugin import (
        Access,
        Attack,
        Defense,
        Evaluator,
        Reconstructions,
        RequestError,
        Target,
        TrainedDefense,
        Trials,
    )
    from .records.record import Record

__all__ = [
    "Access",
    "Attack",
    "Defense",
    "Evaluator",
    "Reconstructions",
    "Record",
    "RequestError",
    "Target",
    "TrainedDefense",
    "Trials",
    "evaluate",
]

_HOMES = {"evaluate": ".api", "Record": ".records.record"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, ".plugin"), __name__), name)
