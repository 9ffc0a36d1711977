"""The table and the picture of `paper_recipe.py`, and the variants that stand in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from rankwise.lowrank.modes import shipped_modes
from rankwise.report.pictures.chart import Axis, Point, Series, chart

UNCOMPRESSED, MEASURED = "uncompressed", "measured plan"
QUANTUM = 16
WIDTH = 5.0
"""Of the picture, in inches."""
HEAD = (
    "| variant | layers | parameters | MMACs | accuracy % | drop | training step, batch 128 "
    "| inference, batch 128 | inference, batch 1 |\n|---|---|---|---|---|---|---|---|---|"
)


def rule_variants() -> dict[str, tuple[str, str, int]]:
    """Name -> (mode, rule, rank quantum): the paper's ways, mode by mode."""
    modes = [name for name in shipped_modes() if name != "measured"]
    return {
        f"{mode} {rule}" + (f" q{quantum}" if quantum > 1 else ""): (mode, rule, quantum)
        for mode in modes
        for rule in ("pr", "vbmf")
        for quantum in (1, QUANTUM)
    }


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line a variant; accuracies are means over seeds, with their range."""
    lines = [HEAD]
    base = [row["accuracy"] for row in rows if row["name"] == UNCOMPRESSED]
    for name in dict.fromkeys(row["name"] for row in rows):
        same = [row for row in rows if row["name"] == name]
        first, found = same[0], [row["accuracy"] for row in same]
        drop = f"{fmean(base) - fmean(found):+.2f}" if base else ""
        spread = f" ({min(found):.2f}-{max(found):.2f})" if len(found) > 1 else ""
        cells = [
            name,
            first["layers"],
            f"{first['params'] / 1e3:.0f}k",
            f"{first['macs'] / 1e6:.1f}",
            f"{fmean(found):.2f}{spread}",
            drop,
            *(_interval(first["times"].get(k)) for k in
              ("training 128", "inference 128", "inference 1")),
        ]  # fmt: skip
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def _interval(found: Sequence[float] | None) -> str:
    return "1" if found is None else f"{found[0]:.3f} [{found[1]:.3f}, {found[2]:.3f}]"


def picture(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Accuracy against the speedup of a training step; the paper's rows by rule, over modes."""
    rules = {" ".join(name.split()[1:]) for name in rule_variants()}
    groups: dict[str, list[Point]] = {}
    for row in rows:
        if row["seed"] == 0:
            speedup = row["times"].get("training 128", [1.0])[0]
            mode, *words = row["name"].split()
            rule = " ".join(words)
            named = rule in rules
            point = Point(speedup, row["accuracy"], name=mode if named else "")
            groups.setdefault(rule if named else row["name"], []).append(point)
    chart(
        "Fashion-MNIST: accuracy against training speedup",
        [Series(name, points, line=False) for name, points in groups.items()],
        Axis("speedup of a training step, batch 128"),
        Axis("accuracy on the test images, %"),
        width=WIDTH,
    ).write(path)
