"""Both embedders from LFW's public people and the teachers' descriptors (``teachers.py``), on one core.

``python train_embedders.py target LFW_FOLDER DESCRIPTORS_FOLDER target.safetensors`` (and ``evaluator`` likewise).
A student learns the direction of its teacher's centred descriptor (faceres's 1,024 numbers: of their first 128
principal components) and the similarities of a batch, from images in which light, place, blur and often the coarse
content or the surroundings are changed: what a face recogniser must not go by.
"""

import argparse
import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from data import LFW_WIDE_BOX, SIDE, WIDE, halves, lfw, load
from eigenfaces import SURROUNDINGS, Eigenfaces
from pictures import blurred, coarse, ellipse, invented
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mia_bench.networks.gallery import NUMBERS
from mia_bench.networks.gallery import Plain as Evaluator
from mia_bench.networks.gallery import Residual as Target

BATCH = 96
STEPS, LEARNING_RATE = 6000, 3e-3
"""Of the first stage, of photos alone; the latter is the one-cycle schedule's highest."""
SECOND_LEARNING_RATE = 1.5e-3
WEIGHT_DECAY = 0.05
SIMILARITIES = 5.0
"""Weight of the squared error of the batch's cosines beside the cosine to the teacher."""
AVERAGE = 0.998
"""Of the moving average of weights, which is what is saved."""
REDRAWN = 0.25
"""Share of R_eval's images redrawn by eigenfaces: it must know faces as a prior draws them."""


@dataclass(frozen=True)
class Role:
    """What makes the two embedders two."""

    network: type[nn.Module]
    half: str
    """Of the public people."""
    teacher: str
    """Its descriptors' files begin so."""
    redraws: bool
    """Some images are redrawn by eigenfaces of the half."""
    second_steps: int
    """Of the second stage, in which invented people are shown beside the photos."""


ROLES = {
    "target": Role(Target, "A", "dlib-A", redraws=False, second_steps=2400),
    "evaluator": Role(Evaluator, "B", "faceres-B", redraws=True, second_steps=1200),
}


def teaching(descriptors: Tensor, others: Tensor) -> Tensor:
    """Directions to learn (N + M, 128): both centred, in the first's principal components if wider, of length one."""
    mean = descriptors.mean(0)
    centred = torch.cat([descriptors, others]) - mean
    if centred.shape[1] > NUMBERS:
        _, _, axes = torch.linalg.svd(descriptors - mean, full_matrices=False)
        centred = centred @ axes[:NUMBERS].T
    return F.normalize(centred)


def augment(images: Tensor, redrawn: Callable[[Tensor], Tensor] | None) -> Tensor:
    """Wide images (B, 1, 80, 80) in [0, 1] changed at random and cut to (B, 1, 64, 64)."""
    n = len(images)
    if redrawn is not None:
        images = torch.where(torch.rand(n, 1, 1, 1) < REDRAWN, redrawn(images), images)
    images = _moved(images)
    other, chance = images[torch.randperm(n)], torch.rand(n, 1, 1, 1)
    swapped = images - coarse(images) + coarse(other)
    inside = ellipse(SIDE, SIDE)
    surrounded = inside * images + (1 - inside) * other
    images = torch.where(chance < 0.5, swapped, torch.where(chance < 0.65, surrounded, images))
    images = torch.where(torch.rand(n, 1, 1, 1) < 0.4, blurred(images, 0.4 + 1.2 * float(torch.rand(()))), images)
    return _lit(images)


