"""One style for all figures, text large enough to be read on the page, and files that do not change between runs.

A chapter's figure is a function from an experiment's result to a matplotlib Figure:

    @plotting.figure(alt="Error against steps; the learned metric's line falls straight, the others level off.")
    def errors(result: Errors) -> Figure: ...

and a lab shows it by ``plotting.show(figures.errors(result), name="errors")``. Where ``COMPANION_DRAFT=1`` is set, as
where labs that were executed a moment ago run once more for their verdicts, figures are made and not rendered.
"""

import functools
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text
from PIL import Image

# Okabe and Ito's palette, told apart with every common colour blindness.
PALETTE = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "red": "#D55E00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "yellow": "#F0E442",
    "grey": "#7F7F7F",
    "black": "#000000",
}

THEORY: dict[str, Any] = {"color": "black", "linestyle": "--", "linewidth": 1.2}

WIDTH = 7.6  # inches; a wider figure would be shrunk on the page until its text cannot be read
COLUMN = 688  # pixels of the page's column on a screen 1280 pixels wide, which a figure fills
SMALLEST = 12  # pixels that the smallest text must have there

# What decides how a figure looks, from matplotlib's own defaults: nothing of a user's configuration shows.
_GENERAL = {
    name: value
    for name, value in mpl.rcParamsDefault.items()
    if name.split(".")[0] in {"font", "text", "mathtext", "axes", "axes3d", "xaxis", "yaxis", "lines", "patch", "hatch"}
    or name.split(".")[0] in {"boxplot", "xtick", "ytick", "grid", "legend", "figure", "image", "contour", "errorbar"}
    or name.split(".")[0] in {"hist", "scatter", "path", "savefig", "polaraxes", "markers", "date", "agg"}
}

STYLE = _GENERAL | {
    "figure.dpi": 180,
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": mpl.cycler(color=[c for name, c in PALETTE.items() if name not in ("black", "yellow")]),
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9.6,
    "legend.title_fontsize": 9.6,
    "figure.labelsize": 10,
    "figure.titlesize": 11,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "xtick.labelsize": 9.6,
    "ytick.labelsize": 9.6,
    "image.cmap": "viridis",
}


def subplots(
    rows: int = 1, cols: int = 1, *, size: tuple[float, float] | None = None, **kwargs: Any
) -> tuple[Figure, Any]:
    """A figure in the book's style and its axes, as ``plt.subplots`` gives them but without global state.

    Parameters
    ----------
    rows, cols : the grid of axes
    size : width and height in inches; by default as wide as a figure may be, and 3 high for each row
    kwargs : further arguments of ``Figure.subplots`` (``sharex``, ``squeeze``, ``width_ratios``, …)

    Notes
    -----
    Draw inside a function marked :func:`figure`, or ``with plotting.style():``, what reads matplotlib's settings at
    drawing time; the axes made here have the style already.
    """
    with mpl.rc_context(STYLE):
        fig = Figure(figsize=size or (WIDTH, 3.0 * rows), layout="constrained")
        axes = fig.subplots(rows, cols, **kwargs)
    return fig, axes


def blank(size: tuple[float, float]) -> Figure:
    """A figure in the book's style without axes, for panels of unequal size (``fig.add_gridspec``)."""
    with mpl.rc_context(STYLE):
        return Figure(figsize=size, layout="constrained")


def style():
    """Context in which matplotlib's settings are the book's."""
    return mpl.rc_context(STYLE)


def figure(alt: str | Callable[..., str]) -> Callable[[Callable[..., Figure]], Callable[..., Figure]]:
    """Mark a function that draws a figure: the book's style, and a text for those who cannot see it.

    Parameters
    ----------
    alt : what the figure shows, in a sentence or two; a function of the same arguments where it depends on them
    """

    def mark(draw: Callable[..., Figure]) -> Callable[..., Figure]:
        @functools.wraps(draw)
        def styled(*args: Any, **kwargs: Any) -> Figure:
            with style():
                fig = draw(*args, **kwargs)
            fig.alt = alt(*args, **kwargs) if callable(alt) else alt
            return fig

        return styled

    return mark


def headline(fig: Figure, text: str) -> None:
    """One finding over all panels, flush left."""
    fig.suptitle(text, x=0.01, ha="left", fontsize=STYLE["axes.titlesize"], fontweight="bold")


