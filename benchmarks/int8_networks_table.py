"""What `int8_networks.py` prints: times of the four networks, errors, and what was aimed at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from harness import Log, Row, show, verdict

BACKENDS = ("onnxruntime-cpu", "openvino-cpu")
NAMES = ("int8", "low rank", "both")
IN_FLOAT = 2
"""Layers, of those that int8 hurts most, that one more network of each kind has in float."""
NAIVE, MIXED = ", naive", f", {IN_FLOAT} in float"
"""Behind the name of a network in int8: as the quantiser makes it, and with layers in float."""


def report(log: Log, networks: Iterable[str]) -> None:
    for row in log.of(kind="machine"):
        print(f"{row['chip']}, {', '.join(row['instructions']) or 'no integer instructions'}")
    lines = [_line(log, row) for row in log.of(kind="times")]
    columns = ("network", "limit", "backend", *NAMES, "both / int8", "both / low rank")
    show((*columns, "error: int8", "low rank", "both"), lines)
    rows = [_errors(row) for row in log.of(kind="errors")]
    show(("network", "limit", "theirs", "int8", "naive", "both", "naive", "both, mixed"), rows)
    for row in log.of(kind="errors"):
        if "theirs" in row["errors"]:
            ratio = row["errors"]["int8" + NAIVE] / row["errors"]["theirs"]
            name = f"{row['network']} {row['limit']}: full rank over the quantiser's own"
            verdict(name, ratio, ratio <= 1.1, "at most 1.1")
    for network in networks:
        _aim(log, network)


def _line(log: Log, row: Row) -> list[Any]:
    found = row["rows"]
    errors = _of(log, row)
    speedups = [spread_of(found[name]) for name in NAMES]
    ratios = [f"{one:.2f} [{low:.2f}, {high:.2f}]" for one, low, high in _ratios(found)]
    known = [errors.get(name, "") for name in NAMES]
    return [row["network"], row["limit"], row["backend"], *speedups, *ratios, *known]


def spread_of(found: Mapping[str, float]) -> str:
    return f"{found['speedup']:.2f} [{found['speedup_low']:.2f}, {found['speedup_high']:.2f}]"


def _ratios(found: Mapping[str, Any]) -> list[tuple[float, float, float]]:
    """How much faster both together are than int8, and than low rank, in the same rounds; their
    intervals are added as independent ones."""
    ratios = []
    for other in ("int8", "low rank"):
        one, two = found["both"], found[other]
        ratio = one["speedup"] / two["speedup"]
        halves = [np.log(x["speedup_high"] / x["speedup_low"]) / 2 for x in (one, two)]
        half = float(np.exp(np.hypot(*halves)))
        ratios.append((ratio, ratio / half, ratio * half))
    return ratios


def _of(log: Log, row: Row) -> dict[str, float]:
    (found,) = log.of(kind="errors", network=row["network"], limit=row["limit"])
    return dict(found["errors"])


def _errors(row: Row) -> list[Any]:
    wanted = ("theirs", "int8", "int8" + NAIVE, "both", "both" + NAIVE, "both" + MIXED)
    return [row["network"], row["limit"], *(row["errors"].get(name, "") for name in wanted)]


def _aim(log: Log, network: str) -> None:
    """Both together at no more than plain int8's error, over int8, and over low rank at that error:
    the fastest of each that was timed."""
    best = dict.fromkeys(NAMES, 0.0)
    for row in log.of(kind="times", network=network, backend=BACKENDS[0]):
        errors = _of(log, row)
        limit = errors.get("int8" + NAIVE, np.inf)
        for name, found in row["rows"].items():
            kind = name.partition(",")[0]
            if errors.get(name, 0.0) <= limit or kind == "int8":
                best[kind] = max(best[kind], found["speedup"])
    if not min(best.values()):
        print(f"{network}: nothing of both has at most the error of plain int8")
        return
    ratios = [best["both"] / best[other] for other in ("int8", "low rank")]
    said = f"{ratios[0]:.2f} times int8, {ratios[1]:.2f} times low rank"
    met = ratios[0] >= 1.25 and ratios[1] >= 1.15
    verdict(f"{network}, both at int8's error", said, met, "1.25 and 1.15")
