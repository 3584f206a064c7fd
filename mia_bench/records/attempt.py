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


def read(request: Request, image: tuple[int, int], folder: Path) -> Attempt:
    """A request's attempt from a run's folder, images of this height and width; RequestError if it is not there,
    damaged, or another one's."""
    file = file_of(request.attempt_id, folder)
    mend = "run it again with --fresh"
    try:
        tensors = load(file.read_bytes())
        with safe_open(file, "pt") as opened:
            facts = Facts.model_validate_json((opened.metadata() or {}).get("facts", ""))
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise RequestError(f"{file} cannot be read ({reason}); {mend}") from None
    except ValidationError as error:
        raise RequestError(f"{file} is not an attempt of mia-bench ({first_problem(error)}); {mend}") from None
    if facts.attempt_id != request.attempt_id:
        raise RequestError(f"{file} is attempt {facts.attempt_id}, not its record's {request.attempt_id}; {mend}")
    try:
        if sorted({name.partition(".")[0] for name in tensors}) != sorted(request.folds):
            raise ValueError("other folds")
        folds = {name: _fold(tensors, name, facts, request, image) for name in request.folds}
        _check_ledger(facts, folds, request)
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        raise RequestError(f"{file} does not belong to its record ({error}); {mend}") from None
    return Attempt(facts, folds)


def _fold(tensors: dict[str, Tensor], name: str, facts: Facts, request: Request, image: tuple[int, int]) -> FoldAttempt:
    kept, place = tensors[f"{name}.kept"], tensors[f"{name}.place"]
    T = request.identities * request.trials
    if kept.dtype != torch.float32 or tuple(kept.shape[1:]) != (1, *image) or not len(kept):
        raise ValueError(f"{name}: not images of {image[0]}x{image[1]}")
    if place.dtype != torch.int64 or tuple(place.shape) != (len(facts.budgets) + 1, T):
        raise ValueError(f"{name}: of other trials or budgets")
    if not (int(place.min()) >= 0 and int(place.max()) < len(kept)):
        raise ValueError(f"{name}: an image is missing")
    low, high = kept.aminmax()
    if not (low >= 0 and high <= 1):
        raise ValueError(f"{name}: images outside [0, 1]")
    found = {key: tensors[f"{name}.{key}"] for key in _KINDS}
    for key, kind in _KINDS.items():
        if found[key].shape != (T,) or found[key].dtype != kind:
            raise ValueError(f"{name}.{key}: {found[key].dtype} {tuple(found[key].shape)}")
    score = found["target_score"]
    if not bool(((score >= 0) & (score <= 1 + 1e-4)).all()):
        raise ValueError(f"{name}.target_score outside [0, 1]")
    images = kept[place]
    return FoldAttempt(images[:-1], images[-1], **found)


_KINDS = {
    "converged": torch.bool,
    "queries": torch.int64,
    "target_score": torch.float32,
    "target_top1": torch.bool,
}


def _check_ledger(facts: Facts, folds: dict[str, FoldAttempt], request: Request) -> None:
    spent = torch.cat([fold.queries for fold in folds.values()])
    total = int(spent.sum())
    if int(spent.min()) < 0 or int(spent.max()) > request.budget or facts.queries.budget != request.budget:
        raise ValueError("queries beyond the budget")
    if total != facts.queries.total or total != sum(facts.queries.by_phase.values()):
        raise ValueError("a ledger that does not add up")
    if list(facts.budgets) != sorted(set(facts.budgets)) or not set(request.budgets) <= set(facts.budgets):
        raise ValueError("other budgets")


def reconstructions(request: Request, image: tuple[int, int], folder: Path) -> dict[str, Tensor]:
    """By fold: images (identities, trials, 1, H, W) that were handed in."""
    found = read(request, image, folder)
    return {
        name: fold.images.reshape(request.identities, request.trials, 1, *image) for name, fold in found.folds.items()
    }
