"""What all figures share: matplotlib when it is installed, light and dark, files that are the same every time."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import write_atomic
from ..plugin.errors import RequestError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Theme:
    """Colours by what they are for. None carries a meaning alone: shapes and line styles do."""

    name: str
    paper: str
    ink: str
    quiet: str
    """What is there to be looked up: bars, leaders, the other lines."""
    accent: str


THEMES = (
    Theme("light", paper="#ffffff", ink="#1b1b1b", quiet="#9a9a9a", accent="#0b57a4"),
    Theme("dark", paper="#15181d", ink="#e6e6e6", quiet="#7d838c", accent="#7cb8ff"),
)


def load_matplotlib() -> None:
    """RequestError where matplotlib is not installed."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise RequestError("figures need matplotlib: pip install -e '.[figures]'") from None


@contextmanager
def themed(theme: Theme) -> Iterator[None]:
    """Draw in a theme. Text is taken as it is: a name from a record is no formula."""
    from matplotlib import rc_context

    settings: dict[Any, object] = {
        "text.color": theme.ink,
        "axes.labelcolor": theme.ink,
        "xtick.color": theme.ink,
        "ytick.color": theme.ink,
        "figure.facecolor": theme.paper,
        "axes.facecolor": theme.paper,
        "axes.titlelocation": "left",
        "axes.titlesize": 9,
        "axes.edgecolor": theme.quiet,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "font.size": 9,
        "text.parse_math": False,
    }
    with rc_context(settings):
        yield


def save(figure: "Figure", folder: Path, name: str) -> list[Path]:
    """name.png and name.svg: with a fixed salt and no date, equal figures give equal files."""
    from matplotlib import rc_context

    files = []
    for suffix in ("png", "svg"):
        buffer = io.BytesIO()
        with rc_context({"svg.hashsalt": name}):
            figure.savefig(buffer, format=suffix, dpi=150, metadata={"Date": None} if suffix == "svg" else None)
        write_atomic(folder / f"{name}.{suffix}", buffer.getvalue())
        files.append(folder / f"{name}.{suffix}")
    return files
