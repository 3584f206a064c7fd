"""What an attack left, before anybody judges it: reconstructions at every budget, and the ledger.

One safetensors file beside the record, from which it can be judged again without asking the target.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from ..plugin.errors import RequestError, first_problem
from .figures import Part, Probes, Queries, Utility
from .request import Request

SUFFIX = ".safetensors"


class Facts(Part):
    """What was counted and measured while the service was there."""

    attempt_id: str
    budgets: tuple[int, ...]
    """Images per trial at which reconstructions were kept, ascending."""
    queries: Queries
    utility: Utility
    probes: Probes


@dataclass(frozen=True)
class FoldAttempt:
    """One fold; T trials, identity by identity."""

    offered: Tensor
    """(budgets, T, 1, H, W) float32 in [0, 1]: what each trial had within each budget."""
    images: Tensor
    """(T, 1, H, W): what was handed in."""
    converged: Tensor
    """(T,) bool."""
    queries: Tensor
    """(T,) int64, from the ledger."""
    target_score: Tensor
    """(T,) float32: the undefended target's score for the identity."""
    target_top1: Tensor
    """(T,) bool: it takes the image for the identity."""


@dataclass(frozen=True)
class Attempt:
    """All folds of a cell."""

    facts: Facts
    folds: dict[str, FoldAttempt]

    def dump(self) -> bytes:
        """As safetensors. Most trials have the same image at many budgets: each is kept once."""
        tensors: dict[str, Tensor] = {}
        for name, fold in self.folds.items():
            kept, place = _distinct(torch.cat([fold.offered, fold.images.unsqueeze(0)]))
            tensors[f"{name}.kept"], tensors[f"{name}.place"] = kept, place
            for field in ("converged", "queries", "target_score", "target_top1"):
                tensors[f"{name}.{field}"] = getattr(fold, field)
        content = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        return save(content, {"facts": self.facts.model_dump_json()})


def _distinct(images: Tensor) -> tuple[Tensor, Tensor]:
    """(n, 1, H, W) images that differ from the trial's one before, and (budgets, T) int64 which of them each is."""
    new = torch.ones(images.shape[:2], dtype=torch.bool)
    new[1:] = (images[1:] != images[:-1]).flatten(2).any(2).cpu()
    number = new.T.flatten().cumsum(0) - 1  # trial by trial
    place = number.view(images.shape[1], images.shape[0]).T
    return images.transpose(0, 1)[new.T], place.contiguous()


def file_of(attempt_id: str, folder: Path) -> Path:
    """Where a run keeps an attempt."""
    return folder / f"{attempt_id}{SUFFIX}"


def read(attempt_id: str, folder: Path) -> Attempt:
    """An attempt from a run's folder; RequestError if it is not there, damaged, or another one's."""
    file = file_of(attempt_id, folder)
    mend = "run it again with --fresh"
    try:
        content = file.read_bytes()
        tensors = load(content)
        with safe_open(file, "pt") as opened:
            facts = Facts.model_validate_json((opened.metadata() or {}).get("facts", ""))
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise RequestError(f"{file} cannot be read ({reason}); {mend}") from None
    except ValidationError as error:
        raise RequestError(f"{file} is not an attempt of mia-bench ({first_problem(error)}); {mend}") from None
    if facts.attempt_id != attempt_id:
        raise RequestError(f"{file} is attempt {facts.attempt_id}, not its record's {attempt_id}; {mend}")
    try:
        folds = {name: _fold(tensors, name, facts) for name in sorted({key.partition(".")[0] for key in tensors})}
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        raise RequestError(f"{file} does not hold together ({error}); {mend}") from None
    return Attempt(facts, folds)


def _fold(tensors: dict[str, Tensor], name: str, facts: Facts) -> FoldAttempt:
    kept, place = tensors[f"{name}.kept"], tensors[f"{name}.place"]
    if kept.dtype != torch.float32 or kept.ndim != 4 or place.dtype != torch.int64 or place.ndim != 2:
        raise ValueError(f"{name}: not images")
    low, high = kept.aminmax()
    if not (low >= 0 and high <= 1) or len(place) != len(facts.budgets) + 1:
        raise ValueError(f"{name}: images outside [0, 1], or for other budgets")
    images = kept[place]
    T = place.shape[1]
    found = {key: tensors[f"{name}.{key}"] for key in ("converged", "queries", "target_score", "target_top1")}
    if any(tensor.shape != (T,) for tensor in found.values()):
        raise ValueError(f"{name}: not one figure a trial")
    return FoldAttempt(images[:-1], images[-1], **found)


def reconstructions(request: Request, image: tuple[int, int], folder: Path) -> dict[str, Tensor]:
    """By fold: images (identities, trials, 1, H, W) that were handed in; RequestError if they are another request's."""
    found = read(request.attempt_id, folder)
    people = (request.identities, request.trials)
    images = {}
    for fold in request.folds:
        flat = found.folds[fold].images if fold in found.folds else None
        if flat is None or tuple(flat.shape) != (people[0] * people[1], 1, *image):
            raise RequestError(f"{file_of(request.attempt_id, folder)} does not belong to its record; run it again")
        images[fold] = flat.reshape(*people, 1, *image)
    return images
