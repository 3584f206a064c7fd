"""The only door from an attack to a defended target, as an attack sees it."""

from abc import ABC, abstractmethod

from torch import Tensor

from .access import Access


class Oracle(ABC):
    """Answers an attack's queries as the defended service would; enforces access and budget. Nothing in it can be set.

    ``owner`` (B,) int64 says for which trial each image is sent, ``phase`` what for (``search``, ``sigma``, ...).
    Images (B, 1, H, W) are plain float32 tensors, finite, in [0, 1]. Each image counts, and a call that would take a
    trial past the budget is refused whole. The ledger is kept elsewhere; a hostile plugin in the same process could
    still dig out what it must not see: run only plugins you trust.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def access(self) -> Access:
        """What is granted."""

    @property
    @abstractmethod
    def budget(self) -> int:
        """Images per trial."""

    @property
    @abstractmethod
    def budgets(self) -> tuple[int, ...]:
        """Images per trial at which the attack is judged, ascending, ``budget`` last: see ``offer``."""

    @abstractmethod
    def scores(self, images: Tensor, owner: Tensor, phase: str = "search", *, account: Tensor | None = None) -> Tensor:
        """Released scores (B, classes); no gradients. NaN where withheld; a refused image, which counts as a query, has
        nothing but NaN.

        Each image comes from its trial's own account, unless ``account`` (B,) names others that ``account()`` opened.
        """

    @abstractmethod
    def labels(self, images: Tensor, owner: Tensor, phase: str = "search", *, account: Tensor | None = None) -> Tensor:
        """Released labels (B,) int64; ``REFUSED`` (-1) where there is none. Accounts as in ``scores``."""

    @abstractmethod
    def logits(self, images: Tensor, owner: Tensor, phase: str = "search") -> Tensor:
        """The target's logits (B, classes) without what is done to its outputs, differentiable in the images: white-box
        access only.

        Who holds the weights is not bound by what the service does to its outputs.
        """

    @abstractmethod
    def account(self, owner: Tensor) -> Tensor:
        """Open one more account for each of these trials (n,) int64; their numbers (n,). Every account is counted."""

    @abstractmethod
    def remaining(self) -> Tensor:
        """(trials,) int64: images each trial may still send."""

    @abstractmethod
    def offer(self, images: Tensor, owner: Tensor) -> None:
        """Say what these trials would hand in if they had to stop now. Costs nothing.

        The last offer within a budget is what a run of that budget is taken to have found: success against budget comes
        from one run. What ``run`` returns counts where the trial has sent its last image.
        """

    @abstractmethod
    def finish(self, trials: Tensor) -> None:
        """Tell whoever watches that these trials are over; optional, changes nothing else."""
