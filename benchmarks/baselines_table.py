"""The table of `baselines.py`, and its verdicts on what was wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from cell_plans import ORIGINAL, Cell, inverted, spread
from cells import LIMITS
from harness import Log, show, verdict
from rules import RULES

OURS, KNAPSACK = "ours", "MAC knapsack"
WANTED = {
    ("ResNet-50-thin", "onnxruntime-cpu"): (1.50, 1.90),
    ("ResNet-50-thin", "torch-cpu"): (1.22, 1.48),
    ("demosaicking", "onnxruntime-cpu"): (1.50, 1.85),
    ("demosaicking", "torch-cpu"): (1.30, 1.55),
}
"""Ours over the original at the tight and at the loose limit."""


def report(log: Log, cell: Cell) -> None:
    """Of the run against the rules where there is one, else of that against the original alone."""
    runs = log.of(kind="timing", **asdict(cell))
    if not runs:
        return
    row = min(runs, key=lambda one: one["ours"])
    limits = LIMITS[cell.network]
    print(f"\n{cell.network}, {cell.limit:g} {limits.unit}, {cell.backend}")
    original = inverted(row["rows"][f"{ORIGINAL}|"])
    lines = [(OURS, "data", spread(*original), "", loss(row["first_loss"]))]
    for key, found in row["rows"].items():
        rule, factors = key.split("|")
        ratio = inverted(found)
        faster = f"{original[0] / ratio[0]:.3f}"
        lines.append((rule, factors, faster, spread(*ratio), loss(found["loss"])))
    show(("rule", "factors", "speedup", "ours faster by", "loss"), lines)
    (own,) = log.of(kind="ours", **asdict(cell), rule=OURS)
    promised(own["plan"]["predicted"], original[0])
    wanted = WANTED[cell.network, cell.backend][limits.values.index(cell.limit)]
    verdict("over the original", spread(*original), original[0] >= wanted, f"{wanted:.2f}")
    kept = row["first_loss"][0] <= cell.limit
    verdict("loss on the report split", row["first_loss"][0], kept, f"at most {cell.limit:g}")
    if not row["ours"]:
        judged(cell, row["rows"])


def promised(predicted: Mapping[str, Any], found: float) -> None:
    """Whether the plan's interval holds what was measured; its half-width."""
    low, high = predicted["speedup_low"], predicted["speedup_high"]
    said = f"{spread(predicted['speedup'], low, high)}, measured {found:.3f}"
    verdict("predicted", said, low <= found <= high, "inside")
    half = (high - low) / 2 / predicted["speedup"]
    verdict("half-width", half, half <= 0.06, "at most 0.06")


def loss(found: tuple[float, float, float]) -> str:
    return spread(*found)


def judged(cell: Cell, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Ours against the rules: never slower, and faster where there is room."""
    ratios = {key: inverted(found) for key, found in rows.items()}
    lowest = min(ratios.values(), key=lambda ratio: ratio[1])
    verdict("lowest bound against any", lowest[1], lowest[1] >= 0.98, "at least 0.98")
    rules = {rule for rule, _ in RULES}
    published = [
        ratio
        for key, ratio in ratios.items()
        if key.endswith("|weights") and key.split("|")[0] in rules
    ]
    best = min(published, key=lambda ratio: ratio[0])
    if cell.limit == max(LIMITS[cell.network].values):
        ok = best[0] >= 1.1 and best[1] > 1.05
        verdict("against the best published", spread(*best), ok, "1.10")