def _moved(images: Tensor) -> Tensor:
    """Turned, scaled, stretched, shifted and mirrored; (B, 1, 80, 80) -> (B, 1, 64, 64)."""
    n = len(images)
    angle, stretch = 0.14 * _uniform(n), 0.07 * _uniform(n)
    scale = SIDE / WIDE * (0.12 * _uniform(n)).exp()
    mirror = torch.where(torch.rand(n) < 0.5, -1.0, 1.0)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = angle.cos() * scale * stretch.exp() * mirror
    theta[:, 0, 1] = -angle.sin() * scale
    theta[:, 1, 0] = angle.sin() * scale * mirror
    theta[:, 1, 1] = angle.cos() * scale * (-stretch).exp()
    theta[:, :, 2] = 0.09 * _uniform(n, 2)  # of 40 pixels
    grid = F.affine_grid(theta, [n, 1, SIDE, SIDE], align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _lit(images: Tensor) -> Tensor:
    """With another light direction, gamma, contrast, brightness, and with noise; same shape, in [0, 1]."""
    n = len(images)
    line = torch.linspace(-1, 1, SIDE)
    direction = 2 * math.pi * torch.rand(n, 1, 1, 1)
    slope = 0.6 * torch.rand(n, 1, 1, 1) * (direction.cos() * line + direction.sin() * line.unsqueeze(1))
    lit = (images.clamp(1e-3, 1) ** (0.4 * _uniform(n, 1, 1, 1)).exp()) * (1 + slope)
    lit = (lit - 0.5) * (1 + 0.4 * _uniform(n, 1, 1, 1)) + 0.5 + 0.12 * _uniform(n, 1, 1, 1)
    return (lit + 0.04 * torch.rand(n, 1, 1, 1) * torch.randn_like(lit)).clamp(0, 1)


def _uniform(*shape: int) -> Tensor:
    return torch.rand(*shape) * 2 - 1


def train(
    net: nn.Module,
    images: Tensor,
    taught: Tensor,
    redrawn: Callable[[Tensor], Tensor] | None,
    steps: int,
    learning_rate: float,
    report: int = 600,
) -> nn.Module:
    """The moving average of ``net`` trained on wide images (N, 80, 80) uint8 towards directions (N, 128)."""
    net.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(net)
    optimiser = torch.optim.AdamW(net.parameters(), learning_rate, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=steps, pct_start=0.2)
    started, cosines = time.time(), 0.0
    for step in range(1, steps + 1):
        batch = torch.randint(len(images), (BATCH,))
        wanted = taught[batch]
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):  # nearly twice as fast where the processor has it, as good
            found = net(augment(images[batch].unsqueeze(1) / 255, redrawn))
        found = found.float()
        cosine = (found * wanted).sum(1).mean()
        error = (found @ found.T - wanted @ wanted.T).square().mean()
        loss = 1 - cosine + SIMILARITIES * error
        loss.backward()
        optimiser.step()
        schedule.step()
        kept = min(AVERAGE, step / (step + 10))
        with torch.no_grad():
            for slow, fast in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
                if slow.is_floating_point():
                    slow.lerp_(fast, 1 - kept)
                else:
                    slow.copy_(fast)
        cosines += cosine.item()
        if step % report == 0:
            print(
                f"{step}: cosine {cosines / report:.3f}, similarities off by {error.item():.4f}; "
                f"{time.time() - started:.0f} s",
                flush=True,
            )
            cosines = 0.0
    return average.eval()


def save(net: nn.Module, file: Path) -> None:
    """Weights as float16."""
    kept = {
        name: value.half().contiguous() if value.is_floating_point() else value
        for name, value in net.state_dict().items()
    }
    save_file(kept, file)


def main() -> None:
    """Train one of the two."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=ROLES)
    for name in ("lfw", "descriptors", "weights"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first-stage", type=Path, help="weights of a finished first stage, to go on from")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(given.seed)
    role = ROLES[given.role]
    images = torch.from_numpy(load(halves(lfw(given.lfw)[0])[role.half], LFW_WIDE_BOX, WIDE)[0])
    described, others = (np.load(given.descriptors / f"{role.teacher}{part}.npy") for part in ("", "-invented"))
    taught = teaching(torch.from_numpy(described), torch.from_numpy(others))

    def redrawn(surroundings: float) -> Callable[[Tensor], Tensor] | None:
        return Eigenfaces.fit(images.unsqueeze(1) / 255, 256, surroundings).redrawn if role.redraws else None

    net = role.network()
    if given.first_stage:
        net.load_state_dict(load_file(given.first_stage))
    else:
        net = train(net, images, taught[: len(images)], redrawn(1.0), STEPS, LEARNING_RATE)
        save(net, given.weights.with_suffix(".first.safetensors"))
    everybody = torch.cat([images, invented(images, len(others))])
    save(train(net, everybody, taught, redrawn(SURROUNDINGS), role.second_steps, SECOND_LEARNING_RATE), given.weights)


if __name__ == "__main__":
    main()
