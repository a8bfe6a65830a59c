"""Plots for the notebooks: each function returns a matplotlib figure, which `views.show` puts on the page.

Colours are those of Okabe and Ito, which people with any kind of colour vision can tell apart, and every curve has a line style
of its own as well, so that a weak projector loses nothing.
"""

from __future__ import annotations

import io

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from ..arguments import several, whole_number

BLUE, ORANGE, GREEN, PURPLE, RED, SKY, BLACK = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000"
COLOURS = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, BLACK)
WIDTH = 380  # pixels on the screen of one of several plots: three fill a small laptop's page
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 3)))


def axes(width: float = 6.0, height: float = 3.2, title: str = "", xlabel: str = "", ylabel: str = ""):
    """An empty figure with one pair of axes, `width` by `height` inches: (figure, axes)."""
    figure = Figure(figsize=(width, height), layout="constrained")
    ax = figure.add_subplot(title=title, xlabel=xlabel, ylabel=ylabel)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.25)
    return figure, ax


def curves(
    x, lines: dict, *, xlabel: str, ylabel: str, title: str = "", marker: str = "", log_x=False, log_y=False, beside=False
) -> Figure:
    """One curve for each entry of `lines`.

    Args:
        x: shared by all, or None where every entry of `lines` is a pair (x, y) of its own.
        lines: label -> y values.
        marker: of the points, such as "o"; "" draws none.
        beside: put the legend beside the axes, where curves fill them.
    """
    figure, ax = axes(7.6 if beside else 6.0, title=title, xlabel=xlabel, ylabel=ylabel)
    for i, (label, y) in enumerate(lines.items()):
        points = (x, y) if x is not None else y
        points = [np.asarray(values, dtype=float) for values in points]
        colour, style = COLOURS[i % len(COLOURS)], LINES[i % len(LINES)]
        ax.plot(*points, color=colour, linestyle=style, marker=marker, markersize=4, label=label)
    ax.set_xscale("log" if log_x else "linear")
    ax.set_yscale("log" if log_y else "linear")
    if len(lines) > 1:
        ax.legend(frameon=False, **(dict(loc="center left", bbox_to_anchor=(1, 0.5)) if beside else {}))
    return figure


def histogram(values: dict, *, xlabel: str, title: str = "", bins: int = 60) -> Figure:
    """Outlined histograms over one another, as densities, so that sets of different sizes can be compared."""
    figure, ax = axes(title=title, xlabel=xlabel, ylabel="density")
    values = {label: np.asarray(v, dtype=float).ravel() for label, v in values.items()}
    edges = np.histogram_bin_edges(np.concatenate(list(values.values())), bins)
    for i, (label, v) in enumerate(values.items()):
        style = dict(color=COLOURS[i % len(COLOURS)], linestyle=LINES[i % len(LINES)], linewidth=1.6)
        ax.hist(v, edges, density=True, histtype="step", label=label, **style)
    ax.legend(frameon=False)
    return figure


def heatmap(
    values, *, title: str = "", xlabel: str = "", ylabel: str = "", x_names=None, y_names=None, label: str = ""
) -> Figure:
    """A matrix as colours, with a scale beside it; `label` says what the colours measure."""
    values = np.asarray(values, dtype=float)
    figure, ax = axes(5.2, 4.2, title, xlabel, ylabel)
    ax.grid(False)
    lowest, highest = _round_ends(values)
    aspect = "auto" if values.shape[0] != values.shape[1] else "equal"
    drawn = ax.imshow(values, cmap="viridis", interpolation="nearest", aspect=aspect, vmin=lowest, vmax=highest)
    figure.colorbar(drawn, label=label)
    if x_names is not None:
        ax.set_xticks(range(len(x_names)), x_names, rotation=60, ha="right", fontsize=9)
    if y_names is not None:
        ax.set_yticks(range(len(y_names)), y_names, fontsize=9)
    return figure


def _round_ends(values) -> tuple[float, float]:
    """The ends of a scale of colours, at round numbers: a largest value of 1.0 here and 0.9999 there draws the same scale."""
    lowest, highest = float(np.nanmin(values)), float(np.nanmax(values))
    if not highest > lowest:
        return lowest, highest
    step = 10.0 ** np.floor(np.log10(highest - lowest)) / 2
    hair = 0.02  # of a step: so far beyond a round number still counts as on it
    return step * np.floor(lowest / step + hair), step * np.ceil(highest / step - hair)


def bars(values: dict, *, ylabel: str, title: str = "") -> Figure:
    """One bar for each entry, its value written above it."""
    figure, ax = axes(title=title, ylabel=ylabel)
    drawn = ax.bar(list(values), list(values.values()), color=BLUE)
    ax.bar_label(drawn, fmt="%.2f", fontsize=9)
    ax.tick_params(axis="x", labelrotation=30 if len(values) > 4 else 0)
    return figure


def plane(points, *, paths=None, arrows=None, title: str = "", reach: float | None = None, labels=None) -> Figure:
    """Points in the plane, with paths that lead through it or a field of arrows.

    Args:
        points: (m, 2), the data, as grey dots.
        paths: (steps + 1, n, 2), n paths: a ring where each begins, a dot where it ends.
        arrows: (where, directions), both (n, 2).
        reach: from the middle to the rim; None shows all.
        labels: names of the axes, a pair; None leaves them out.
    """
    figure, ax = axes(4.2, 4.2, title, *(labels or ("", "")))
    points = np.asarray(points, dtype=float)
    ax.plot(*points.T, ".", color="#999999", markersize=4, zorder=1)
    if arrows is not None:
        where, directions = (np.asarray(each, dtype=float) for each in arrows)
        ax.quiver(*where.T, *directions.T, color=BLUE, angles="xy", width=0.004, zorder=2)
    if paths is not None:
        paths = np.asarray(paths, dtype=float)
        ax.plot(paths[..., 0], paths[..., 1], color=SKY, linewidth=0.9, zorder=3)
        ax.plot(*paths[0].T, "o", markerfacecolor="none", color=RED, markersize=5, zorder=4)
        ax.plot(*paths[-1].T, "o", color=BLUE, markersize=4, zorder=5)
    ax.set_aspect("equal")
    if reach is not None:
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach))
    return figure


def side_by_side(figures, alt: str = "", width: int | None = None, columns: int = 3):
    """Plots beside each other, as a notebook's output.

    Args:
        figures: from `sd_helpers.plots`, of one height.
        alt: what is to be seen, for those who cannot see it.
        width: of a whole row on the screen, in pixels; None gives each plot as much as leaves its words readable.
        columns: how many stand in a row.

    Returns:
        IPython.display.Image, a PNG.
    """
    from IPython.display import Image as Shown

    drawn = []
    for figure in several("figures", figures, "Give figures from sd_helpers.plots."):
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=100)
        drawn.append(Image.open(file).convert("RGB"))
    if not drawn:
        raise ValueError("figures is empty: give one or more.")
    columns = min(whole_number("columns", columns, 1), len(drawn))
    wide, high = max(one.width for one in drawn), max(one.height for one in drawn)
    sheet = Image.new("RGB", (columns * wide, -(-len(drawn) // columns) * high), "white")
    for i, one in enumerate(drawn):
        sheet.paste(one, (i % columns * wide, i // columns * high))
    buffer = io.BytesIO()
    sheet.quantize(64).save(buffer, "PNG", optimize=True)  # plots have few colours
    return Shown(buffer.getvalue(), format="png", width=width or columns * WIDTH, alt=str(alt) or None)
