"""brep's trials a minute against the same algorithm one target at a time, as published code runs it.

All send the same number of images a trial; nobody is without a start, so that each does the same work.
"""

import pytest
import torch
import torch.nn.functional as F

from mia_bench.core import Access, Oracle

TRIALS = 60
PAIRS = 16
STEPS = 4
VOTES = 6
BUDGET = 2 * PAIRS * STEPS + VOTES


@pytest.fixture(scope="module")
def trials(lab):
    return lab.trials("A", "vae", lab.split("A").targets, TRIALS // 20, seed=0)


def report(benchmark, trials):
    benchmark.extra_info["trials_per_minute"] = round(60 * trials / benchmark.stats.stats.min)


@pytest.mark.benchmark(group="brep, trials a minute")
def test_brep(benchmark, lab, registry, trials):
    attack = registry.attack(f"brep:pairs={PAIRS},votes={VOTES}")
    generator, target = lab.generator("A", "vae"), lab.target("A", registry.target("paper"))

    def run():
        oracle = Oracle(
            target,
            registry.defense("labelonly"),
            access=Access.LABEL_ONLY,
            trials=TRIALS,
            budget=BUDGET,
            rng=torch.Generator().manual_seed(0),
        )
        attack.run(oracle, generator, trials)
        assert oracle.ledger.per_trial.tolist() == [BUDGET] * TRIALS

    benchmark.pedantic(run, rounds=3, warmup_rounds=1)
    report(benchmark, TRIALS)


@pytest.mark.benchmark(group="brep, trials a minute")
@pytest.mark.parametrize(("points", "targets"), [(2 * PAIRS, 10), (1, 3)], ids=["32_points", "1_point"])
def test_one_target_at_a_time(benchmark, lab, trials, points, targets):
    """In plain PyTorch, so many points a call."""
    decoder, target = lab._trained("vae", "A").decoder.eval(), lab._trained("target", "A").eval()
    codes = lab.generator("A", "vae").encode(trials.public.images)
    mean, std = codes.mean(0), codes.std(0)

    def crop(image):
        scale, right, down = ((torch.randn(3) / 2).clamp(-1, 1) * 0.05).tolist()
        theta = torch.tensor([[[1 + scale, 0.0, 2 * right], [0.0, 1 + scale, 2 * down]]]).expand(len(image), -1, -1)
        grid = F.affine_grid(theta, list(image.shape), align_corners=False)
        return F.grid_sample(image, grid, padding_mode="border", align_corners=False)

    def answered(u):
        return torch.cat([target(crop(decoder(mean + std * part))).argmax(1) for part in u.split(points)])

    def attack(u, label):
        radius, v, answer = 0.5, torch.zeros(1, 32), u
        for _ in range(STEPS):
            q = torch.linalg.qr(torch.randn(32, PAIRS)).Q.T * 32**0.5
            q = torch.cat([q, -q])
            hit = (answered(u + radius * q) == label).float()
            share = float(hit.mean())
            v = 0.9 * v + 0.1 * 32**0.5 * F.normalize((hit - share).unsqueeze(0) @ q)
            u = 0.99 * (u + 0.3 * radius * v)
            radius = min(2.0, radius * float(torch.tensor(0.5 * (share - 0.6)).exp()))
            answer = 0.8 * answer + 0.2 * u
        return decoder(mean + std * answer), float((answered(answer.expand(VOTES, -1)) == label).float().mean()) > 0.5

    def one_by_one():
        with torch.no_grad():
            for z, label in zip(trials.z0[:targets].split(1), trials.labels[:targets], strict=True):
                attack((z - mean) / std, int(label))

    benchmark.pedantic(one_by_one, rounds=2, warmup_rounds=0)
    report(benchmark, targets)
