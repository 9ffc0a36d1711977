"""Networks and their inventories: which layer names share which spec."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, select, update

from ..errors import StoreError
from ..records import LayerSpec, LayerUse
from .tables import network_layers, networks, specs
from .workloads import intern_specs, now

MIN_PREFIX = 6
_HEX = frozenset("0123456789abcdef")


def put(
    connection: Connection,
    sha256: str,
    source: str,
    input_shape: Sequence[int],
    uses: Sequence[LayerUse],
) -> None:
    """Store a network's inventory; one that was there is replaced (same network, perhaps
    with another input shape)."""
    latest = connection.scalar(select(func.max(networks.c.put_at)))
    row = {"source": source, "input_shape": list(input_shape), "put_at": now(after=latest)}
    network_id = id_of(connection, sha256)
    if network_id is None:
        connection.execute(networks.insert().values(sha256=sha256, **row))
        network_id = id_of(connection, sha256)
    else:
        connection.execute(update(networks).where(networks.c.id == network_id).values(**row))
    connection.execute(delete(network_layers).where(network_layers.c.network_id == network_id))
    spec_ids = intern_specs(connection, (use.spec for use in uses if use.spec is not None))
    layers = [
        {
            "network_id": network_id,
            "position": position,
            "name": use.name,
            "op": use.op,
            "spec_id": None if use.spec is None else spec_ids[use.spec],
            "reason": use.reason,
        }
        for position, use in enumerate(uses)
    ]
    if layers:
        connection.execute(network_layers.insert(), layers)


def id_of(connection: Connection, sha256: str) -> int | None:
    return connection.scalar(select(networks.c.id).where(networks.c.sha256 == sha256))


def listed(connection: Connection) -> list[tuple[str, str, tuple[int, ...]]]:
    """(sha256, source, input shape), the one put last first."""
    order = (networks.c.put_at.desc(), networks.c.id.desc())
    query = select(networks.c.sha256, networks.c.source, networks.c.input_shape).order_by(*order)
    return [(sha, source, tuple(shape)) for sha, source, shape in connection.execute(query)]


def layer_uses(connection: Connection, sha256: str) -> tuple[LayerUse, ...]:
    """The inventory in the network's order. Raises `StoreError` for an unknown network."""
    network_id = id_of(connection, sha256)
    if network_id is None:
        raise StoreError(f"network {sha256[:12]} is not in the store; profile it first")
    layers = network_layers.c
    query = (
        select(layers.name, layers.op, specs.c.json, layers.reason)
        .select_from(network_layers.outerjoin(specs, layers.spec_id == specs.c.id))
        .where(layers.network_id == network_id)
        .order_by(layers.position)
    )
    return tuple(
        LayerUse(name, op, None if spec is None else LayerSpec.from_json(spec), reason)
        for name, op, spec, reason in connection.execute(query)
    )


def find(connection: Connection, text: str) -> str | None:
    """The hash of the network with this source (the one put last), or whose hash begins
    with this text. None if there is none; `StoreError` if a prefix fits several."""
    known = listed(connection)
    by_source = [sha for sha, source, _ in known if source == text]
    if by_source:
        return by_source[0]
    if len(text) < MIN_PREFIX or not set(text.lower()) <= _HEX:
        return None
    by_prefix = [sha for sha, _, _ in known if sha.startswith(text.lower())]
    if len(by_prefix) > 1:
        raise StoreError(f"{text!r} begins the hash of {len(by_prefix)} networks; write more of it")
    return by_prefix[0] if by_prefix else None
