"""The privacy-utility plane: what each defense leaves to honest users against what it leaves to the best attack."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import isotonic_regression

from .canvas import THEMES, Theme, load_matplotlib, save, themed

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

LEFT, PANEL, BOTTOM, TOP = 0.75, 5.0, 0.95, 0.55
"""Inches: margin, panel, margins below and above it."""
LETTER = 0.075
"""Inches a letter of a label takes, about."""
LINE = 0.2
"""Inches between two labels."""
APART = 0.15
"""Inches between two points of like utility: a marker and a little."""


@dataclass(frozen=True)
class Point:
    """One defense."""

    defense: str
    utility: float
    """Released top-1 on held-out photos, 0..1."""
    leak: float
    """Worst-case attack accuracy minus null at the highest budget, -1..1."""
    low: float
    high: float
    """95% interval of ``leak``."""
    suspected: bool = False
    """Masking suspected: such a figure makes no front."""


def front(points: Sequence[Point]) -> list[Point]:
    """The defenses that no other beats in utility and leak, by utility."""
    ranked = [point for point in points if not point.suspected]
    best = [point for point in ranked if not any(_beats(other, point) for other in ranked)]
    return sorted(best, key=lambda point: (point.utility, point.defense))


def _beats(a: Point, b: Point) -> bool:
    return a.utility >= b.utility and a.leak <= b.leak and (a.utility, a.leak) != (b.utility, b.leak)


def draw(points: Sequence[Point], folder: Path, title: str) -> list[Path]:
    """plane-light and plane-dark, PNG and SVG each; RequestError where matplotlib is not installed."""
    load_matplotlib()
    return [file for theme in THEMES for file in _draw(points, folder, title, theme)]


def _draw(points: Sequence[Point], folder: Path, title: str, theme: Theme) -> list[Path]:
    from matplotlib.figure import Figure

    tall = max(3.6, 0.5 + LINE * len(points))
    width = LEFT + PANEL + 0.3 + max(1.6, LETTER * max(len(point.defense) for point in points))
    height = BOTTOM + tall + TOP
    with themed(theme):
        figure = Figure(figsize=(width, height))
        panel = figure.add_axes((LEFT / width, BOTTOM / height, PANEL / width, tall / height))
        utility = np.array([point.utility for point in points])
        margin = max(0.01, 0.1 * float(np.ptp(utility)))
        left, right = utility.min() - margin, utility.max() + margin
        bottom, top = min(0.0, *(point.low for point in points)) - 0.04, max(point.high for point in points) + 0.04
        panel.set(xlim=(left, right), ylim=(bottom, top), title=fill(title, 90))
        by_place = sorted(points, key=lambda point: (point.utility, -point.leak, point.defense))
        gap, within = APART * (right - left) / PANEL, (left + margin / 2, right - margin / 2)
        places = _apart([point.utility for point in by_place], gap, *within)
        x = dict(zip((point.defense for point in by_place), places, strict=True))

        best = front(points)
        if best:
            edge = [(left, best[0].leak), *((x[point.defense], point.leak) for point in best)]
            edge.append((edge[-1][0], top))
            panel.plot(*zip(*edge, strict=True), drawstyle="steps-pre", color=theme.accent, lw=1.6, zorder=1)
        panel.axhline(0, color=theme.quiet, lw=0.8, ls=":", zorder=0)
        for point in points:
            at = x[point.defense]
            panel.plot([at, at], [point.low, point.high], color=theme.quiet, lw=1.2, marker="_", ms=6, zorder=2)
            panel.add_line(_mark(at, point.leak, _shape(point), point in best, theme))

        by_leak = sorted(points, key=lambda point: (point.leak, x[point.defense], point.defense))
        levels = _apart([point.leak for point in by_leak], LINE * (top - bottom) / tall, bottom, top)
        leader = {
            "arrowstyle": "-",
            "color": theme.quiet,
            "lw": 0.6,
            "ls": (0, (1, 2)),
            "shrinkB": 5,
            "relpos": (0, 0.5),
        }
        for point, level in zip(by_leak, levels, strict=True):
            panel.annotate(
                point.defense,
                xy=(x[point.defense], point.leak),
                xytext=(right + 0.15 * (right - left) / PANEL, level),
                va="center",
                annotation_clip=False,
                arrowprops=leader,
                zorder=0,
            )
        panel.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g}%" if value <= 1 else "")
        panel.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}")
        panel.set_xlabel("utility: released top-1 (equal ones side by side); more useful to the right")
        panel.set_ylabel("worst-case attack above null, points; safer below")
        _legend(figure, theme)
        return save(figure, folder, f"plane-{theme.name}")


def _apart(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Ascending places moved as little as possible (in squares) until they are ``gap`` apart, within low..high."""
    steps = gap * np.arange(len(places))
    moved = np.clip(isotonic_regression(np.asarray(places) - steps).x, low, max(low, high - steps[-1]))
    return [float(place) for place in moved + steps]


def _shape(point: Point) -> str:
    """Square for none, triangle where masking is suspected, else a circle."""
    return "s" if point.defense == "none" else "^" if point.suspected else "o"


def _mark(x: float, y: float, shape: str, kept: bool, theme: Theme, label: str = "") -> "Line2D":
    """A marker, filled on the front."""
    from matplotlib.lines import Line2D

    colour = theme.accent if kept else theme.ink
    face = theme.accent if kept else theme.paper
    return Line2D([x], [y], ls="", marker=shape, ms=7, mew=1.4, mec=colour, mfc=face, label=label, zorder=3)


def _legend(figure: "Figure", theme: Theme) -> None:
    from matplotlib.lines import Line2D

    figure.legend(
        handles=[
            Line2D([], [], color=theme.accent, lw=1.6, label="Pareto front"),
            _mark(0, 0, "o", True, theme, "on it"),
            _mark(0, 0, "o", False, theme, "off it"),
            _mark(0, 0, "s", False, theme, "none"),
            _mark(0, 0, "^", False, theme, "masking suspected: never on it"),
            Line2D([], [], color=theme.quiet, lw=1.2, marker="_", ms=6, label="95% interval"),
        ],
        loc="lower left",
        bbox_to_anchor=(0.03, 0.0),
        ncols=6,
        fontsize=8,
        columnspacing=1.2,
        handletextpad=0.5,
    )
