"""Other people's code at work: what it does to the process does not outlast it, nor reach what comes after.

Not a prison: who means to can still get out. It keeps accidents, and habits, from changing another cell's figures.
"""

import os
import random
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import numpy as np
import torch


@contextmanager
def undisturbed(seed: int) -> Iterator[None]:
    """torch's modes as they are when Python starts, global random generators seeded, stdout led to stderr; afterwards
    all of these, the working directory and the environment's variables are as the caller had them.

    Code that draws from a global generator, which it should not, at least draws the same each time.
    """
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        yield from _undisturbed(seed)


_ONE_AT_A_TIME = threading.RLock()
"""What is set here is the whole process's: threads that run cells take turns."""


def _undisturbed(seed: int) -> Iterator[None]:
    folder, variables = _folder(), dict(os.environ)
    modes = _Modes()
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with (
            redirect_stdout(sys.stderr),
            torch.random.fork_rng(devices=range(torch.cuda.device_count())),
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast("cpu", enabled=False),
        ):
            if modes.device.type != "cpu":
                torch.set_default_device(None)
            torch.set_float32_matmul_precision("highest")
            torch.set_default_dtype(torch.float32)
            torch.use_deterministic_algorithms(False)
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)
            yield
    finally:
        modes.restore()
        random.setstate(python)
        np.random.set_state(numpy)
        if os.environ != variables:
            os.environ.clear()
            os.environ.update(variables)
        if folder is not None and _folder() != folder:
            os.chdir(folder)


class _Modes:
    """torch's global switches as they were when this was made."""

    def __init__(self) -> None:
        self._dtype = torch.get_default_dtype()
        self.device = torch.get_default_device()
        self._precision = torch.get_float32_matmul_precision()
        self._threads = torch.get_num_threads()
        self._grad = torch.is_grad_enabled()
        self._deterministic = torch.are_deterministic_algorithms_enabled()
        self._warn = torch.is_deterministic_algorithms_warn_only_enabled()

    def restore(self) -> None:
        torch.set_default_dtype(self._dtype)
        if torch.get_default_device() != self.device:
            torch.set_default_device(self.device)
        torch.set_float32_matmul_precision(self._precision)
        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        torch.set_grad_enabled(self._grad)
        torch.use_deterministic_algorithms(self._deterministic, warn_only=self._warn)


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was deleted under us
        return None
