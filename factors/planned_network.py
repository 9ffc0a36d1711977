"""A network and the plan that was made for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import documents
from ..errors import PlanError

if TYPE_CHECKING:
    from ..models.network import Network


def check_network(document: documents.Plan, network: Network) -> None:
    """Raises `PlanError` unless the plan was made for exactly this network, and decides on each
    of its layers."""
    if document.model.sha256 != network.sha256:
        raise PlanError(
            f"the plan was made for another network: {document.model.source} "
            f"({document.model.sha256[:12]}), not {network.source} ({network.sha256[:12]})"
        )
    decided = [layer.name for layer in document.layers]
    names = [layer.name for layer in network.layers]
    if unknown := [name for name in decided if name not in names]:
        raise PlanError(f"the network has no layer {unknown[0]!r}")
    if missing := [name for name in names if name not in decided]:
        raise PlanError(f"the plan does not say what becomes of layer {missing[0]!r}")
