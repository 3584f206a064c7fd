"""What several tests need: a command line, folders of made-up faces, scores, services and oracles."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mia_bench.bench.offers import Offers
from mia_bench.bench.oracle import Ledger, open_oracle
from mia_bench.plugin import Access, ModuleRecogniser, Oracle, Pipeline, Query, Recogniser, Service


def mia(*arguments: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """mia-bench as a person runs it, in a process of its own, with these environment variables besides."""
    return subprocess.run(
        [sys.executable, "-c", "from mia_bench.cli import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=300,
        env={**os.environ, **environment},
    )


def refused(result: subprocess.CompletedProcess[str], *words: str) -> None:
    """Assert exit status 2, nothing on stdout, and one line on stderr that holds the words."""
    assert result.returncode == 2, result.stdout + result.stderr
    assert result.stdout == ""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    for word in words:
        assert word in lines[0], lines[0]


def face_folder(root: Path, counts: dict[str, int], size=(48, 40), mode="L", suffix=".png") -> Path:
    """A folder of one folder per person with random smooth pictures (no real people)."""
    rng = np.random.default_rng(7)
    for person, count in counts.items():
        (root / person).mkdir(parents=True)
        own = rng.integers(0, 256, (6, 5))
        for photo in range(count):
            coarse = np.clip(own + rng.normal(0, 12, own.shape), 0, 255).astype(np.uint8)
            picture = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode)
            picture.save(root / person / f"{photo:02d}{suffix}")
    return root


def random_scores(batch: int, classes: int, seed: int = 0) -> torch.Tensor:
    """Softmax scores (batch, classes) of random logits."""
    logits = 3 * torch.randn(batch, classes, generator=torch.Generator().manual_seed(seed))
    return logits.softmax(1)


def service_of(inner: Service, pipeline: Pipeline, rng: torch.Generator | None = None) -> Service:
    """A service behind defenses that prepare nothing, with nothing remembered yet."""
    return pipeline.wrap(inner, [None] * len(pipeline.stages), rng or torch.Generator().manual_seed(0))


def answers(pipeline: Pipeline, scores: torch.Tensor, rng: torch.Generator | None = None) -> torch.Tensor:
    """What goes out of a service that answers these scores (batch, classes), each to an account of its own."""
    query = Query(torch.zeros(len(scores), 1, 1, 1), torch.arange(len(scores)))
    return service_of(lambda asked: scores, pipeline, rng)(query)


def oracle_of(
    target: Recogniser,
    pipeline: Pipeline,
    access: Access = Access.SCORES,
    trials: int = 1,
    budget: int = 100,
    *,
    budgets: tuple[int, ...] | None = None,
    offers: Offers | None = None,
    image: tuple[int, int] = (32, 32),
    rng: torch.Generator | None = None,
) -> tuple[Oracle, Ledger]:
    """The oracle of one attack on a target behind defenses that prepare nothing, and its ledger: one service for all
    trials, a budget of ``budget`` or of the last of ``budgets``."""
    return open_oracle(
        [service_of(target, pipeline, rng)],
        target.logits if isinstance(target, ModuleRecogniser) else None,
        access=access,
        leaves=pipeline.access,
        replicate=torch.zeros(trials, dtype=torch.int64),
        budgets=budgets or (budget,),
        image=image,
        offers=offers,
    )