def band(
    ax: Axes,
    x: Any,
    values: Any,
    color: str,
    label: str | None = None,
    style: str = "-",
    *,
    within: float = 1.0,
) -> None:
    """The mean over the last axis as a line, and the range of the values around it as a band.

    Parameters
    ----------
    x, values : of shape ``(n,)`` and ``(n, runs)``; NaN is left out
    within : share of the runs inside the band, in the middle of their distribution; 1 for all of them
    """
    low, high = np.nanquantile(values, [(1 - within) / 2, (1 + within) / 2], axis=-1)
    ax.fill_between(x, low, high, color=color, alpha=0.15, lw=0)
    ax.plot(x, np.nanmean(values, axis=-1), style, color=color, label=label)


def legend_below(fig: Figure, *axes: Axes, ncols: int = 3, **kwargs: Any) -> Legend:
    """One legend for all panels, below them: the labelled lines of ``axes``, by default of all, each label once."""
    found: dict[str, Any] = {}
    for ax in axes or fig.axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return fig.legend(found.values(), found.keys(), loc="outside lower center", ncols=ncols, **kwargs)


@dataclass(frozen=True)
class Picture:
    """A drawn figure as a PNG with a text for those who cannot see it."""

    png: bytes
    alt: str
    name: str | None

    def _repr_mimebundle_(self, include: Sequence[str] | None = None, exclude: Sequence[str] | None = None):
        metadata: dict[str, Any] = {"image/png": {"alt": self.alt}}
        if self.name:
            metadata["companion"] = {"figure": self.name}
        return {"image/png": self.png, "text/plain": self.alt}, metadata


def show(fig: Figure, name: str | None = None, alt: str | None = None) -> Picture:
    """Render a figure for a notebook, the same bytes at every run.

    Parameters
    ----------
    fig : drawn by a function marked :func:`figure`, which gave it its alternative text
    name : how the book's pages refer to it; ``"glance"`` is the figure at the head of the chapter's page
    alt : the alternative text of a figure that was drawn otherwise

    Raises
    ------
    ValueError
        If nothing describes the figure, it is too wide for the page, or some of its text too small to be read there.
    """
    alt = alt or getattr(fig, "alt", None)
    if not alt:
        raise ValueError(f"figure {name!r}: nothing describes it; mark its function with @plotting.figure(alt=…)")
    _ensure_narrow(fig, name)
    if os.environ.get("COMPANION_DRAFT", "") not in ("", "0"):
        return Picture(_small(Image.new("RGB", (1, 1), "white")), alt, name)
    with style():
        fig.set_dpi(STYLE["figure.dpi"])
        canvas = FigureCanvasAgg(fig)
        canvas.draw()
    _ensure_legible(fig, name)
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    if not _has_colour_map(fig):
        # A palette of 256 colours: a third of the size, and the eye sees no difference but on a colour map.
        image = image.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    return Picture(_small(image), alt, name)


def smallest_text(fig: Figure) -> tuple[float, str]:
    """Height of the smallest text of a drawn figure on the page, in pixels at full column width, and that text."""
    texts = [text for text in fig.findobj(Text) if text.get_visible() and text.get_text().strip()]
    shown = [text for text in texts if text.axes is None or text.axes.get_visible()]
    if not shown:
        return float("inf"), ""
    least = min(shown, key=lambda text: text.get_fontsize())
    return least.get_fontsize() * COLUMN / (72 * fig.get_figwidth()), least.get_text()


def _small(image: Image.Image) -> bytes:
    reduced = io.BytesIO()
    image.save(reduced, format="PNG", compress_level=7)  # a fifth of the time of the smallest, and 5 % larger
    return reduced.getvalue()


def _ensure_narrow(fig: Figure, name: str | None) -> None:
    if fig.get_figwidth() > WIDTH:
        raise ValueError(f"figure {name!r}: {fig.get_figwidth():g} inches wide, allowed: at most {WIDTH}; stack panels")


def _ensure_legible(fig: Figure, name: str | None) -> None:
    size, text = smallest_text(fig)
    if size < SMALLEST:
        raise ValueError(f"figure {name!r}: {text!r} is {size:.1f} pixels high, allowed: at least {SMALLEST}")


def _has_colour_map(fig: Figure) -> bool:
    return any(mappable.get_array() is not None for mappable in fig.findobj(lambda a: isinstance(a, ScalarMappable)))
