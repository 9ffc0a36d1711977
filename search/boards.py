"""Boards that differ from their kind: shown, because a table of a kind speaks for all of them.

Two things are compared, layer spec by layer spec: the seconds of the originals, and the candidates'
speedups. Each spec says how far a board is from the median of the boards that measured the same;
over specs Student's t gives an interval of the geometric mean. It is 95% for all boards of a table
and both quantities together (Bonferroni), and a board is named where it lies beyond the margin.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import fmean, median, stdev
from typing import Literal

from .. import stats
from ..random_effects import t_quantile
from ..records import DeviceFingerprint, Measurement, MeasurementPolicy, PairSummary, Verdict

LEVEL = 0.05
"""Share of tables of equal boards in which one is named wrongly."""
FEWEST_SPECS = 3
"""Below, nobody can say how far specs differ among themselves."""

Quantity = Literal["latency", "speedup"]
Deviations = Mapping[str | None, Sequence[float]]
"""How far each board is from the median board, in logarithms: a number a spec."""

QUANTITIES: Mapping[Quantity, Callable[[PairSummary], float]] = {
    "latency": lambda summary: log(summary.original_s),
    "speedup": lambda summary: summary.log_ratio,
}


@dataclass(frozen=True, slots=True)
class OddBoard:
    """A board's quantity by that of its kind: geometric mean over `specs`, and its interval."""

    board: str | None
    fingerprint: DeviceFingerprint
    policy: MeasurementPolicy
    quantity: Quantity
    ratio: float
    low: float
    high: float
    specs: int


def odd_boards(measurements: Iterable[Measurement], margin: float = 0.01) -> list[OddBoard]:
    """Return the boards that differ from others of their kind by more than the margin."""
    found: list[OddBoard] = []
    for (fingerprint, policy), group in _by_setting(measurements).items():
        deviations: dict[Quantity, Deviations] = {
            name: _deviations(group, of) for name, of in QUANTITIES.items()
        }
        tests = sum(map(len, deviations.values()))
        for name, by_board in deviations.items():
            found += (
                OddBoard(board, fingerprint, policy, name, *three, len(values))
                for board, values in by_board.items()
                if len(values) >= FEWEST_SPECS
                and _differs(three := _interval(values, LEVEL / tests), margin)
            )
    return found


def _by_setting(
    measurements: Iterable[Measurement],
) -> dict[tuple[DeviceFingerprint, MeasurementPolicy], list[Measurement]]:
    """Measurements that several boards made, by device and policy."""
    groups = defaultdict(list)
    for one in measurements:
        if len(set(one.boards)) > 1 and one.summaries:
            groups[one.fingerprint, one.policy].append(one)
    return groups


def _deviations(
    measurements: Iterable[Measurement], of: Callable[[PairSummary], float]
) -> Deviations:
    """Candidates of one spec share its original: together they are one number."""
    by_spec: dict[str, dict[str | None, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in measurements:
        for board, deviation in _of_boards(one, of):
            by_spec[one.spec.key][board].append(deviation)
    found: dict[str | None, list[float]] = defaultdict(list)
    for boards in by_spec.values():
        for board, values in boards.items():
            found[board].append(fmean(values))
    return found


def _of_boards(
    measurement: Measurement, of: Callable[[PairSummary], float]
) -> Iterator[tuple[str | None, float]]:
    values = defaultdict(list)
    for board, summary in zip(measurement.boards, measurement.summaries, strict=True):
        values[board].append(of(summary))
    means = {board: fmean(its) for board, its in values.items()}
    middle = median(means.values())
    yield from ((board, mean - middle) for board, mean in means.items())


def _interval(values: Sequence[float], tail: float) -> tuple[float, float, float]:
    centre = fmean(values)
    half = float(t_quantile(tail, len(values) - 1)[0]) * stdev(values) / sqrt(len(values))
    return exp(centre), exp(centre - half), exp(centre + half)


def _differs(interval: tuple[float, float, float], margin: float) -> bool:
    return stats.verdict(*interval[1:], margin) in (Verdict.FASTER, Verdict.SLOWER)
