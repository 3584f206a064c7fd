"""brep's trials a minute against the same algorithm one target at a time in plain PyTorch, as published code runs it.

``whole``: a trial looks for a start, walks, and votes. Alone, it looks until an answer of its own has its label; in one
batch each answer serves all identities, so that a trial sends fewer images for the same walk.
``walk``: a trial alone is given a start and sends as many images as one in the batch; what is left is the speed of big
batches and of the engine.
"""

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attacks._crops import cropped
from mia_bench.networks.lesson import Role
from mia_bench.plugin import Access

from ..helpers import oracle_of

PAIRS = 16
VOTES = 6
STEPS = {"whole": 9, "walk": 4}
"""In the batch. The first of them looks for a start, and has one for 95% of orl's trials; a trial alone then walks one
step less, the others in full."""
LOST = 5_000
"""Images after which a trial alone gives up looking: the suite's largest budget on orl."""


@pytest.fixture(scope="module")
def trials(lab):
    return lab.trials("A", "vae", lab.split("A").targets, 3, seed=0)


def report(benchmark, trials):
    benchmark.extra_info["trials_per_minute"] = round(60 * trials / benchmark.stats.stats.min)


@pytest.mark.benchmark(group="brep, trials a minute")
@pytest.mark.parametrize("kind", ["whole", "walk"])
def test_brep(benchmark, lab, registry, trials, kind):
    attack = registry.attack(f"brep:pairs={PAIRS},votes={VOTES}")
    generator, target = lab.generator("A", "vae"), lab.target("A", registry.target("paper"))
    budget = 2 * PAIRS * STEPS[kind] + VOTES

    def run():
        oracle, ledger = oracle_of(target, registry.defense("labelonly"), Access.LABEL_ONLY, len(trials), budget)
        attack.run(oracle, generator, trials)
        assert ledger.per_trial.tolist() == [budget] * len(trials)

    benchmark.pedantic(run, rounds=4, warmup_rounds=1)
    report(benchmark, len(trials))


@dataclass
class Alone:
    """brep in plain PyTorch for one trial at a time, ``points`` images a call."""

    decoder: nn.Module
    target: nn.Module
    mean: Tensor
    std: Tensor
    points: int
    draw: torch.Generator

    def sphere(self) -> Tensor:
        """(2 PAIRS, m): orthogonal directions and their opposites, as long as Q1's codes are in u."""
        m = len(self.mean)
        q = torch.linalg.qr(torch.randn(m, PAIRS, generator=self.draw)).Q.T * m**0.5
        return torch.cat([q, -q])

    def answered(self, u: Tensor, pairs: bool = True) -> Tensor:
        """Labels of points (n, m), seen through a crop a pair, or each."""
        drawn = torch.randn(len(u) // (1 + pairs), 3, generator=self.draw).repeat(1 + pairs, 1)
        by = (drawn / 2).clamp(-1, 1) * 0.05
        calls = zip(u.split(self.points), by.split(self.points), strict=True)
        return torch.cat(
            [self.target(cropped(self.decoder(self.mean + self.std * u), by)).argmax(1) for u, by in calls]
        )

    def start(self, label: int) -> Tensor | None:
        """The mean (1, m) of the first points on the sphere that have the label."""
        for _ in range(0, LOST, 2 * PAIRS):
            u = self.sphere()
            hit = self.answered(u) == label
            if hit.any():
                return u[hit].mean(0, keepdim=True)
        return None

    def walk(self, u: Tensor, label: int, steps: int) -> bool:
        """From u (1, m); whether most votes have the label in the end."""
        m = u.shape[1]
        radius, v, answer = 0.5, torch.zeros_like(u), u
        for _ in range(steps):
            q = self.sphere()
            hit = (self.answered(u + radius * q) == label).float()
            share = float(hit.mean())
            v = 0.9 * v + 0.1 * m**0.5 * F.normalize((hit - share).unsqueeze(0) @ q)
            u = 0.99 * (u + 0.3 * radius * v)
            radius = min(2.0, radius * float(torch.tensor(0.5 * (share - 0.6)).exp()))
            answer = 0.8 * answer + 0.2 * u
        self.decoder(self.mean + self.std * answer)
        return float((self.answered(answer.expand(VOTES, -1), pairs=False) == label).float().mean()) > 0.5


@pytest.mark.benchmark(group="brep, trials a minute")
@pytest.mark.parametrize("points", [2 * PAIRS, 1], ids=["32_points", "1_point"])
@pytest.mark.parametrize("kind", ["whole", "walk"])
def test_one_target_at_a_time(benchmark, lab, trials, kind, points):
    """One trial of each identity."""
    one_each = trials.replicates()[0]
    codes = lab.generator("A", "vae").encode(trials.public.images)
    nets = lab.trained(Role("vae"), "A").decoder.eval(), lab.trained(Role("target"), "A").eval()

    def one_by_one():
        alone = Alone(*nets, codes.mean(0), codes.std(0), points, torch.Generator().manual_seed(0))
        with torch.no_grad():
            for z, label in zip(trials.z0[one_each].split(1), trials.labels[one_each].tolist(), strict=True):
                if kind == "walk":
                    alone.walk((z - alone.mean) / alone.std, label, STEPS["walk"])
                elif (start := alone.start(label)) is not None:
                    alone.walk(start, label, STEPS["whole"] - 1)

    benchmark.pedantic(one_by_one, rounds=4 if points > 1 else 2, warmup_rounds=1 if points > 1 else 0)
    report(benchmark, len(one_each))
