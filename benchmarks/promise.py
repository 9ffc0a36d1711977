"""Is what a plan promises kept, and how much of its limit does it use?

    python benchmarks/promise.py promise.jsonl --budget 60m --no-doctor

Plans of four networks at three limits each, on `fake`, where nothing is timed. For each of five
seeds other pictures are drawn for `plan`, and split in another way. Then the error is measured on
what nothing has read: the report split, and all pictures that were not given to `plan`. Wanted: 90%
keep the limit on these together, and the median plan uses at least 85% of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from harness import Log, arguments, begin, show, verdict
from stores import forget, fresh_copy, profiled
from subjects import SUBJECTS, Subject, Unseen

from rankwise import documents
from rankwise.db.url import companion
from rankwise.factors.planned_network import PlannedNetwork
from rankwise.models.network import Network
from rankwise.models.network_error import NetworkError
from rankwise.workflow.plan import plan

LIMITS = {
    "demosaicking": (0.008, 0.012, 0.02),
    "ResNet-50-thin": (0.1, 0.17, 0.25),
    "digits": (0.02, 0.035, 0.05),
    "EfficientNet-lite0": (0.1, 0.2, 0.3),
}
PICTURES = {"digits": 200}
"""Of digits, of which everybody has many; else `--pictures`."""
BACKENDS = {"digits": "fake:step=4"}
"""Else `fake`, whose steps of 16 channels leave few plans to a network of five layers."""
MANY = 60
KEPT, USED = 0.9, 0.85


def main() -> None:
    options = arguments(__doc__ or "", seeds=5, pictures=60, only="")
    log, budget = begin(options)
    place = options.output.with_suffix(".work")
    for seed, name in product(range(options.seeds), LIMITS):
        if options.only in name and budget.left:
            subject, count = SUBJECTS[name], PICTURES.get(name, options.pictures)
            one_split(log, subject, count, seed, place)
    report(log.of(kind="plan"))


def one_split(log: Log, subject: Subject, pictures: int, seed: int, place: Path) -> None:
    """Plans at all limits from the same pictures; moments are gathered for the first of them."""
    asked = {"kind": "plan", "network": subject.name, "pictures": pictures, "seed": seed}
    missing = [one for one in LIMITS[subject.name] if not log.of(**asked, limit=one)]
    if not missing:
        return
    store = place / f"{subject.name}-{pictures}-{seed}.db"
    backend = BACKENDS.get(subject.name, "fake")
    db = fresh_copy(profiled(subject, backend, place), store)
    folder, unseen = subject.drawn(pictures, seed, place / subject.name)
    for limit in missing:
        start = perf_counter()
        document = plan(
            subject.path,
            backend=backend,
            input_shape=subject.input_shape,
            db=db,
            calibration=folder,
            preprocess=subject.preprocess,
            seed=seed,
            max_error=limit,
            refine=False,
        )
        seconds = perf_counter() - start
        row = {**asked, "limit": limit, "seconds": seconds, **said(document)}
        log.add(**row, **judged(document, folder, unseen, companion(db, ".cache")))
        print({key: value for key, value in log.rows[-1].items() if key != "kind"}, flush=True)
    forget(store)


def said(document: documents.Plan) -> dict[str, Any]:
    """What the plan says of itself."""
    promise = document.promise
    assert promise is not None
    return {
        "speedup": document.predicted.speedup,
        "select": document.predicted.network_error,
        "confirm": promise.network_error,
        "upper": promise.upper,
        "looks": promise.looks,
        "passes": document.search.passes,
    }


def judged(document: documents.Plan, folder: Path, unseen: Unseen, cache: Path) -> dict[str, Any]:
    """The plan's errors on the report split, on other pictures, and on both together."""
    planned = PlannedNetwork.load(document, cache=cache)
    pictures = planned.pictures(folder, None)
    assert pictures is not None
    compressed = planned.compressed(pictures)
    reported = Unseen(pictures.report, len(pictures.split.report))
    errors = [error_on(planned, compressed, part) for part in (reported, unseen)]
    return {
        "report": errors[0].value,
        "unseen": errors[1].value,
        "unread": together(errors).value,
        "unread_pictures": reported.pictures + unseen.pictures,
    }


def error_on(planned: PlannedNetwork, compressed: Network, part: Unseen) -> NetworkError:
    """With squares by picture that do not depend on how many examples were made of each."""
    outputs = [network.outputs(part.examples) for network in (planned.network, compressed)]
    found = NetworkError.of(planned.compared, *outputs, part.pictures)
    each = len(part.examples) / part.pictures
    return NetworkError(found.parts, found.lost / each, found.whole / each, found.weights)


def together(errors: Sequence[NetworkError]) -> NetworkError:
    """Over the pictures of all."""
    lost, whole = (
        np.concatenate([getattr(one, name) for one in errors]) for name in ("lost", "whole")
    )
    return NetworkError(errors[0].parts, lost, whole, errors[0].weights)


def report(rows: Sequence[dict[str, Any]]) -> None:
    lines = []
    for name, limits in LIMITS.items():
        for limit in limits:
            of = [r for r in rows if (r["network"], r["limit"]) == (name, limit)]
            if of:
                lines.append((name, limit, len(of), *_summary(of)))
    columns = ("network", "limit", "plans", "kept", "on report", "used: median", "largest")
    show((*columns, "speedup", "looks", "passes", "seconds"), lines)
    if not rows:
        return
    kept, on_report = share_kept(rows, "unread"), share_kept(rows, "report")
    print(f"{len(rows)} plans")
    verdict("limit kept on pictures that nothing has read", kept, kept >= KEPT, f"at least {KEPT}")
    verdict("limit kept on the report split", on_report, on_report >= KEPT, f"at least {KEPT}")
    many = [row for row in rows if row["pictures"] >= MANY]
    if many:
        used = median(row["unread"] / row["limit"] for row in many)
        verdict("share of the limit that is used", used, used >= USED, f"at least {USED}")


def share_kept(rows: Sequence[dict[str, Any]], where: str) -> float:
    return sum(row[where] <= row["limit"] for row in rows) / len(rows)


def _summary(rows: Sequence[dict[str, Any]]) -> tuple[Any, ...]:
    used = [row["unread"] / row["limit"] for row in rows]
    kept = [f"{sum(row[where] <= row['limit'] for row in rows)}" for where in ("unread", "report")]
    others = (median(row[name] for row in rows) for name in ("speedup", "looks", "passes"))
    return (*kept, median(used), max(used), *others, median(row["seconds"] for row in rows))


if __name__ == "__main__":
    main()
