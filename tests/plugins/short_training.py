"""A defense that trains: the protocol's network, for fewer steps than its recipe has."""

import torch
import torch.nn.functional as F

from mia_bench import TrainedDefense


class ShortTraining(TrainedDefense):
    """Train R_tar for some steps only, with softened labels."""

    name = "short"
    steps: int = 60
    alpha: float = 0.1

    def train(self, network, fitting):
        optimiser = torch.optim.AdamW(network.train().parameters(), 1e-3)
        photos = fitting.photos
        for _ in range(self.steps):
            batch = torch.randint(len(photos), (64,))
            optimiser.zero_grad()
            F.cross_entropy(network(photos.images[batch]), photos.labels[batch], label_smoothing=self.alpha).backward()
            optimiser.step()
        network.eval()
