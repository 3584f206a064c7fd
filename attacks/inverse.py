"""The inverse network of Yang, Zhang, Chang and Liang: "Neural Network Inversion in Adversarial Setting via Background
Knowledge Alignment", CCS 2019: a network from released scores back to images, trained on auxiliary images."""

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mia_bench.plugin import Attack, Generator, Oracle, Reconstructions, Trials

from ._prior import drawn


class Inverse(Attack):
    """Trained on (answer, image) pairs of Q1's photos and of faces that D draws, then asked for each class's face.

    All identities of a replicate share its network and its queries, ``queries`` of them for each identity. Reads
    withheld scores as truncation, which is also in force while it trains; rounding and noise are taken at face value.
    Where the paper inverts the answer to a private photo, which nobody has here, it inverts a confident answer for
    the class.
    """

    name = "inverse"

    queries: Annotated[int, Field(ge=1)] = 100
    """Auxiliary images sent for each identity; fewer where the budget is smaller."""
    steps: Annotated[int, Field(ge=1)] = 600
    batch: Annotated[int, Field(ge=2)] = 64
    rate: Annotated[float, Field(gt=0)] = 2e-3
    c: Annotated[float, Field(gt=0)] = 50.0
    """Added to the logarithm of a released score, so that zero can stand for a truncated one (the authors' code)."""
    nearest: Annotated[int, Field(ge=1)] = 5
    """Auxiliary answers, those most confident of a class, from which the class's own answer is made."""
    confidence: Annotated[float, Field(gt=0, le=1)] = 0.99
    """The class's score in that answer."""

    def run(self, oracle: Oracle, generator: Generator, trials: Trials) -> Reconstructions:
        images = torch.empty_like(generator.decode(trials.z0))
        codes = generator.encode(trials.public.images)
        for replicate in trials.replicates():
            owner = replicate.repeat(min(self.queries, oracle.budget))
            draw = trials.streams.of(int(replicate[0]))
            x = self._auxiliary(generator, trials, codes, len(owner), draw)
            y = oracle.scores(x, owner, "auxiliary")
            network = self._trained(self._aligned(y), x, draw)
            with torch.inference_mode():
                images[replicate] = network(self._confident(y, trials.labels[replicate]))
            oracle.finish(replicate)
        return Reconstructions(images, torch.ones(len(trials), dtype=torch.bool))

    def _auxiliary(
        self, generator: Generator, trials: Trials, codes: Tensor, count: int, draw: torch.Generator
    ) -> Tensor:
        """Images (count, 1, H, W) of people who are not enrolled: Q1's photos in random order, then faces from D, drawn
        around the codes (n, m) of Q1."""
        order = torch.randperm(len(trials.public), generator=draw)[:count]
        photos = trials.public.images[order].to(codes.device)
        missing = count - len(photos)
        with torch.inference_mode():
            made = generator.decode(drawn(codes, missing, draw)) if missing else photos[:0]
        return torch.cat([photos, made])

    def _aligned(self, y: Tensor) -> Tensor:
        """Scores (B, classes) as the network takes them: log y + c, at least 0, and 0 where truncated; over c."""
        return ((y.clamp(min=1e-30).log() + self.c).clamp(min=0) / self.c).nan_to_num(nan=0.0)

    def _confident(self, y: Tensor, labels: Tensor) -> Tensor:
        """An answer (identities, classes) that is sure of each label and else like those it was given for others, with
        as many scores as an answer has: the truncation in force."""
        likest = y.nan_to_num(nan=0.0)[:, labels].topk(min(self.nearest, len(y)), dim=0).indices
        sure = self._aligned(torch.tensor([self.confidence], device=y.device)).expand(len(labels), 1)
        vectors = self._aligned(y)[likest].mean(0).scatter(1, labels.unsqueeze(1), sure)
        kept = vectors.topk(int((~y.isnan()).sum(1).max()), dim=1)
        return torch.zeros_like(vectors).scatter(1, kept.indices, kept.values)

    def _trained(self, y: Tensor, x: Tensor, draw: torch.Generator) -> nn.Module:
        """The inverse network (B, classes) -> (B, 1, H, W), least squares on the pixels."""
        height, width = x.shape[-2:]
        network = _network(y.shape[1], height, width, draw).to(x.device)
        optimiser = torch.optim.Adam(network.parameters(), self.rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, self.rate, total_steps=self.steps)
        for _ in range(self.steps):
            chosen = torch.randint(len(x), (self.batch,), generator=draw).to(x.device)
            optimiser.zero_grad()
            F.mse_loss(network(y[chosen]), x[chosen]).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        return network


def _network(classes: int, height: int, width: int, draw: torch.Generator) -> nn.Module:
    """Fully connected, then three doublings by sub-pixel convolution; weights drawn from ``draw`` (He et al. 2015)."""
    h, w = -(-height // 8), -(-width // 8)
    network = nn.Sequential(
        nn.Linear(classes, 64 * h * w),
        nn.LeakyReLU(0.2),
        nn.Unflatten(1, (64, h, w)),
        *(nn.Conv2d(64, 4 * 48, 3, 1, 1), nn.PixelShuffle(2), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(48, 4 * 24, 3, 1, 1), nn.PixelShuffle(2), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(24, 4, 3, 1, 1), nn.PixelShuffle(2), nn.Sigmoid()),
        nn.AdaptiveAvgPool2d((height, width)),
    )
    for parameter in network.parameters():
        if parameter.dim() > 1:
            nn.init.kaiming_normal_(parameter, 0.2, generator=draw)
        else:
            nn.init.zeros_(parameter)
    return network
