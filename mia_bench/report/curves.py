"""Success against budget: how far the best attack gets with how many queries, a panel for each defense."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..board.comparison import short
from .canvas import THEMES, Theme, load_matplotlib, save, themed


@dataclass(frozen=True)
class Curve:
    """One defense's worst case. All sequences have the length of ``budgets``."""

    defense: str
    budgets: tuple[int, ...]
    """Queries a trial, ascending."""
    leak: tuple[float, ...]
    """Worst-case attack accuracy minus null, -1..1."""
    low: tuple[float, ...]
    high: tuple[float, ...]
    """95% interval of ``leak``."""
    suspected: bool = False
    """Masking suspected."""


def draw(curves: Sequence[Curve], folder: Path, title: str) -> list[Path]:
    """curves-light and curves-dark, PNG and SVG each; RequestError where matplotlib is not installed.

    Each panel shows its own defense with its interval, ``none`` dashed, and the others thin behind.
    """
    load_matplotlib()
    return [file for theme in THEMES for file in _draw(curves, folder, title, theme)]


def _draw(curves: Sequence[Curve], folder: Path, title: str, theme: Theme) -> list[Path]:
    from matplotlib.figure import Figure

    columns = min((4, 3), key=lambda wide: -len(curves) % wide) if len(curves) > 4 else len(curves)
    rows = -(-len(curves) // columns)
    none = next((curve for curve in curves if curve.defense == "none"), None)
    with themed(theme):
        figure = Figure(figsize=(0.8 + 2.3 * columns, 1.0 + 2.0 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for panel, curve in zip(panels.flat, curves, strict=False):
            for other in curves:
                if other not in (curve, none):
                    panel.plot(other.budgets, other.leak, color=theme.quiet, lw=0.6, alpha=0.7, zorder=1)
            if none is not None and curve != none:
                panel.plot(none.budgets, none.leak, color=theme.ink, lw=1, ls="--", marker="_", ms=9, zorder=4)
            panel.fill_between(curve.budgets, curve.low, curve.high, color=theme.accent, alpha=0.22, lw=0, zorder=2)
            panel.vlines(curve.budgets, curve.low, curve.high, color=theme.accent, lw=1, zorder=2)
            panel.plot(curve.budgets, curve.leak, color=theme.accent, lw=2, marker="o", ms=4, zorder=3)
            name = f"{curve.defense}\nmasking suspected" if curve.suspected else curve.defense
            panel.set_title(name)
            panel.axhline(0, color=theme.quiet, lw=0.8, ls=":", zorder=0)
        for place in range(len(curves), rows * columns):
            panels.flat[place].set_visible(False)
            panels.flat[place - columns].tick_params(labelbottom=True)
        first = panels[0][0]
        budgets = sorted({budget for curve in curves for budget in curve.budgets})
        first.set_xscale("log")
        first.set_xticks(budgets, [short(budget) for budget in budgets])
        first.set_xticks([], minor=True)
        first.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}")
        figure.supxlabel("budget, queries a trial (log scale)", fontsize=9)
        figure.supylabel("worst-case attack above null, points", fontsize=9)
        figure.suptitle(
            title + "\nsolid: the defense, with its 95% interval; dashed: none; thin: the others",
            x=0.01,
            ha="left",
            fontsize=9,
        )
        return save(figure, folder, f"curves-{theme.name}")
