"""How every picture looks: widths, sizes of text, colours, marks.

Colours are told apart by colour-blind readers, and never say anything alone: series differ in
their marks, too, and what was not decided is hatched.
"""

from __future__ import annotations

from typing import Any

ONE_COLUMN, TWO_COLUMNS = 3.5, 7.16
"""Widths in inches, as papers of two columns have them."""
TEXT_PT, SMALL_PT = 8.0, 7.0
DOTS_PER_INCH = 300

INK, SOFT, GRID, GROUND = "#1b2330", "#576273", "#e8ebf0", "#ffffff"
BEFORE, EDGE = "#dde1e7", "#8a94a3"
"""What was there before, and the line around it."""
SERIES = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#c48400", "#3f3f9f")
"""Okabe and Ito (2008), the last three darker, so that thin lines are seen on white."""
MARKS = ("o", "s", "^", "D", "v", "P")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
UNDECIDED = "/////"
"""The hatching of what the measurements do not decide."""

VARIABLES = {
    INK: "--ink",
    SOFT: "--soft",
    GRID: "--grid",
    GROUND: "--card",
    BEFORE: "--before",
    EDGE: "--edge",
    **{colour: f"--series{number}" for number, colour in enumerate(SERIES)},
}
"""Colours by what they are called in pictures.css, which has them for light and for dark."""

SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": TEXT_PT,
    "axes.titlesize": TEXT_PT,
    "axes.titlelocation": "left",
    "axes.labelsize": TEXT_PT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.edgecolor": SOFT,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": False,
    "figure.facecolor": GROUND,
    "axes.facecolor": "none",
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.5,
    "hatch.color": SOFT,
    "legend.fontsize": SMALL_PT,
    "legend.title_fontsize": TEXT_PT,
    "legend.frameon": False,
    "legend.handlelength": 2.3,
    "legend.columnspacing": 1.2,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.0,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.labelsize": SMALL_PT,
    "ytick.labelsize": SMALL_PT,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "savefig.dpi": DOTS_PER_INCH,
    "svg.fonttype": "path",
    "svg.hashsalt": "rankwise",
    "pdf.fonttype": 42,
}
"""matplotlib's settings. Letters are paths in SVG and are packed into PDF, so that pictures look
the same wherever they are opened; text of the user's is never taken for a formula."""
