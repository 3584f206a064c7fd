"""The bench's side of the oracle: it asks the service, enforces access and budget, and keeps the ledger."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..plugin.access import Access
from ..plugin.attack import not_images
from ..plugin.errors import AccessError, BudgetExceededError
from ..plugin.oracle import Oracle
from ..plugin.scores import refused, top_label
from ..plugin.service import Query, Service
from .offers import Offers

ROUNDING = 1e-4
"""How far a pixel may leave [0, 1]: interpolation rounds."""


class Ledger:
    """Images sent to the target, per trial and phase. It stays with the bench: no attack sees it."""

    def __init__(self, trials: int) -> None:
        self._phases: dict[str, Tensor] = {}
        self.refused = torch.zeros(trials, dtype=torch.int64)
        """(trials,): images that the service would not answer."""
        self.opened = torch.zeros(trials, dtype=torch.int64)
        """(trials,): accounts opened besides each trial's own."""
        self.defended = 0
        """Images that the service was asked about; the others were looked at with the weights."""

    def charge(self, phase: str, counts: Tensor) -> None:
        """Add (trials,) int64 counts."""
        self._phases[phase] = self._phases.get(phase, torch.zeros_like(self.refused)) + counts

    @property
    def per_trial(self) -> Tensor:
        """(trials,) int64: images sent for each trial, over all phases."""
        return sum(self._phases.values(), start=torch.zeros_like(self.refused))

    @property
    def by_phase(self) -> dict[str, int]:
        """Images sent in each phase, over all trials."""
        return {phase: int(counts.sum()) for phase, counts in sorted(self._phases.items())}

    @property
    def accounts(self) -> int:
        """From which images were, or could be, sent: one a trial, and those opened."""
        return len(self.opened) + int(self.opened.sum())


def open_oracle(
    services: Sequence[Service],
    logits: Callable[[Tensor], Tensor] | None,
    *,
    access: Access,
    leaves: Access,
    replicate: Tensor,
    budgets: tuple[int, ...],
    image: tuple[int, int],
    offers: Offers | None = None,
    on_query: Callable[[int], None] | None = None,
    on_finish: Callable[[int], None] | None = None,
) -> tuple[Oracle, Ledger]:
    """An oracle for one attack, and the ledger that counts what passes it.

    ``services`` is one per repetition (``replicate`` (trials,) int64 says which is whose), or a single one for all;
    ``logits`` is None where nobody is granted weights; ``leaves`` is what the defense leaves a black-box caller.
    """
    trials, budget = len(replicate), budgets[-1]
    ledger = Ledger(trials)
    of_account = list(range(trials))  # the trial that each account belongs to

    def charged(images: Any, owner: Any, phase: str) -> Tensor:
        own = _owners(images, owner, trials)
        if problem := not_images(images, (len(own), 1, *image), ROUNDING):
            raise AccessError(f"a query has {problem}")
        if not isinstance(phase, str):
            raise AccessError(f"a query has phase {phase!r}, not a name")
        counts = torch.bincount(own, minlength=trials)
        if bool((ledger.per_trial + counts > budget).any()):
            raise BudgetExceededError(f"a query would take a trial past its budget of {budget} images")
        ledger.charge(str(phase), counts)
        if on_query:
            on_query(len(own))
        return own

    def answered(images: Any, owner: Any, phase: str, account: Any) -> Tensor:
        callers = _accounts(account, owner, of_account) if account is not None else None
        own = charged(images, owner, phase)
        # a service may do with what it gets what it likes: it is no attack's, and no ledger's
        query = Query(images.detach().clone(), (own if callers is None else callers).clone())
        ledger.defended += len(own)
        if len(services) == 1:
            answer = services[0](query)
        else:
            parts = [(replicate[own] == number).nonzero().squeeze(1) for number in range(len(services))]
            said = [(rows, services[n](query.take(rows))) for n, rows in enumerate(parts) if len(rows)]
            answer = torch.empty(len(own), said[0][1].shape[1], device=said[0][1].device)
            for rows, scores in said:
                answer[rows.to(answer.device)] = scores
        ledger.refused += torch.bincount(own[refused(answer).cpu()], minlength=trials)
        return answer

    def opened(owner: Any) -> Tensor:
        own = _owners(owner, owner, trials)
        first = len(of_account)
        of_account.extend(own.tolist())
        ledger.opened += torch.bincount(own, minlength=trials)
        return torch.arange(first, len(of_account))

    class Door(Oracle):
        """Holds nothing: what it needs is in these closures, and no attribute leads an attack to weights."""

        __slots__ = ()

        @property
        def access(self) -> Access:
            return access

        @property
        def budget(self) -> int:
            return budget

        @property
        def budgets(self) -> tuple[int, ...]:
            return budgets

        def scores(
            self, images: Tensor, owner: Tensor, phase: str = "search", *, account: Tensor | None = None
        ) -> Tensor:
            if Access.LABEL_ONLY in (access, leaves):
                raise AccessError("scores are not released here: only labels")
            return answered(images, owner, phase, account)

        def labels(
            self, images: Tensor, owner: Tensor, phase: str = "search", *, account: Tensor | None = None
        ) -> Tensor:
            return top_label(answered(images, owner, phase, account))

        def logits(self, images: Tensor, owner: Tensor, phase: str = "search") -> Tensor:
            if access is not Access.WHITE_BOX:
                raise AccessError(f"logits need white-box access; this attack declared {access}")
            if logits is None:
                raise AccessError("this target has no gradients: white-box attacks cannot run on it")
            charged(images, owner, phase)
            return logits(images)

        def account(self, owner: Tensor) -> Tensor:
            return opened(owner)

        def remaining(self) -> Tensor:
            return budget - ledger.per_trial

        def offer(self, images: Tensor, owner: Tensor) -> None:
            own = _owners(images, owner, trials)
            if problem := not_images(images, (len(own), 1, *image), 0.0):
                raise AccessError(f"an offer has {problem}")
            if offers is not None:
                offers.put(images, own, ledger.per_trial[own])

        def finish(self, trials: Tensor) -> None:
            if on_finish:
                on_finish(len(trials))

    return Door(), ledger


def _owners(images: Any, owner: Any, trials: int) -> Tensor:
    """``owner`` as (B,) int64 on the CPU, within the trials; AccessError if it is not."""
    if type(owner) is not Tensor or owner.dtype != torch.int64 or owner.ndim != 1:
        raise AccessError("owner is the trial of each image, a plain tensor (B,) of int64")
    if type(images) is not Tensor or images.ndim == 0 or images.shape[0] != owner.shape[0]:
        said = images.shape[0] if type(images) is Tensor and images.ndim else type(images).__name__
        raise AccessError(f"{said} images came with {owner.shape[0]} owners")
    own = owner.detach().cpu()
    if len(own) and not (int(own.min()) >= 0 and int(own.max()) < trials):
        raise AccessError(f"an owner is not one of the {trials} trials")
    return own


def _accounts(account: Any, owner: Any, of_account: list[int]) -> Tensor:
    """The accounts (B,) int64; AccessError if one was not opened, or belongs to another trial."""
    callers = _owners(account, account, len(of_account))
    if type(owner) is not Tensor or callers.shape != owner.shape:
        raise AccessError("account names one account for each image")
    if any(of_account[number] != trial for number, trial in zip(callers.tolist(), owner.tolist(), strict=True)):
        raise AccessError("an account belongs to another trial than the image that is sent from it")
    return callers
