"""A torch network by the name that it was loaded by: what a process needs to load it anew.

A module crosses to no other process, because only pickle could carry it. Its name does, with the
chains that take layers' places and a file of their weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from ..backends.base import ModuleWorkload
from ..errors import ModelError
from ..factors.stored_factors import from_arrays, to_arrays
from ..models.network import Network, Replacements, known_as
from ..models.notes import asked_of, model_note
from ..models.source import load_network
from ..ops.chain import Chain

FACTORS = "factors.safetensors"


@dataclass(frozen=True, slots=True)
class NamedNetwork:
    """`sha256` of the network before layers were replaced; `inputs` are keywords of `load_network`;
    `factors` is read only if there are `chains`; `dtype`: see `backends.base.own_policy`."""

    key: str
    source: str
    weights: str | None
    inputs: Mapping[str, Any]
    sha256: str
    chains: Mapping[str, Chain]
    factors: str
    dtype: str = ""

    @classmethod
    def written(cls, key: str, network: Network, weights: Path | None, folder: Path) -> Self:
        """`weights` are what the original was loaded with; the chains' go into `folder`."""
        from safetensors.numpy import save_file

        place = folder.absolute() / FACTORS
        arrays = {
            f"{name} {part}": array
            for name, (_, links) in network.replacements.items()
            for part, array in to_arrays(links).items()
        }
        save_file(arrays, place)
        return cls(
            key,
            network.source,
            None if weights is None else str(weights),
            asked_of(model_note(network.original)),
            network.original.sha256,
            {name: chain for name, (chain, _) in network.replacements.items()},
            str(place),
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "source": self.source,
            "weights": self.weights,
            "inputs": dict(self.inputs),
            "sha256": self.sha256,
            "chains": {name: chain.to_json() for name, chain in self.chains.items()},
            "factors": self.factors,
            "dtype": self.dtype,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        chains = {name: Chain.from_json(links) for name, links in document["chains"].items()}
        return cls(**{**document, "chains": chains})

    def workload(self) -> ModuleWorkload:
        """Loads the network. Raises `ModelError` if the name no longer stands for it."""
        network = load_network(self.source, weights=self.weights, **self.inputs)
        try:
            network = known_as(network, self.sha256)
        except ModelError as error:
            raise ModelError(
                f"{self.source} gives another network each time it is loaded: let it load its "
                "weights, or draw them from a fixed seed"
            ) from error
        changed = network.replaced(self._replacements()) if self.chains else network
        found: ModuleWorkload = changed.workload(self.key, (ModuleWorkload,), Path())
        return replace(found, dtype=self.dtype)

    def _replacements(self) -> Replacements:
        from safetensors.numpy import load_file

        arrays = load_file(self.factors)
        return {
            name: (chain, from_arrays(_named(arrays, name))) for name, chain in self.chains.items()
        }


def _named(arrays: Mapping[str, Any], layer: str) -> dict[str, Any]:
    parts = (key.rpartition(" ") for key in arrays)
    return {part: arrays[f"{name} {part}"] for name, _, part in parts if name == layer}
