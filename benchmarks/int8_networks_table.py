"""What `int8_networks.py` prints: times of the four networks, errors, and what was aimed at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness import Log, Row, show, verdict

from rankwise import stats

BACKENDS = ("onnxruntime-cpu", "openvino-cpu")
NAMES = ("int8", "low rank", "both")
NAIVE = ", naive"
"""Behind the name of a network in int8: as the quantiser makes it by itself."""
IN_FLOAT32, IN_INT8 = "float32 at int8's", "int8 at its own"
LOOSER = "int8 at 1.08 of its own"
"""In place of a limit: plans in that dtype which may lose what int8 alone loses, or more than it:
what a plan loses on unseen photos is mostly less than its limit."""
LIMITS = {IN_FLOAT32: 1.0, IN_INT8: 1.0, LOOSER: 1.08}


def report(log: Log, networks: Iterable[str]) -> None:
    for row in log.of(kind="machine"):
        print(f"{row['chip']}, {', '.join(row['instructions']) or 'no integer instructions'}")
    lines = [_line(log, row) for row in log.of(kind="times")]
    columns = ("network", "limit", "backend", *NAMES, "both / int8", "both / low rank")
    show((*columns, "error: int8", "low rank", "both"), lines)
    rows = [_errors(row) for row in log.of(kind="errors")]
    show(("network", "limit", "theirs", "int8", "naive", "low rank", "both", "naive"), rows)
    for row in log.of(kind="errors"):
        if "theirs" in row["errors"]:
            ratio = row["errors"]["int8" + NAIVE] / row["errors"]["theirs"]
            name = f"{row['network']} {row['limit']}: full rank over the quantiser's own"
            verdict(name, ratio, ratio <= 1.1, "at most 1.1")
    for network in networks:
        for backend in BACKENDS:
            _aim(log, network, backend)


def _line(log: Log, row: Row) -> list[Any]:
    found = row["rows"]
    errors = _of(log, row)
    speedups = [spread_of(found[name]) for name in NAMES]
    ratios = [f"{one:.2f} [{low:.2f}, {high:.2f}]" for one, low, high in _ratios(found)]
    known = [errors.get(name, "") for name in NAMES]
    return [row["network"], row["limit"], row["backend"], *speedups, *ratios, *known]


def spread_of(found: Mapping[str, float]) -> str:
    return f"{found['speedup']:.2f} [{found['speedup_low']:.2f}, {found['speedup_high']:.2f}]"


def _ratios(found: Mapping[str, Any]) -> list[stats.Ratio]:
    """How much faster both together are than int8, and than low rank, in the same rounds; their
    intervals are added as independent ones."""
    both, *others = ((x["speedup"], x["speedup_low"], x["speedup_high"]) for x in _ordered(found))
    return [stats.product(both, stats.inverse(other)) for other in others]


def _ordered(found: Mapping[str, Any]) -> list[Any]:
    return [found[name] for name in ("both", "int8", "low rank")]


def _of(log: Log, row: Row) -> dict[str, float]:
    (found,) = log.of(kind="errors", network=row["network"], limit=row["limit"])
    return dict(found["errors"])


def _errors(row: Row) -> list[Any]:
    wanted = ("theirs", "int8", "int8" + NAIVE, "low rank", "both", "both" + NAIVE)
    return [row["network"], row["limit"], *(row["errors"].get(name, "") for name in wanted)]


def _aim(log: Log, network: str, backend: str) -> None:
    """The fastest of both together that has at most plain int8's error, over int8 in the same run;
    and over the fastest of low rank at that error, by what each was over the original."""
    rows = log.of(kind="times", network=network, backend=backend)
    kept = {name: [row for row in rows if _keeps(log, row, name)] for name in NAMES}
    name = f"{network} on {backend}"
    if not (kept["both"] and kept["low rank"]):
        print(f"{name}: nothing of both has at most the error of plain int8")
        return
    fastest = {one: max(of, key=lambda row: _speedup(row, one)) for one, of in kept.items()}
    found = fastest["both"]["rows"] | {"low rank": fastest["low rank"]["rows"]["low rank"]}
    ratios = _ratios(found)
    said = " and ".join(
        f"{ratio:.2f} [{low:.2f}, {high:.2f}] times {other}"
        for (ratio, low, high), other in zip(ratios, NAMES, strict=False)
    )
    met = ratios[0][0] >= 1.25 and ratios[1][0] >= 1.15
    verdict(f"{name}, both at int8's error", said, met, "1.25 and 1.15")


def _keeps(log: Log, row: Row, name: str) -> bool:
    errors = _of(log, row)
    return name == "int8" or errors[name] <= errors["int8" + NAIVE]


def _speedup(row: Row, name: str) -> float:
    return float(row["rows"][name]["speedup"])
