"""The same candidates in several types of numbers, side by side: what is faster in which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from .. import documents
from ..errors import UsageError
from .table_columns import cells

Rows = Sequence[documents.Row]
SameCandidate = Mapping[str, documents.Row]
"""A candidate's rows by dtype, float32 first."""

OF_A_DTYPE = ("dtype", "numeric_mode", "execution")
"""Parts of a policy that a dtype may have of its own."""
NAMES = ("layer", "x", "decomposition", "device")


def by_dtype(rows: Rows) -> list[SameCandidate]:
    """Return the candidates that were measured in several dtypes and else alike, in the order
    given. Stale rows are left out, and so are layers that stay in float32 among others in int8."""
    groups: dict[tuple[object, ...], dict[str, documents.Row]] = {}
    for row in rows:
        if not row.stale and not row.decomposition.precision:
            groups.setdefault(_what(row), {})[str(row.policy.get("dtype"))] = row
    return [dict(sorted(one.items(), key=_first_float32)) for one in groups.values() if one]


def _first_float32(item: tuple[str, documents.Row]) -> tuple[bool, str]:
    return item[0] != "float32", item[0]


def _what(row: documents.Row) -> tuple[object, ...]:
    device, chosen = row.device, row.decomposition
    policy = {name: value for name, value in row.policy.items() if name not in OF_A_DTYPE}
    where = device.backend, device.hardware_key, tuple(sorted(map(str, policy.items())))
    return row.spec_key, chosen.kind, chosen.ranks, chosen.groups, where


def dtype_grid(
    rows: Rows, verdicts: Sequence[str] = ()
) -> tuple[list[str], list[list[str]], list[str]]:
    """Return columns, lines, and sentences that count. With `verdicts` only the candidates that
    have one of them in some dtype and none in another.

    Raises `UsageError` unless something was measured in several dtypes.
    """
    found = by_dtype(rows)
    dtypes = list(dict.fromkeys(dtype for one in found for dtype in one))
    several = [one for one in found if len(one) > 1]
    if not several:
        known = ", ".join(dtypes) or "nothing"
        raise UsageError(
            f"no candidate was measured in several dtypes (there is {known}): profile with another "
            "--dtype, too"
        )
    dtypes.sort(key=lambda dtype: (dtype != "float32", dtype))
    shown = [one for one in several if not verdicts or _differs(one, verdicts)]
    lines = [_line(one, dtypes) for one in shown]
    return [*NAMES, *dtypes], lines, list(_counts(several, dtypes))


def _differs(one: SameCandidate, verdicts: Sequence[str]) -> bool:
    return len({row.verdict in verdicts for row in one.values()}) > 1


def _line(one: SameCandidate, dtypes: Sequence[str]) -> list[str]:
    (names,) = cells([next(iter(one.values()))], NAMES)
    return [*names, *(_cell(one[dtype]) if dtype in one else "" for dtype in dtypes)]


def _cell(row: documents.Row) -> str:
    if row.speedup is None:
        return row.verdict
    return f"{row.speedup:.2f} ({row.speedup_low:.2f}-{row.speedup_high:.2f}) {row.verdict}"


def _counts(several: Sequence[SameCandidate], dtypes: Sequence[str]) -> Iterator[str]:
    """Say of each dtype beside the first how many are faster in which."""
    first, *others = dtypes
    for other in others:
        both = [one for one in several if first in one and other in one]
        pairs = [(_faster(one[first]), _faster(one[other])) for one in both]
        if both:
            yield (
                f"{len(both)} candidates in {first} and {other}: {pairs.count((True, True))} are "
                f"FASTER in both, {pairs.count((True, False))} in {first} only, "
                f"{pairs.count((False, True))} in {other} only"
            )
            yield from _times(both, first, other)


def _faster(row: documents.Row) -> bool:
    return row.verdict == "FASTER"


def _times(both: Sequence[SameCandidate], first: str, other: str) -> Iterator[str]:
    """Say how much faster the layers themselves are: each spec's first candidate stands for it."""
    layers = {one[first].spec_key: one for one in reversed(both)}.values()
    slow, fast = (sum(_original_s(one[dtype]) for one in layers) for dtype in (first, other))
    if slow and fast:
        times = f"{slow / fast:.2f}"
        yield f"the layers themselves take {times} times as long in {first} as in {other}"


def _original_s(row: documents.Row) -> float:
    return (row.original_latency_s or 0.0) * row.count
