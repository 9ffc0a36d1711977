"""Networks and their inventories: which layer names share which spec."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from ..clock import now
from ..errors import StoreError
from ..records import LayerSpec, LayerUse
from .database import Database
from .tables import network_layers, networks, specs
from .workloads import insert_all, intern_specs

MIN_PREFIX = 6
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Networks:
    """The networks of a store, by the hash of their file."""

    database: Database

    def put(
        self, sha256: str, source: str, input_shape: Sequence[int], uses: Sequence[LayerUse]
    ) -> None:
        """Store a network's inventory; one that was there is replaced (same network, perhaps
        with another input shape). A layer that is called with several specs has a row for each."""
        with self.database.writing() as connection:
            spec_ids = intern_specs(connection, (spec for use in uses for spec in use.every_call))
            layers = (
                {
                    "name": use.name,
                    "op": use.op,
                    "spec_id": None if spec is None else spec_ids[spec],
                    "reason": use.reason,
                }
                for use in uses
                for spec in dict.fromkeys((use.spec, *use.calls))
            )
            latest = connection.scalar(select(func.max(networks.c.put_at)))
            row = {"source": source, "input_shape": list(input_shape), "put_at": now(after=latest)}
            replace(connection, {"sha256": sha256, **row}, layers)

    def all(self) -> list[tuple[str, str, tuple[int, ...]]]:
        """(sha256, source, input shape with batch), the one put last first."""
        order = (networks.c.put_at.desc(), networks.c.id.desc())
        query = select(networks.c.sha256, networks.c.source, networks.c.input_shape)
        with self.database.reading() as connection:
            rows = connection.execute(query.order_by(*order)).all()
        return [(sha256, source, tuple(shape)) for sha256, source, shape in rows]

    def layer_counts(self) -> dict[str, int]:
        """How many layers each network has, by its hash."""
        names = func.count(network_layers.c.name.distinct())
        query = select(networks.c.sha256, names).group_by(networks.c.sha256)
        query = query.join(network_layers, network_layers.c.network_id == networks.c.id)
        with self.database.reading() as connection:
            rows = connection.execute(query).all()
        return {sha256: int(count) for sha256, count in rows}

    def layer_names(self) -> list[str]:
        """The names of all layers of all networks."""
        with self.database.reading() as connection:
            return list(connection.scalars(select(network_layers.c.name).distinct()))

    def layers(self, sha256: str) -> tuple[LayerUse, ...]:
        """The inventory in the network's order; of the calls of a layer only different ones are
        known. Raises `StoreError` for an unknown network."""
        columns = network_layers.c
        query = (
            select(columns.name, columns.op, specs.c.json, columns.reason)
            .select_from(network_layers.outerjoin(specs, columns.spec_id == specs.c.id))
            .order_by(columns.position)
        )
        with self.database.reading() as connection:
            network_id = _id_of(connection, sha256)
            if network_id is None:
                raise StoreError(f"network {sha256[:12]} is not in the store; profile it first")
            rows = connection.execute(query.where(columns.network_id == network_id)).all()
        return tuple(
            _use(name, op, reason, [spec for _, _, spec, _ in group])
            for (name, op, reason), group in groupby(rows, lambda row: (row[0], row[1], row[3]))
        )

    def find(self, text: str) -> str | None:
        """The hash of the network with this source (the one put last), or whose hash begins
        with this text. None if there is none; `StoreError` if a prefix fits several."""
        known = self.all()
        by_source = [sha256 for sha256, source, _ in known if source == text]
        if by_source:
            return by_source[0]
        if len(text) < MIN_PREFIX or not set(text.lower()) <= _HEX:
            return None
        by_prefix = [sha256 for sha256, _, _ in known if sha256.startswith(text.lower())]
        if len(by_prefix) > 1:
            raise StoreError(
                f"{text!r} begins the hash of {len(by_prefix)} networks; write more of it"
            )
        return by_prefix[0] if by_prefix else None


def replace(
    connection: Connection, row: Mapping[str, Any], layers: Iterable[Mapping[str, Any]]
) -> None:
    """Write a network's row and the rows of its layers, in order, in place of what is there."""
    network_id = _id_of(connection, row["sha256"])
    if network_id is None:
        connection.execute(networks.insert(), [row])
        network_id = _id_of(connection, row["sha256"])
    else:
        connection.execute(update(networks).where(networks.c.id == network_id).values(**row))
    connection.execute(delete(network_layers).where(network_layers.c.network_id == network_id))
    rows = [
        {"network_id": network_id, "position": position, **layer}
        for position, layer in enumerate(layers)
    ]
    insert_all(connection, network_layers, rows)


def _id_of(connection: Connection, sha256: str) -> int | None:
    return connection.scalar(select(networks.c.id).where(networks.c.sha256 == sha256))


def _use(name: str, op: str, reason: str, stored: Sequence[Any]) -> LayerUse:
    """Return a layer from its rows' specs, the one that stands for it first."""
    specs = tuple(LayerSpec.from_json(spec) for spec in stored if spec is not None)
    calls = specs if len(specs) > 1 else ()
    return LayerUse(name, op, specs[0] if specs else None, reason, calls)
