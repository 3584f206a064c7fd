"""How fast attacks run. Run with: pytest tests/benchmarks --benchmark-only

Absolute times say little on a shared machine; the ratios within one run do, and are printed at the end (conftest.py):
engine / forward_limit (how near an attack step comes to doing nothing but D and R_tar) and engine / naive (against the
same attack one trial at a time in plain PyTorch).
"""

import pytest
import torch
import torch.nn.functional as F

from mia_bench.networks.lesson import Role
from mia_bench.plugin import gradient

from ..helpers import oracle_of

TRIALS = 100
STEPS = {"wb": 10, "bb": 1}
PERTURBATIONS = 64


@pytest.fixture(scope="module")
def trials(lab):
    return lab.trials("A", "vae", lab.split("A").targets, TRIALS // 20, seed=0)


def report(benchmark, images):
    benchmark.extra_info["images_per_s"] = round(images / benchmark.stats.stats.min)


def images_of(attack):
    return TRIALS * STEPS[attack] * (1 if attack == "wb" else 1 + PERTURBATIONS)


@pytest.mark.benchmark(group="images a second")
@pytest.mark.parametrize("attack", ["wb", "bb"])
def test_engine(benchmark, lab, registry, trials, attack):
    """Steps of 100 trials as one batch, through the oracle; no trial stops, sigma^2 is not searched."""
    chosen = registry.attack({"wb": f"wb:stop=1.0,max_steps={STEPS['wb']}", "bb": "bb:stop=1.0,sigma2=0.01"}[attack])
    generator, target = lab.generator("A", "vae"), lab.target("A", registry.target("paper"))

    def steps():
        budget = images_of(attack) // TRIALS
        oracle, ledger = oracle_of(target, registry.defense("none"), chosen.access, TRIALS, budget)
        chosen.run(oracle, generator, trials)
        assert int(ledger.per_trial.sum()) == images_of(attack)

    benchmark.pedantic(steps, rounds=5, warmup_rounds=1)
    report(benchmark, images_of(attack))


@pytest.mark.benchmark(group="images a second")
def test_forward_limit(benchmark, lab):
    """The images of a bb step through D and R_tar in micro-batches, doing nothing else."""
    engine = lab.engine
    decoder = engine.ready(lab.trained(Role("vae"), "A").decoder)
    target = engine.ready(lab.trained(Role("target"), "A"))
    z = torch.randn(images_of("bb"), 32, generator=torch.Generator().manual_seed(0))

    def forward():
        with torch.inference_mode():
            for piece in z.split(engine.micro_batch):
                target(decoder(piece))

    benchmark.pedantic(forward, rounds=5, warmup_rounds=1)
    report(benchmark, images_of("bb"))


@pytest.mark.benchmark(group="images a second")
@pytest.mark.parametrize("attack", ["wb", "bb"])
def test_naive(benchmark, lab, trials, attack):
    """The same steps one trial at a time in plain PyTorch, as published code does it."""
    decoder, target = lab.trained(Role("vae"), "A").decoder.eval(), lab.trained(Role("target"), "A").eval()

    def wb(z, label):
        for _ in range(STEPS["wb"]):
            z = z.detach().requires_grad_()
            (g,) = torch.autograd.grad(F.cross_entropy(target(decoder(z)), label), z)
            z = z - min(100.0, 0.1 / float(g.norm())) * g

    def bb(z, label):
        with torch.no_grad():
            for _ in range(STEPS["bb"]):
                base = F.cross_entropy(target(decoder(z)), label)
                E = 0.1 * torch.randn(1, PERTURBATIONS, 32)
                logits = target(decoder(z + E[0]))
                s = F.cross_entropy(logits, label.expand(PERTURBATIONS), reduction="none") - base
                g = gradient(E, s.unsqueeze(0))
                z = z - min(100.0, 0.1 / float(g.norm())) * g

    def one_by_one():
        for z, label in zip(trials.z0.split(1), trials.labels.split(1), strict=True):
            {"wb": wb, "bb": bb}[attack](z, label)

    benchmark.pedantic(one_by_one, rounds=3, warmup_rounds=0)
    report(benchmark, images_of(attack))


@pytest.mark.benchmark(group="micro-batch size")
@pytest.mark.parametrize("size", [64, 128, 256, 512, 1024, 4096])
def test_micro_batch(benchmark, lab, size):
    """What Engine.on's micro-batch size was chosen by: D and R_tar over 8,192 latents in pieces of ``size``."""
    decoder = lab.engine.ready(lab.trained(Role("vae"), "A").decoder)
    target = lab.engine.ready(lab.trained(Role("target"), "A"))
    z = torch.randn(8192, 32, generator=torch.Generator().manual_seed(0))

    def forward():
        with torch.inference_mode():
            for piece in z.split(size):
                target(decoder(piece))

    benchmark.pedantic(forward, rounds=5, warmup_rounds=1)
    report(benchmark, len(z))
