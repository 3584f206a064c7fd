"""The same job on a GPU, where there is one."""

import pytest
import torch

import mia_bench


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: run on a machine whose torch sees one")
def test_cuda_agrees_with_the_cpu_within_five_points(tmp_path):
    found = {
        device: mia_bench.evaluate(identities=10, trials=2, device=device, out=tmp_path / device)
        for device in ("cpu", "cuda")
    }
    for on_cpu, on_gpu in zip(found["cpu"], found["cuda"], strict=True):
        assert abs(on_cpu.attack_accuracy.top1 - on_gpu.attack_accuracy.top1) <= 0.05
