"""The table of `baselines.py`, and its verdicts on what was wanted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cells import SUBJECTS
from harness import Log, show, verdict
from rules import RULES

OURS, SEED, KNAPSACK, ORIGINAL = "ours", "ours, exact solution", "MAC knapsack", "original"
TRIAL = "ours, best trial"


@dataclass(frozen=True)
class Cell:
    network: str
    limit: float
    backend: str


def report(log: Log, cell: Cell) -> None:
    for row in log.of(kind="timing", **asdict(cell)):
        subject = SUBJECTS[cell.network]
        print(f"\n{cell.network}, {cell.limit:g} {subject.unit}, {cell.backend}")
        lines = []
        original = row["rows"][f"{ORIGINAL}|"]
        lines.append((OURS, "data", *spread(*inverted(original)), "", "", *loss(row["ours_loss"])))
        for key, found in row["rows"].items():
            rule, factors = key.split("|")
            ratio = inverted(found)
            faster = f"{inverted(original)[0] / ratio[0]:.3f}"
            lines.append((rule, factors, faster, "", *spread(*ratio), *loss(found["loss"])))
        columns = ("rule", "factors", "speedup", "", "ours faster by", "", "loss", "")
        show(columns, lines)
        (own,) = log.of(kind="ours", **asdict(cell), rule=OURS)
        promised(own["predicted"], inverted(original)[0])
        judged(cell, row["rows"], subject.limits)


def promised(predicted: Mapping[str, Any], found: float) -> None:
    """Whether the plan's interval holds what was measured; its half-width."""
    low, high = predicted["speedup_low"], predicted["speedup_high"]
    said = f"{predicted['speedup']:.3f} [{low:.3f}, {high:.3f}], measured {found:.3f}"
    verdict("predicted", said, low <= found <= high, "inside")
    half = (high - low) / 2 / predicted["speedup"]
    verdict("half-width", half, half <= 0.06, "at most 0.06")


def inverted(found: Mapping[str, Any]) -> tuple[float, float, float]:
    """How much faster ours is: the comparison has ours as the original."""
    return 1 / found["speedup"], 1 / found["speedup_high"], 1 / found["speedup_low"]


def spread(value: float, low: float, high: float) -> tuple[str, str]:
    return f"{value:.3f}", f"[{low:.3f}, {high:.3f}]"


def loss(found: tuple[float, float, float]) -> tuple[str, str]:
    return f"{found[0]:.3f}", f"[{found[1]:.3f}, {found[2]:.3f}]"


def judged(cell: Cell, rows: Mapping[str, Mapping[str, Any]], limits: tuple[float, float]) -> None:
    ratios = {key: inverted(found) for key, found in rows.items()}
    rules = {rule for rule, _ in RULES}
    against = {k: r for k, r in ratios.items() if k.split("|")[0] in {*rules, KNAPSACK, ORIGINAL}}
    lowest = min(against.values(), key=lambda ratio: ratio[1])
    verdict("lowest bound against any", lowest[1], lowest[1] >= 0.98, "at least 0.98")
    published = [r for k, r in against.items() if k.endswith("|weights")]
    best = min(published, key=lambda ratio: ratio[0])
    if cell.limit == max(limits):
        ok = best[0] >= 1.1 and best[1] > 1.05
        verdict("against the best published", spread(*best)[0] + " " + spread(*best)[1], ok, "1.10")
    seed = ratios[f"{SEED}|data"]
    verdict("against the exact seed", spread(*seed)[0] + " " + spread(*seed)[1], seed[1] > 1, ">1")
    if f"{TRIAL}|data" in ratios:
        found = quotient(seed, ratios[f"{TRIAL}|data"])
        said = " ".join(spread(*found))
        verdict("Optuna's best trial against the seed", said, found[1] > 1, ">1")


def quotient(
    over: tuple[float, float, float], under: tuple[float, float, float]
) -> tuple[float, float, float]:
    """Of two ratios that were measured apart, with its interval: log widths add up squared."""
    value = over[0] / under[0]
    width = math.sqrt(sum(math.log(high / low) ** 2 / 4 for _, low, high in (over, under)))
    return value, value * math.exp(-width), value * math.exp(width)
