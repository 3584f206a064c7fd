"""A convolutional evaluator of another make than R_tar and R_eval: plain 3x3 stages with max pooling (VGG; Simonyan and
Zisserman, 2015), a cosine margin loss (CosFace; Wang et al., 2018), random crops, blur and erased patches."""

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mia_bench.plugin import Fitting, ModuleRecogniser, NetworkEvaluator, Recogniser


class CosineNet(nn.Module):
    """(B, 1, H, W) -> scaled cosines (B, classes) between an embedding and one direction per person."""

    def __init__(self, widths: tuple[int, ...], embedding: int, classes: int, scale: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, width in zip((1, *widths), widths, strict=False):
            layers += [_conv(inputs, width), _conv(width, width), nn.MaxPool2d(2)]
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16 * widths[-1], embedding))
        self.people = nn.Parameter(torch.randn(classes, embedding))
        self.scale = scale

    def forward(self, images: Tensor) -> Tensor:
        cosines = F.linear(F.normalize(self.body(2 * images - 1)), F.normalize(self.people))
        return self.scale * cosines


class CNN(NetworkEvaluator):
    """A network of another architecture, loss and augmentation than the target's, trained on Q3."""

    name = "cnn"

    widths: tuple[int, ...] = (16, 32, 64)
    """Channels of each stage; a max pooling halves the image after it."""
    embedding: Annotated[int, Field(ge=2)] = 64
    steps: Annotated[int, Field(ge=1)] = 400
    batch: Annotated[int, Field(ge=2)] = 48
    rate: Annotated[float, Field(gt=0)] = 0.02
    """Of SGD with Nesterov momentum 0.9, falling as a cosine."""
    decay: Annotated[float, Field(ge=0)] = 5e-4
    scale: Annotated[float, Field(gt=0)] = 16.0
    margin: Annotated[float, Field(ge=0)] = 0.2
    """Subtracted from the cosine of the right person in training."""
    shift: Annotated[float, Field(ge=0, le=0.5)] = 0.12
    """Random crops move by so much of the image's size."""
    erase: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Side of the erased patch, as a share of the image's."""
    blur: Annotated[float, Field(ge=0, le=1)] = 1.0
    """At most so much of an image is its blurred self: what a generator makes is smoother than a photo."""

    def fit(self, fitting: Fitting) -> Recogniser:
        return ModuleRecogniser(fitting.trained(), fitting.engine)

    def network(self, fitting: Fitting) -> nn.Module:
        return CosineNet(self.widths, self.embedding, fitting.photos.classes, self.scale)

    def train(self, network: nn.Module, fitting: Fitting) -> None:
        photos, device = fitting.photos, fitting.engine.device
        network.to(device).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        images, labels = photos.images.to(device), photos.labels.to(device)
        optimiser = torch.optim.SGD(
            network.parameters(), self.rate, momentum=0.9, nesterov=True, weight_decay=self.decay
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        for step in range(self.steps):
            batch = torch.randint(len(images), (self.batch,)).to(device)
            right = F.one_hot(labels[batch], photos.classes)
            logits = network(self._changed(images[batch])) - self.scale * self.margin * right
            optimiser.zero_grad()
            F.cross_entropy(logits, labels[batch]).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            fitting.progress(step + 1, self.steps)
        network.eval()

    def _changed(self, images: Tensor) -> Tensor:
        """Each image (B, 1, H, W) cropped elsewhere, mirrored, its gamma changed, blurred, a patch of it erased."""
        n, _, height, width = images.shape
        down, across = (round(self.shift * side) for side in (height, width))
        padded = F.pad(images, (across, across, down, down), mode="replicate")
        top, left = torch.randint(2 * down + 1, (n, 1)), torch.randint(2 * across + 1, (n, 1))
        rows, columns = top + torch.arange(height), left + torch.arange(width)
        mirrored = torch.rand(n) < 0.5
        columns[mirrored] = columns[mirrored].flip(1)
        moved = padded[torch.arange(n)[:, None, None], 0, rows[:, :, None], columns[:, None, :]].unsqueeze(1)
        smooth = F.avg_pool2d(F.avg_pool2d(F.pad(moved, (2, 2, 2, 2), mode="replicate"), 3, 1), 3, 1)
        moved = moved.lerp(smooth, self.blur * torch.rand(n, 1, 1, 1).to(images.device))
        gamma = (0.7 * (2 * torch.rand(n, 1, 1, 1) - 1)).exp().to(images.device)
        tall, wide = (max(1, round(self.erase * side)) for side in (height, width))
        y, x = torch.randint(height, (n, 1)) - tall // 2, torch.randint(width, (n, 1)) - wide // 2
        in_rows = (torch.arange(height) >= y) & (torch.arange(height) < y + tall)
        in_columns = (torch.arange(width) >= x) & (torch.arange(width) < x + wide)
        erased = (in_rows[:, :, None] & in_columns[:, None, :]).unsqueeze(1).to(images.device)
        return moved.clamp(1e-3, 1).pow(gamma).masked_fill(erased, 0.5)


def _conv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())
