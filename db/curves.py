"""Error curves in the cache of arrays, and the network errors of single layers.

The cache is a folder beside the database. A file in it is named by its own SHA-256, so a
damaged one is noticed, and the same arrays are kept once. It can be deleted at any time: what
is missing is computed again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sqlalchemy import Connection, delete, select

from ..errors import StoreError
from ..records import Decomposition, content_key
from .tables import error_curves, sensitivities
from .workloads import now

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Arrays = Mapping[str, "NDArray[np.generic]"]
_NAME = re.compile(r"[0-9a-f]{64}\.safetensors")


class Cache:
    """A folder of files that are named by their own hash."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, sha256: str) -> Path:
        return self.folder / f"{sha256}.safetensors"

    def put(self, data: bytes) -> str:
        """Keep the bytes; returns their hash. A reader never sees half a file."""
        sha256 = hashlib.sha256(data).hexdigest()
        try:
            self.folder.mkdir(exist_ok=True)
            part = self.folder / f".{sha256}.{uuid4().hex}"
            part.write_bytes(data)
            part.replace(self.path(sha256))
        except OSError as error:
            raise StoreError(
                f"the cache {self.folder} cannot be written ({error.strerror}); free some space "
                "or check its permissions"
            ) from error
        return sha256

    def get(self, sha256: str) -> bytes | None:
        """The bytes, or None where the file is missing or is not what its name says."""
        try:
            data = self.path(sha256).read_bytes()
        except OSError:
            return None
        return data if hashlib.sha256(data).hexdigest() == sha256 else None

    def names(self) -> Iterator[str]:
        """Hashes in the names of the files that are there."""
        if self.folder.is_dir():
            yield from (p.stem for p in sorted(self.folder.iterdir()) if _NAME.fullmatch(p.name))


def put_curve(
    connection: Connection, key: str, sha256: str, size_bytes: int, meta: Mapping[str, Any]
) -> None:
    row = {"sha256": sha256, "size_bytes": size_bytes, "meta": dict(meta), "put_at": now()}
    connection.execute(delete(error_curves).where(error_curves.c.key == key))
    connection.execute(error_curves.insert(), [{"key": key, **row}])


def curve(connection: Connection, key: str) -> tuple[str, dict[str, Any]] | None:
    """(hash of the cache's file, what it is)."""
    query = select(error_curves.c.sha256, error_curves.c.meta).where(error_curves.c.key == key)
    row = connection.execute(query).first()
    return None if row is None else (row[0], row[1])


def named_files(connection: Connection) -> set[str]:
    return set(connection.scalars(select(error_curves.c.sha256)))


def sensitivity_key(
    network_sha256: str, calibration_sha256: str, layer: str, way: Decomposition, metric: str
) -> str:
    return content_key([network_sha256, calibration_sha256, layer, way.to_json(), metric])


def put_sensitivity(
    connection: Connection,
    network_sha256: str,
    calibration_sha256: str,
    layer: str,
    decomposition: Decomposition,
    metric: str,
    value: float,
    upper: float,
) -> None:
    key = sensitivity_key(network_sha256, calibration_sha256, layer, decomposition, metric)
    row = {
        "key": key,
        "network_sha256": network_sha256,
        "calibration_sha256": calibration_sha256,
        "layer": layer,
        "decomposition": decomposition.to_json(),
        "metric": metric,
        "value": value,
        "upper": upper,
        "put_at": now(),
    }
    connection.execute(delete(sensitivities).where(sensitivities.c.key == key))
    connection.execute(sensitivities.insert(), [row])


def sensitivities_of(
    connection: Connection, network_sha256: str, calibration_sha256: str, metric: str
) -> dict[tuple[str, Decomposition], tuple[float, float]]:
    c = sensitivities.c
    query = select(c.layer, c.decomposition, c.value, c.upper).where(
        c.network_sha256 == network_sha256,
        c.calibration_sha256 == calibration_sha256,
        c.metric == metric,
    )
    return {
        (layer, Decomposition.from_json(way)): (value, upper)
        for layer, way, value, upper in connection.execute(query)
    }
