"""How networks are trained: from photos, a recipe and a seed alone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..plugin.photos import Photos
from ..protocol.model import Augmentation, Recipe, RecogniserRecipe
from .nets import RecogniserNet

Progress = Callable[[int, int], None]
"""Called with (steps done, steps in all)."""


def recogniser(image: tuple[int, int], classes: int, recipe: RecogniserRecipe) -> RecogniserNet:
    """The network of a recipe, untrained, for images of this height and width."""
    return RecogniserNet(image, classes, recipe.widths, recipe.hidden, recipe.dropout, recipe.mirror)


def train_recogniser(
    photos: Photos, recipe: RecogniserRecipe, seed: int, device: torch.device, progress: Progress
) -> RecogniserNet:
    """R_tar or R_eval: cross-entropy over the people of ``photos``."""
    with seeded(seed):
        height, width = photos.images.shape[-2:]
        net = recogniser((height, width), photos.classes, recipe)

        def loss(images: Tensor, labels: Tensor) -> Tensor:
            return F.cross_entropy(net(images), labels, label_smoothing=recipe.label_smoothing)

        fit(net, loss, photos, recipe, device, progress)
    return net


def fit(
    net: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    photos: Photos,
    recipe: Recipe,
    device: torch.device,
    progress: Progress,
) -> None:
    """Train ``net`` in place on ``loss(images, labels)`` of random augmented batches; leaves it in evaluation mode."""
    net.to(device).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    images, labels = photos.images.to(device), photos.labels.to(device)
    optimiser = torch.optim.AdamW(net.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.learning_rate, total_steps=recipe.steps)
    for step in range(recipe.steps):
        batch = torch.randint(len(images), (recipe.batch,)).to(device)
        optimiser.zero_grad()
        loss(augment(images[batch], recipe.augment), labels[batch]).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        progress(step + 1, recipe.steps)
    net.eval()


def augment(images: Tensor, by: Augmentation) -> Tensor:
    """Each image (B, 1, H, W) in [0, 1] turned, scaled, shifted, mirrored, blurred, re-lit at random; same shape and
    range."""
    n = len(images)
    angle = _uniform(n) * by.rotate
    scale = 1 + _uniform(n) * by.scale
    mirror = torch.where(torch.rand(n) < 0.5, -1.0, 1.0) if by.flip else torch.ones(n)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = angle.cos() * scale * mirror
    theta[:, 0, 1] = -angle.sin() * scale
    theta[:, 1, 0] = angle.sin() * scale * mirror
    theta[:, 1, 1] = angle.cos() * scale
    theta[:, :, 2] = _uniform(n, 2) * by.shift * 2  # grid_sample's coordinates span 2
    grid = F.affine_grid(theta, list(images.shape), align_corners=False).to(images.device)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    if by.blur:  # asked first: a recipe without blur must go on drawing what it drew
        moved = _blurred(moved, torch.rand(n) * by.blur * images.shape[-2])
    contrast = (1 + _uniform(n, 1, 1, 1) * by.contrast).to(images.device)
    brightness = (_uniform(n, 1, 1, 1) * by.contrast / 2).to(images.device)
    return ((moved - 0.5) * contrast + 0.5 + brightness).clamp(0, 1)


def _blurred(images: Tensor, deviation: Tensor) -> Tensor:
    """Images (B, 1, H, W) after a Gaussian blur with each its own standard deviation (B,) in pixels."""
    reach = min(int(3 * deviation.max()) + 1, min(images.shape[-2:]) - 1)  # what reflection can pad
    offset = torch.arange(-reach, reach + 1)
    kernel = torch.exp(-0.5 * (offset / deviation.clamp(min=0.05).unsqueeze(1)).square())
    kernel = (kernel / kernel.sum(1, keepdim=True)).to(images.device).unsqueeze(1)
    n = len(images)  # as n channels of one image: a convolution for each
    padded = F.pad(images.transpose(0, 1), (reach,) * 4, mode="reflect")
    rows = F.conv2d(padded, kernel.unsqueeze(2), groups=n)
    return F.conv2d(rows, kernel.unsqueeze(3), groups=n).transpose(0, 1)


def _uniform(*shape: int) -> Tensor:
    return torch.rand(*shape) * 2 - 1


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Initialisation and dropout draw from torch's global generator: seed it for the block, restore it afterwards."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield
