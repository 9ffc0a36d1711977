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
    """`count` layers share the spec. `macs` are for one example over all `calls`, 0 where they are
    not `counted`: of a layer that cannot be decomposed not all are known."""

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
    counted: bool = True
    calls: int = 1


class OtherParameters(Strict):
    """Parameters that are in no layer: of which kind, and which classes or operators hold them."""

    kind: str
    holders: list[str]
    parameters: int


class Parameters(Strict):
    """All parameters of the network, each once: in layers that can be decomposed, in layers of the
    list that cannot, and in no layer. A tied one counts for a layer that can, if there is one.
    `products_macs`: multiply-accumulates for one example of products of two computed tensors
    (attention), where they are no layers; null where nobody counted."""

    total: int
    decomposable: int
    other_layers: int
    others: list[OtherParameters]
    products_macs: int | None


class Layers(Document):
    kind: Literal["rankwise.layers"] = "rankwise.layers"
    model: Model
    ranking: Ranking | None = None
    layers: list[Layer]
    parameters: Parameters | None = None

    @property
    def headline(self) -> str:
        macs = sum(one.macs for one in self.layers)
        return f"{self.model.source}: {len(self.layers)} layers, {macs / 1e6:.1f} MMACs"
