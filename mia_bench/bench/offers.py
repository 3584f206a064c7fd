"""What each trial would have handed in at smaller budgets: success against budget from one run."""

import torch
from torch import Tensor


class Offers:
    """The last answer of each trial within each budget; what a trial starts from where it has offered none."""

    def __init__(self, budgets: tuple[int, ...], start: Tensor) -> None:
        self.budgets = budgets
        """Images per trial, ascending."""
        self._images = start.detach().expand(len(budgets), *start.shape).clone()

    def put(self, images: Tensor, owner: Tensor, spent: Tensor) -> None:
        """Answers (B, 1, H, W) of the trials ``owner`` (B,) int64, which have sent ``spent`` (B,) images so far."""
        images = images.detach()
        for place, budget in enumerate(self.budgets):
            within = spent <= budget
            self._images[place, owner[within]] = images[within.to(images.device)]

    def final(self, images: Tensor, spent: Tensor) -> Tensor:
        """(budgets, T, 1, H, W): with the answers (T, 1, H, W) handed in at the end after ``spent`` (T,) images."""
        self.put(images, torch.arange(len(images)), spent)
        return self._images
