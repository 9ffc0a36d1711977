"""`rankwise profile`: ask the store what is missing, measure that, keep each round at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .. import documents
from ..campaign.campaign import Campaign
from ..campaign.exploration import explore
from ..campaign.parts import Part
from ..campaign.setup import Setup, distinct_specs, make_setup
from ..campaign.wanted import Wanted, for_all_calls
from ..db.store import Store
from ..errors import UsageError
from ..lowrank import find_kind
from ..options.keywords import arguments_for, takes
from ..options.measuring import ProfileOptions
from ..profiler.candidates import default_candidates, in_precisions
from ..records import Candidate, Effort
from ..reporter import Listeners
from .backend_choice import with_backend

AUTO = "auto"
"""The rank quantum that is searched for."""


@takes(ProfileOptions)
def profile(options: ProfileOptions) -> documents.Profile:
    """Measure every distinct layer of a network, original against decomposed.

    Only what the store does not have yet is measured; each round is committed as it comes, so
    an interruption loses nothing. `complete` is false if time ran out before everything had
    its preparations. What was measured on this hardware with other software is stale: it is
    left alone, and said so, unless `refresh`. What another board of the same hardware has measured
    counts, unless `this_board`. `part` "3/32" is the third of 32 parts of the network's layers,
    which any device of one kind may do. `rank_quantum` "auto" searches each layer and
    kind for its staircase and measures the good ends; a number takes multiples of it. `context`
    "marginal" times layers among others (see `profiler.marginal`). Raises `UsageError` and its
    children before anything is measured.

    >>> done = rw.profile(network, example, backend="fake")
    >>> done.complete, done.candidates, done.failures
    (True, 8, [])
    """
    part = None if options.part is None else Part.parse(options.part)
    setup = make_setup(**arguments_for(make_setup, with_backend(options)))
    effort = _effort(options.interval, options.max_time_s)
    quantum = _quantum(setup, options.rank_quantum)
    wanted = _candidates(setup, options.kinds, quantum)
    if part is not None:
        wanted = part.of(wanted, setup.network.layers)
    board = _numbered_board(setup) if options.this_board else None
    with Store.open(options.db) as store:
        reporter = Listeners.of(options.reporter)
        work = Campaign(setup, store, effort, reporter, options.seed, board)
        work.begin()
        if options.rank_quantum == AUTO:
            asked = options.kinds, quantum
            wanted = explore(work, list(wanted), *asked, retry_failed=options.retry_failed)
        wanted = _in_precisions(setup, wanted)
        done = work.run(wanted, refresh=options.refresh, retry_failed=options.retry_failed)
        return done.model_copy(update={"part": options.part})


def _effort(interval: float | None, max_time_s: float | None) -> Effort:
    if interval is not None and not 0 < interval < 1:
        raise UsageError(f"--interval must lie between 0 and 1, not {interval}")
    if max_time_s is not None and max_time_s <= 0:
        raise UsageError("--max-time must be more than nothing")
    effort = Effort(max_time_s=max_time_s)
    return effort if interval is None else replace(effort, interval=interval)


def _numbered_board(setup: Setup) -> str:
    if setup.board is None:
        raise UsageError(
            f"--this-board: nothing tells this board of {setup.backend_text} from others of its "
            "kind; docs/measuring.md says what is looked for"
        )
    return setup.board


def _quantum(setup: Setup, asked: int | str | None) -> int:
    """The multiple that ranks keep to; with `auto`, where there is nothing to search for."""
    if asked is None or asked == AUTO:
        return setup.backend.rank_quantum(setup.policy)
    if not isinstance(asked, int):
        raise UsageError(f"--rank-quantum is a whole number or {AUTO}, not {asked!r}")
    if asked < 1:
        raise UsageError(f"--rank-quantum must be at least 1, not {asked}")
    return asked


def _candidates(setup: Setup, kinds: Sequence[str] | None, quantum: int) -> Wanted:
    for kind in kinds or ():
        find_kind(kind)
    wanted = {
        spec: tuple(Candidate(spec, d) for d in default_candidates(spec, kinds, quantum))
        for spec in distinct_specs(setup.network.layers)
    }
    return for_all_calls(wanted, setup.network.layers)


def _in_precisions(setup: Setup, wanted: Wanted) -> Wanted:
    """The candidates, in each precision that a layer may have under the policy."""
    found = {}
    for spec, candidates in wanted.items():
        plain = [candidate.decomposition for candidate in candidates]
        every = in_precisions(spec, plain, setup.policy.dtype)
        found[spec] = tuple(Candidate(spec, one) for one in every)
    return found
