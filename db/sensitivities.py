"""Network errors with one layer replaced, so that a later plan need not probe again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import delete, select

from ..clock import now
from ..records import Decomposition, content_key
from .database import Database
from .tables import sensitivities
from .workloads import chunks

RELATIVE_ERROR = "relative_error"

Errors = Mapping[tuple[str, Decomposition], tuple[float, float]]
"""(value, upper bound) of the network error, by the replaced layer's name and decomposition."""


def sensitivity_key(
    network_sha256: str,
    calibration_sha256: str,
    layer: str,
    decomposition: Decomposition,
    metric: str,
) -> str:
    """The content key of what a sensitivity is of."""
    return content_key([network_sha256, calibration_sha256, layer, decomposition.to_json(), metric])


@dataclass(frozen=True, slots=True)
class Sensitivities:
    """The network errors that a store remembers, by network, pictures and metric."""

    database: Database

    def put(
        self,
        network_sha256: str,
        calibration_sha256: str,
        errors: Errors,
        *,
        metric: str = RELATIVE_ERROR,
    ) -> None:
        """Keep errors, in place of those that are there of the same."""
        names = (network_sha256, calibration_sha256)
        rows = [
            {
                "key": sensitivity_key(*names, layer, decomposition, metric),
                "network_sha256": network_sha256,
                "calibration_sha256": calibration_sha256,
                "layer": layer,
                "decomposition": decomposition.to_json(),
                "metric": metric,
                "value": value,
                "upper": upper,
                "put_at": now(),
            }
            for (layer, decomposition), (value, upper) in errors.items()
        ]
        with self.database.writing() as connection:
            for some in chunks(rows):
                keys = [row["key"] for row in some]
                connection.execute(delete(sensitivities).where(sensitivities.c.key.in_(keys)))
                connection.execute(sensitivities.insert(), some)

    def get(
        self, network_sha256: str, calibration_sha256: str, *, metric: str = RELATIVE_ERROR
    ) -> dict[tuple[str, Decomposition], tuple[float, float]]:
        """Return what `put` kept of a network on these pictures."""
        c = sensitivities.c
        query = select(c.layer, c.decomposition, c.value, c.upper).where(
            c.network_sha256 == network_sha256,
            c.calibration_sha256 == calibration_sha256,
            c.metric == metric,
        )
        with self.database.reading() as connection:
            return {
                (layer, Decomposition.from_json(json)): (value, upper)
                for layer, json, value, upper in connection.execute(query)
            }

    def latest(self, network_sha256: str) -> dict[tuple[str, Decomposition], float]:
        """Return the values that were put last of a network: of one set of pictures, by one
        metric."""
        c = sensitivities.c
        of_network = c.network_sha256 == network_sha256
        newest = select(c.calibration_sha256, c.metric).where(of_network)
        with self.database.reading() as connection:
            last = connection.execute(newest.order_by(c.put_at.desc(), c.key).limit(1)).first()
        if last is None:
            return {}
        found = self.get(network_sha256, last[0], metric=last[1])
        return {probe: value for probe, (value, _) in found.items()}
