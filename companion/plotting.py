"""One style for all figures, one colour for each method in all chapters, and files that do not change between runs."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
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

# A method keeps its colour through the whole book. Chapters add theirs here, not in their figures.
METHOD = {
    "GD": PALETTE["grey"],
    "SGD": PALETTE["grey"],
    "IGD": PALETTE["red"],
    "RR": PALETTE["blue"],
    "alternating": PALETTE["green"],
    "l2-SAM": PALETTE["blue"],
    "linf-SAM": PALETTE["orange"],
    "unnormalized SAM": PALETTE["purple"],
    "random": PALETTE["grey"],
    "DUAL": PALETTE["orange"],
    "DUAL+Beta": PALETTE["red"],
    "Dyn-Unc": PALETTE["sky"],
    "EL2N": PALETTE["purple"],
    "AUM": PALETTE["green"],
    "forgetting": PALETTE["yellow"],
    "CCS": PALETTE["blue"],
    "Adam": PALETTE["orange"],
    "incremental Adam": PALETTE["blue"],
    "Adam proxy": PALETTE["green"],
    "Signum": PALETTE["purple"],
    "signSGD": PALETTE["red"],
    "sequential GD": PALETTE["blue"],
    "sequential GD, random order": PALETTE["orange"],
    "projections": PALETTE["purple"],
    "RCD": PALETTE["red"],
    "RPCD": PALETTE["blue"],
    "CCD": PALETTE["green"],
    "greedy sampling": PALETTE["blue"],
    "explore then commit": PALETTE["orange"],
    "uniform policy": PALETTE["grey"],
    "Bradley-Terry": PALETTE["purple"],
    "learned metric": PALETTE["blue"],
    "true metric": PALETTE["green"],
    "Euclidean metric": PALETTE["orange"],
    "random metric": PALETTE["purple"],
    "unconstrained": PALETTE["red"],
}

THEORY: dict[str, Any] = {"color": "black", "linestyle": "--", "linewidth": 1.2}

STYLE = {
    "figure.dpi": 160,
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": mpl.cycler(color=[c for name, c in PALETTE.items() if name not in ("black", "yellow")]),
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "image.cmap": "viridis",
}


def subplots(
    rows: int = 1, cols: int = 1, *, size: tuple[float, float] | None = None, **kwargs: Any
) -> tuple[Figure, Any]:
    """A figure in the book's style and its axes, as ``plt.subplots`` gives them but without global state.

    Parameters
    ----------
    rows, cols : the grid of axes
    size : width and height in inches; by default 7.6 wide and 3 high for each row
    kwargs : further arguments of ``Figure.subplots`` (``sharex``, ``squeeze``, ``width_ratios``, …)

    Notes
    -----
    Draw inside ``with plotting.style():`` what reads matplotlib's settings at drawing time; the axes made here have
    the style already.
    """
    with mpl.rc_context(STYLE):
        fig = Figure(figsize=size or (7.6, 3.0 * rows), layout="constrained")
        axes = fig.subplots(rows, cols, **kwargs)
    return fig, axes


def style():
    """Context in which matplotlib's settings are the book's."""
    return mpl.rc_context(STYLE)


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


def show(fig: Figure, alt: str, name: str | None = None) -> Picture:
    """Render a figure for a notebook, the same bytes at every run.

    Parameters
    ----------
    alt : what the figure shows, in a sentence or two, for readers who cannot see it
    name : how the book's pages refer to it; ``"glance"`` is the figure at the head of the chapter's page
    """
    drawn, reduced = io.BytesIO(), io.BytesIO()
    with style():
        # The Software tag holds matplotlib's version; without it a file depends on the drawing alone.
        fig.savefig(drawn, format="png", dpi=STYLE["figure.dpi"], metadata={"Software": None})
    # A palette of 256 colours: a third of the size, and the eye sees no difference.
    image = Image.open(drawn).convert("RGB").quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    image.save(reduced, format="PNG", optimize=True)
    return Picture(reduced.getvalue(), alt, name)
