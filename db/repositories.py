"""What the store keeps besides measurements, and looking after the store itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any

from ..records import Decomposition
from . import checks, curves, documents, jobs, measurements, prune
from .connection import Opened
from .curves import Arrays
from .database import BREATH_S
from .prune import Pruned
from .workloads import chunks

if TYPE_CHECKING:
    from .importing import Merged

RELATIVE_ERROR = "relative_error"


class Keeping(Opened):
    """The part of `Store` that keeps documents, jobs and cached arrays."""

    # Documents

    def put_plan(self, document: Mapping[str, Any]) -> str:
        """Store a plan; returns its key, which a verification written into it leaves alone."""
        with self._writing() as connection:
            return documents.put_plan(connection, document)

    def plan(self, key: str) -> dict[str, Any] | None:
        with self._reading() as connection:
            return documents.plan(connection, key)

    def plans(self, network_sha256: str | None = None) -> list[tuple[str, dict[str, Any]]]:
        """(key, document) of the plans of a network, or of all; the newest first."""
        with self._reading() as connection:
            return documents.plans_of(connection, network_sha256)

    def put_verification(self, plan_key: str, document: Mapping[str, Any]) -> None:
        with self._writing() as connection:
            documents.put_verification(connection, plan_key, document)

    def verifications(self, plan_key: str) -> list[dict[str, Any]]:
        with self._reading() as connection:
            return documents.verifications_of(connection, plan_key)

    def put_calibration(self, sha256: str, document: Mapping[str, Any]) -> None:
        with self._writing() as connection:
            documents.put_calibration(connection, sha256, document)

    def calibration(self, sha256: str) -> dict[str, Any] | None:
        with self._reading() as connection:
            return documents.calibration(connection, sha256)

    # Cached arrays and errors in the network

    def put_error_curve(self, key: str, arrays: Arrays, meta: Mapping[str, Any]) -> str:
        """Keep arrays in the cache under what they were computed from; returns their hash."""
        from safetensors.numpy import save

        data = save(dict(arrays))
        sha256 = self._cache.put(data)
        with self._writing() as connection:
            curves.put_curve(connection, key, sha256, len(data), meta)
        return sha256

    def error_curve(self, key: str) -> tuple[Arrays, dict[str, Any]] | None:
        """(arrays, meta), or None where they are to be computed again: never kept, or their
        file in the cache is missing or damaged."""
        from safetensors.numpy import load

        with self._reading() as connection:
            found = curves.curve(connection, key)
        data = None if found is None else self._cache.get(found[0])
        return None if found is None or data is None else (load(data), found[1])

    def put_sensitivities(
        self,
        network_sha256: str,
        calibration_sha256: str,
        found: Mapping[tuple[str, Decomposition], tuple[float, float]],
        *,
        metric: str = RELATIVE_ERROR,
    ) -> None:
        """Keep network errors (value, upper bound) with one layer replaced, by the layer's
        name and its decomposition."""
        with self._writing() as connection:
            for (layer, way), (value, upper) in found.items():
                curves.put_sensitivity(
                    connection,
                    network_sha256,
                    calibration_sha256,
                    layer,
                    way,
                    metric,
                    value,
                    upper,
                )

    def sensitivities(
        self, network_sha256: str, calibration_sha256: str, *, metric: str = RELATIVE_ERROR
    ) -> dict[tuple[str, Decomposition], tuple[float, float]]:
        """What `put_sensitivities` kept."""
        with self._reading() as connection:
            return curves.sensitivities_of(connection, network_sha256, calibration_sha256, metric)

    # Jobs

    def put_job(self, record: jobs.JobRecord) -> jobs.JobRecord:
        """Queue a job; the live one with the same request, if there is one, comes back instead."""
        with self._writing() as connection:
            return jobs.put(connection, record)

    def claim_job(self, uuid: str | None = None) -> jobs.JobRecord | None:
        """Make this process run a queued job (that one, or the oldest); None if there is none."""
        with self._writing() as connection:
            return jobs.claim(connection, uuid)

    def update_job(self, uuid: str, *, states: Collection[str] = jobs.LIVE, **values: Any) -> bool:
        """Set columns of a job if it is in one of these states; whether it was."""
        with self._writing() as connection:
            return jobs.change(connection, uuid, values, states)

    def job(self, uuid: str) -> jobs.JobRecord | None:
        with self._reading() as connection:
            return jobs.one(connection, uuid)

    def jobs(
        self,
        *,
        kinds: Collection[str] = (),
        states: Collection[str] = (),
        limit: int = 100,
        offset: int = 0,
        oldest_first: bool = False,
    ) -> tuple[list[jobs.JobRecord], int]:
        """A page of the jobs that fit, newest first, and how many fit in all."""
        with self._reading() as connection:
            return jobs.listed(
                connection,
                kinds=kinds,
                states=states,
                limit=limit,
                offset=offset,
                oldest_first=oldest_first,
            )

    def requeue_jobs(self) -> list[str]:
        """Queue running jobs whose process is gone again; their uuids."""
        with self._writing() as connection:
            return jobs.requeue_orphans(connection)

    def prune_jobs(self, keep: int) -> int:
        """Forget ended jobs beyond the newest `keep`; how many."""
        with self._writing() as connection:
            return jobs.prune(connection, keep)

    def table_stamp(self) -> str:
        """Changes whenever a speedup table may have changed; much cheaper than the table."""
        with self._reading() as connection:
            return measurements.stamp(connection)

    # Looking after it

    def check(self) -> list[str]:
        """One sentence for each thing that is wrong with the database or its cache."""
        with self._reading() as connection:
            return checks.check(connection, self._cache)

    def export_archive(self, target: Path) -> dict[str, int]:
        """Write everything but jobs into one portable file; how many of each kind there were.
        Sessions that still run are left out, and counted as `open_sessions`."""
        from . import archive, exporting

        with archive.writing(target) as writer, self._reading() as connection:
            return exporting.export(connection, self._cache, writer)

    def import_archive(self, source: Path) -> Merged:
        """Merge such a file. Importing it again changes nothing.

        Raises `StoreError`, with nothing imported, for a file that is damaged or contradicts
        itself or this store.
        """
        from . import archive, importing

        with archive.reading(source) as reader:
            return importing.merge(reader, self._cache, self._reading, self._writing)

    def prune(self, before: str, *, dry_run: bool = False, compact: bool = False) -> Pruned:
        """Drop the raw samples of sessions that ended before a time (UTC, ISO 8601), and files
        of the cache that are damaged or belong to nothing. Summaries stay.

        `compact` gives the room back to the disk, which needs as much again while it runs.
        """
        with self._reading() as connection:
            old = prune.old_sessions(connection, before)
            files = prune.useless_files(connection, self._cache)
            if dry_run:
                counts = [prune.count(connection, ids) for ids in chunks(old)]
                found = sum(sum(count.values()) for count in counts)
                return Pruned(len(old), found, len(files))
        dropped = 0
        for ids in chunks(old, prune.SESSIONS_AT_ONCE):
            with self._writing() as connection:
                dropped += prune.drop(connection, ids)
            sleep(BREATH_S)
        for sha256 in files:
            self._cache.path(sha256).unlink(missing_ok=True)
        if compact:
            self._database.compact()
        return Pruned(len(old), dropped, len(files))

    @property
    def cache_folder(self) -> Path:
        return self._cache.folder
