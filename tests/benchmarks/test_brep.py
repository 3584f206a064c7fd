"""brep's trials a minute against the same algorithm one target at a time, as published code runs it.

``whole``: a trial looks for a start, walks, and votes. Alone, it looks until an answer of its own has its label; in one
batch each answer serves all identities, so that a trial sends fewer images for the same walk.
``walk``: everybody begins at its seed and sends the same images; what is left is the speed of one big batch.
"""

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attacks._crops import cropped
from mia_bench.core import Access, Oracle

PAIRS = 16
VOTES = 6
STEPS = {"whole": 9, "walk": 4}
"""In the batch. The first of them finds a start for nearly everybody on orl, so a trial alone walks one less."""
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
        oracle = Oracle(
            target,
            registry.defense("labelonly"),
            access=Access.LABEL_ONLY,
            trials=len(trials),
            budget=budget,
            rng=torch.Generator().manual_seed(0),
        )
        attack.run(oracle, generator, trials)
        assert oracle.ledger.per_trial.tolist() == [budget] * len(trials)

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
        """(32, m): orthogonal directions and their opposites, as long as Q1's codes are in u."""
        m = len(self.mean)
        q = torch.linalg.qr(torch.randn(m, PAIRS, generator=self.draw)).Q.T * m**0.5
        return torch.cat([q, -q])

    def answered(self, u: Tensor) -> Tensor:
        """Labels of points (n, m), each call's seen through a crop of its own."""
        by = (torch.randn(1, 3, generator=self.draw) / 2).clamp(-1, 1) * 0.05
        return torch.cat([self.label(part, by.expand(len(part), -1)) for part in u.split(self.points)])

    def label(self, u: Tensor, by: Tensor) -> Tensor:
        scores: Tensor = self.target(cropped(self.decoder(self.mean + self.std * u), by))
        return scores.argmax(1)

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
        return float((self.answered(answer.expand(VOTES, -1)) == label).float().mean()) > 0.5


@pytest.mark.benchmark(group="brep, trials a minute")
@pytest.mark.parametrize("points", [2 * PAIRS, 1], ids=["32_points", "1_point"])
@pytest.mark.parametrize("kind", ["whole", "walk"])
def test_one_target_at_a_time(benchmark, lab, trials, kind, points):
    identities = len(trials) // 3
    codes = lab.generator("A", "vae").encode(trials.public.images)
    nets = lab._trained("vae", "A").decoder.eval(), lab._trained("target", "A").eval()
    alone = Alone(*nets, codes.mean(0), codes.std(0), points, torch.Generator().manual_seed(0))

    def one_by_one():
        with torch.no_grad():
            for z, label in zip(trials.z0.split(1), trials.labels.tolist()[:identities], strict=False):
                if kind == "walk":
                    alone.walk((z - alone.mean) / alone.std, label, STEPS["walk"])
                elif (start := alone.start(label)) is not None:
                    alone.walk(start, label, STEPS["whole"] - 1)

    benchmark.pedantic(one_by_one, rounds=2 if points > 1 else 1, warmup_rounds=0)
    report(benchmark, identities)
