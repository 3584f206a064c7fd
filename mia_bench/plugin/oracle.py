"""The only door from an attack to a defended target, and the count of all that passes it."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..bench.offers import Offers
from .access import Access
from .defense import Pipeline
from .errors import AccessError, BudgetExceededError
from .scores import refused, top_label
from .target import ModuleRecogniser, Recogniser


class Ledger:
    """Images sent to the target, per trial and phase."""

    def __init__(self, trials: int) -> None:
        self._phases: dict[str, Tensor] = {}
        self._trials = trials
        self.refused = 0
        """Of them, images that the service refused to answer, over all trials."""

    def charge(self, phase: str, counts: Tensor) -> None:
        """Add (trials,) int64 counts."""
        self._phases[phase] = self._phases.get(phase, torch.zeros(self._trials, dtype=torch.int64)) + counts

    @property
    def per_trial(self) -> Tensor:
        """(trials,) int64: images sent for each trial, over all phases."""
        return sum(self._phases.values(), start=torch.zeros(self._trials, dtype=torch.int64))

    @property
    def by_phase(self) -> dict[str, int]:
        """Images sent in each phase, over all trials."""
        return {phase: int(counts.sum()) for phase, counts in sorted(self._phases.items())}


class Oracle:
    """Answers an attack's queries as the defended service would; enforces access and budget; keeps the ledger.

    ``owner`` (B,) int64 says for which trial each image is sent, ``phase`` what for (``search``, ``sigma``, ...). Every
    call counts each of its images, and a call that would take a trial past the budget is refused whole.
    A hostile plugin in the same process could still dig out what it must not see: run only plugins you trust.
    """

    def __init__(
        self,
        recogniser: Recogniser,
        defense: Pipeline,
        *,
        access: Access,
        trials: int,
        budget: int,
        rng: torch.Generator,
        budgets: tuple[int, ...] = (),
        offers: Offers | None = None,
        on_query: Callable[[int], None] | None = None,
        on_finish: Callable[[int], None] | None = None,
    ) -> None:
        self.access = access
        self.budget = budget
        """Images per trial."""
        self.budgets = (*(smaller for smaller in budgets if smaller < budget), budget)
        """Images per trial at which the attack is judged, ascending, the budget last: see ``offer``."""
        self.ledger = Ledger(trials)
        self.defended = 0
        """Images that the defended service was asked about; the others were looked at with the weights."""
        self._trials = trials
        self._label_only = defense.access is Access.LABEL_ONLY
        self._offers = offers
        self._on_query = on_query
        self._on_finish = on_finish

        # The recogniser is held by these closures alone: no attribute leads an attack to weights.
        def released(images: Tensor) -> Tensor:
            answer = defense.release(recogniser.scores(images.detach()), rng)
            self.defended += len(images)
            self.ledger.refused += int(refused(answer).sum())
            return answer

        def logits(images: Tensor) -> Tensor:
            if not isinstance(recogniser, ModuleRecogniser):
                raise AccessError("this target has no gradients: white-box attacks cannot run on it")
            return recogniser.logits(images)

        self.__released = released
        self.__logits = logits

    def scores(self, images: Tensor, owner: Tensor, phase: str = "search") -> Tensor:
        """Released scores (B, classes) for images (B, 1, H, W) in [0, 1]; no gradients.

        NaN where withheld; a refused image, which counts as a query, has nothing but NaN.
        """
        if self.access is Access.LABEL_ONLY or self._label_only:
            raise AccessError("scores are not released here: only labels")
        self._charge(images, owner, phase)
        return self.__released(images)

    def labels(self, images: Tensor, owner: Tensor, phase: str = "search") -> Tensor:
        """Released labels (B,) int64 for images (B, 1, H, W) in [0, 1]; ``REFUSED`` (-1) where there is none."""
        self._charge(images, owner, phase)
        return top_label(self.__released(images))

    def logits(self, images: Tensor, owner: Tensor, phase: str = "search") -> Tensor:
        """The undefended target's logits (B, classes), differentiable in the images: white-box access only.

        Who holds the weights is not bound by what the service does to its outputs.
        """
        if self.access is not Access.WHITE_BOX:
            raise AccessError(f"logits need white-box access; this attack declared {self.access}")
        self._charge(images, owner, phase)
        return self.__logits(images)

    def remaining(self) -> Tensor:
        """(trials,) int64: images each trial may still send."""
        return self.budget - self.ledger.per_trial

    def offer(self, images: Tensor, owner: Tensor) -> None:
        """Say what these trials would hand in if they had to stop now: images (B, 1, H, W) in [0, 1]. Costs nothing.

        The last offer within a budget is what a run of that budget is taken to have found: success against budget comes
        from one run. What ``run`` returns counts where the trial has sent its last image.
        """
        if self._offers is not None:
            self._offers.put(images, owner, self.ledger.per_trial[owner])

    def finish(self, trials: Tensor) -> None:
        """Tell whoever watches that these trials are over; optional, changes nothing else."""
        if self._on_finish:
            self._on_finish(len(trials))

    def _charge(self, images: Tensor, owner: Tensor, phase: str) -> None:
        if len(owner) != len(images):
            raise AccessError(f"{len(images)} images came with {len(owner)} owners")
        counts = torch.bincount(owner.cpu(), minlength=self._trials)
        if bool((self.ledger.per_trial + counts > self.budget).any()):
            raise BudgetExceededError(f"a query would take a trial past its budget of {self.budget} images")
        self.ledger.charge(phase, counts)
        if self._on_query:
            self._on_query(len(images))
