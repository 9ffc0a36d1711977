"""`rankwise profile`: ask the store what is missing, measure that, keep each round at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import documents
from ..campaign.campaign import Campaign
from ..campaign.setup import Setup, distinct_specs, make_setup
from ..errors import UsageError
from ..records import (
    Candidate,
    Effort,
    LayerSpec,
)
from ..reporter import Reporter, Silent
from .store import DEFAULT_DB

if TYPE_CHECKING:
    pass

AUTO = "auto"
"""The rank quantum that is searched for."""


def profile(
    model: Any,
    example_input: Any = None,
    *,
    backend: str,
    db: str = DEFAULT_DB,
    weights: Path | None = None,
    input_shape: Sequence[int] | None = None,
    batch: int | None = None,
    threads: int = 1,
    kinds: Sequence[str] | None = None,
    rank_quantum: int | str | None = None,
    interval: float | None = None,
    max_time_s: float | None = None,
    refresh: bool = False,
    retry_failed: bool = False,
    phase: str = "inference",
    dtype: str = "float32",
    context: str = "isolated",
    seed: int = 0,
    reporter: Reporter | None = None,
) -> documents.Profile:
    """Measure every distinct layer of a network, original against decomposed.

    Only what the store does not have yet is measured; each round is committed as it comes, so
    an interruption loses nothing. `complete` is false if time ran out before everything had
    its preparations. What was measured on this hardware with other software is stale: it is
    left alone, and said so, unless `refresh`. `rank_quantum` "auto" searches each layer and
    kind for its staircase and measures the good ends; a number takes multiples of it. `context`
    "marginal" times layers among others (see `profiler.marginal`). Raises `UsageError` and its
    children before anything is measured.
    """
    from ..db.store import Store

    setup = make_setup(
        model,
        backend=backend,
        example_input=example_input,
        weights=weights,
        input_shape=input_shape,
        batch=batch,
        threads=threads,
        phase=phase,
        dtype=dtype,
        context=context,
    )
    effort = _effort(interval, max_time_s)
    quantum = _quantum(setup, rank_quantum)
    wanted = _candidates(setup, kinds, quantum)
    with Store.open(db) as store:
        work = Campaign(setup, store, effort, reporter or Silent(), seed)
        work.begin()
        if rank_quantum == AUTO:
            from ..campaign.exploration import explore

            wanted = explore(work, kinds, quantum, retry_failed=retry_failed)
        return work.run(wanted, refresh=refresh, retry_failed=retry_failed)


def _effort(interval: float | None, max_time_s: float | None) -> Effort:
    if interval is not None and not 0 < interval < 1:
        raise UsageError(f"--interval must lie between 0 and 1, not {interval}")
    if max_time_s is not None and max_time_s <= 0:
        raise UsageError("--max-time must be more than nothing")
    effort = Effort(max_time_s=max_time_s)
    return effort if interval is None else replace(effort, interval=interval)


def _quantum(setup: Setup, asked: int | str | None) -> int:
    """The multiple that ranks keep to; with `auto`, where there is nothing to search for."""
    if asked is None or asked == AUTO:
        return setup.backend.rank_quantum(setup.policy)
    if not isinstance(asked, int):
        raise UsageError(f"--rank-quantum is a whole number or {AUTO}, not {asked!r}")
    if asked < 1:
        raise UsageError(f"--rank-quantum must be at least 1, not {asked}")
    return asked


def _candidates(
    setup: Setup, kinds: Sequence[str] | None, quantum: int
) -> dict[LayerSpec, tuple[Candidate, ...]]:
    from ..lowrank import find_kind
    from ..profiler.candidates import default_candidates

    for kind in kinds or ():
        find_kind(kind)
    return {
        spec: tuple(Candidate(spec, d) for d in default_candidates(spec, kinds, quantum))
        for spec in distinct_specs(setup.network.layers)
    }
