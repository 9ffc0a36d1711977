"""A network's layers, and the ranks that a rule chooses for them."""

from __future__ import annotations

from typing import Any, Literal

from .base import Decomposition, Document, Model, Strict


class RankedLayer(Strict):
    """What a rule makes of a layer. `macs` and `params` are those of the chain, `layer_error`
    is the relative error of the weight; `reason` says why the layer stays as it is."""

    decomposition: Decomposition
    macs: int
    params: int
    layer_error: float
    reason: str


class Ranking(Strict):
    """How ranks were chosen. `final_dense_ratio` is the final dense layer's own parameter
    reduction; null where it follows the rule."""

    rule: str
    parameters: dict[str, float]
    rank_quantum: int
    rounding: str
    kinds: list[str]
    mode: str
    final_dense_ratio: float | None


class Layer(Strict):
    name: str
    op: str
    spec: dict[str, Any] | None
    spec_key: str | None
    count: int
    macs: int
    params: int
    kinds: list[str]
    reason: str
    note: str = ""
    ranked: RankedLayer | None = None


class Layers(Document):
    kind: Literal["rankwise.layers"] = "rankwise.layers"
    model: Model
    ranking: Ranking | None = None
    layers: list[Layer]
