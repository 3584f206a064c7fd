"""Small real runs on the pinned weights; nothing here reaches the network."""

import os
from pathlib import Path

import pytest
import torch

from mia_bench import evaluate
from mia_bench.bench.laboratory import Laboratory
from mia_bench.bench.registry import Registry
from mia_bench.plugin import Engine
from mia_bench.protocol import model as protocol

LFW_VARIABLE = "MIA_BENCH_LFW"

if "PYTEST_XDIST_WORKER" in os.environ:  # two processes of two threads each would wait for one another
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """Never read or write the user's cache."""
    monkeypatch.setenv("MIA_BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def lab():
    """The orl protocol on the CPU with its pinned weights."""
    return Laboratory(protocol.load("orl"), Engine.on("cpu"))


@pytest.fixture(scope="session")
def registry():
    return Registry()


@pytest.fixture(scope="session")
def lfw():
    """The LFW folder, where there is one."""
    path = Path(os.environ.get(LFW_VARIABLE, "../shared/data/lfw_deepfunneled"))
    if not path.is_dir():
        pytest.skip(f"LFW is not here: set {LFW_VARIABLE} to the folder of lfw_deepfunneled")
    return path


@pytest.fixture(scope="session")
def attacked(tmp_path_factory):
    """The folder of a small run to build surveys from: five identities of fold A, two trials, both attacks."""
    out = tmp_path_factory.mktemp("attacked")
    evaluate(attacks=["wb", "bb"], folds=["A"], identities=5, trials=2, budget=300, out=out)
    return out
