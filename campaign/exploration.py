"""`--rank-quantum auto`: which ranks are worth measuring is found out by measuring.

All layers and kinds are searched side by side: each step asks every search for its next
ranks, measures them in one sweep and tells the searches. What the store has counts as told,
so that an interrupted search goes on where it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import exp

from .. import documents
from ..profiler.rank_search import KindSearch, searches
from ..records import Candidate, LayerSpec
from .campaign import Campaign
from .wanted import Wanted, for_all_calls, keys_of


def explore(
    work: Campaign,
    specs: Sequence[LayerSpec],
    kinds: Sequence[str] | None,
    quantum: int,
    *,
    retry_failed: bool = False,
) -> Wanted:
    """The candidates of each layer spec: good ends of the staircases that were found. `quantum`
    is for kinds with too few ranks to search. Notes what was found in `work.findings`."""
    by_spec = {spec: searches(spec, kinds) for spec in specs}
    everyone = [search for group in by_spec.values() for search in group]
    asked: set[str] = set()
    while wanted := _asked(by_spec, asked):
        keys = keys_of(wanted)
        if retry_failed:
            work.store.failures.clear(*work.where, keys)
        asked.update(keys)
        work.explored.update(keys)
        _measure(work, wanted)
        _tell(work, everyone, wanted)
        left = work.time_left_s
        if left is not None and left <= 0:
            break
    work.findings = list(_findings(work, everyone))
    found = {
        spec: tuple(Candidate(spec, d) for s in group for d in s.candidates(quantum))
        for spec, group in by_spec.items()
    }
    return for_all_calls(found, work.setup.network.layers)


def _asked(by_spec: dict[LayerSpec, list[KindSearch]], before: set[str]) -> Wanted:
    """What the searches ask for next; a rank that could not be measured is not asked again."""
    wanted = {
        spec: tuple(Candidate(spec, d) for search in group for d in search.ask())
        for spec, group in by_spec.items()
    }
    fresh = {s: tuple(c for c in group if c.key not in before) for s, group in wanted.items()}
    return {spec: group for spec, group in fresh.items() if group}


def _measure(work: Campaign, wanted: Wanted) -> None:
    """One session of each candidate that has none."""
    tasks = work.tasks(wanted, work.sessions_done(keys_of(wanted)), preparations=1)
    work.sweep(tasks, replace(work.effort, preparations=1), extra_preparations=False)


def _tell(work: Campaign, everyone: Iterable[KindSearch], wanted: Wanted) -> None:
    """Latencies relative to the original's: the first session of each, so that a search that
    is taken up later is told the same."""
    keys = keys_of(wanted)
    summaries = work.store.measurements.summaries(*work.where, keys)
    failed = work.store.failures.latest(*work.where, keys)
    for search in everyone:
        ours = [c for c in wanted.get(search.spec, ()) if c.decomposition.kind == search.kind]
        search.tell(
            {
                c.decomposition.ranks: exp(-summaries[c.key][0].log_ratio)
                for c in ours
                if c.key in summaries
            },
            [c.decomposition.ranks for c in ours if c.key in failed],
        )


def _findings(work: Campaign, everyone: Iterable[KindSearch]) -> Iterable[documents.Staircase]:
    uses = reversed(work.setup.network.layers)
    names = {spec: use.name for use in uses for spec in use.every_call}
    for search in everyone:
        for finding in search.findings():
            yield documents.Staircase(
                layer=names[search.spec],
                spec_key=search.spec.key,
                kind=finding.kind,
                axis=finding.axis,
                quantum=finding.quantum,
                alignment=finding.alignment,
                measured=search.measured,
                text=finding.text,
            )
