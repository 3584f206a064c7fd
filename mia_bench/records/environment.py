"""What a record says about the machine and the code that made it."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ..plugin.engine import Engine


def mia_bench_version() -> str:
    """Of the package."""
    return version("mia-bench")


def describe(engine: Engine) -> dict[str, Any]:
    """Versions, commit, device, engine setting and threads."""
    return {
        "mia_bench": mia_bench_version(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "threads": torch.get_num_threads(),
        **engine.describe(),
        **_commit(),
    }


def _commit() -> dict[str, Any]:
    """The git commit of the checkout this package is installed from, if it is one; dirty where code was changed."""
    here = Path(__file__).resolve().parent.parent.parent
    if not (here / ".git").exists():
        return {"commit": None, "dirty": None}
    try:
        commit = _git(here, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git(here, "status", "--porcelain", "--", ".", ":!leaderboard"))}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=10
    ).stdout.strip()
