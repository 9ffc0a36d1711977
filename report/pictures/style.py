"""How every picture looks: widths, sizes of text, colours, marks. The rest is in paper.mplstyle.

Colours are told apart by colour-blind readers, and never say anything alone: series differ in
their marks, too, and what was not decided is hatched.
"""

from __future__ import annotations

ONE_COLUMN, TWO_COLUMNS = 3.5, 7.16
"""Widths in inches, as papers of two columns have them."""
TEXT_PT, SMALL_PT = 8.0, 7.0

INK, SOFT, GRID, GROUND = "#1b2330", "#576273", "#e8ebf0", "#ffffff"
BEFORE, EDGE = "#dde1e7", "#8a94a3"
"""What was there before, and the line around it."""
SERIES = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#c48400", "#3f3f9f")
"""Okabe and Ito (2008), the last three darker, so that thin lines are seen on white."""
MARKS = ("o", "s", "^", "D", "v", "P")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))

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
