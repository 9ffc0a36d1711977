"""Factor weights for a network's layers, and the network that they make."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CalibrationError, LayerError, PlanError
from ..lowrank import KINDS, Factorizer, OutputMoments, factorizer, lower
from ..ops.chain import Chain, LinkWeights
from ..records import Decomposition, LayerSpec, content_key

if TYPE_CHECKING:
    from ..models.network import Network
    from ..models.pictures import Calibration

MOMENTS_VERSION = 1
MOMENT_ARRAYS = ("mean", "second", "count")


class Assembly:
    """One network, its layers' factors, each factorisation done once.

    `moments` maps layer names to output moments; layers without them, and kinds that make no
    use of them, get factors from the weights alone.
    """

    def __init__(self, network: Network, moments: Mapping[str, OutputMoments]) -> None:
        self.network, self.moments = network, moments
        self.specs = {use.name: use.spec for use in network.layers}
        self._factorizers: dict[tuple[str, str, int], Factorizer] = {}

    def from_data(self, name: str, kind: str) -> bool:
        """Whether this layer's factors of this kind are made from calibration data."""
        return name in self.moments and KINDS[kind].uses_moments

    def layer_error(self, name: str, decomposition: Decomposition) -> float:
        """Relative error of the layer's output (from data) or weight (without), in [0, 1]."""
        if decomposition.is_original:
            return 0.0
        return self._factorizer(name, decomposition).error(decomposition.ranks)

    def estimated_error(self, name: str, decomposition: Decomposition) -> float:
        """As `layer_error`, but free for every further rank: an upper bound for kinds that are
        refined rank by rank."""
        if decomposition.is_original:
            return 0.0
        return self._factorizer(name, decomposition).estimate(decomposition.ranks)

    def replacement(
        self, name: str, decomposition: Decomposition
    ) -> tuple[Chain, Sequence[LinkWeights]]:
        spec = self.spec(name)
        weights = self._factorizer(name, decomposition).at(decomposition.ranks)
        return lower(spec, decomposition), weights

    def network_with(self, decisions: Mapping[str, Decomposition]) -> Network:
        """A copy of the network in which each named layer is replaced by its chain."""
        changed = {n: d for n, d in decisions.items() if not d.is_original}
        return self.network.replaced({n: self.replacement(n, d) for n, d in changed.items()})

    def spec(self, name: str) -> LayerSpec:
        """The spec of a layer; `PlanError` if there is no such layer or nothing applies."""
        spec = self.specs.get(name)
        if spec is None:
            state = "cannot be decomposed" if name in self.specs else "is not in this network"
            raise PlanError(f"layer {name!r} {state}")
        return spec

    def _factorizer(self, name: str, decomposition: Decomposition) -> Factorizer:
        kind, groups = decomposition.kind, decomposition.groups
        if (name, kind, groups) not in self._factorizers:
            weight, bias = self.network.weights(name)
            moments = self.moments.get(name) if self.from_data(name, kind) else None
            self._factorizers[name, kind, groups] = factorizer(
                self.spec(name), kind, weight, bias, moments, groups=groups
            )
        return self._factorizers[name, kind, groups]


def check_decisions(assembly: Assembly, decisions: Mapping[str, Decomposition]) -> None:
    """Every decision must be possible here: known layer, known kind, ranks within the full."""
    for name, decomposition in decisions.items():
        spec = assembly.spec(name)
        try:
            lower(spec, decomposition)
        except LayerError as error:
            raise PlanError(f"layer {name!r} cannot become {decomposition}: {error}") from None


def gather_moments(
    network: Network, calibration: Calibration, names: Iterable[str], cache: Path
) -> dict[str, OutputMoments]:
    """Output moments of the named layers over the fit split, from the cache if they are there."""
    path = moments_file(cache, network, calibration.sha256)
    wanted = sorted(names)
    found = read_moments(path)
    missing = [name for name in wanted if name not in found]
    if missing:
        found = {**found, **network.output_moments(calibration.fit, missing)}
        _write_moments(path, found)
    return {name: found[name] for name in wanted}


def cached_moments(
    network: Network, calibration_sha256: str, names: Iterable[str], cache: Path
) -> dict[str, OutputMoments]:
    """Moments of an earlier run, by the calibration's hash.

    Raises `CalibrationError` where they are not in the cache any more.
    """
    found = read_moments(moments_file(cache, network, calibration_sha256))
    if any(name not in found for name in names):
        raise CalibrationError(
            f"factors were made from calibration {calibration_sha256[:12]}, whose moments are "
            "not cached here: give the same pictures again with --calibration"
        )
    return {name: found[name] for name in names}


def moments_file(cache: Path, network: Network, calibration_sha256: str) -> Path:
    key = content_key([MOMENTS_VERSION, network.sha256, calibration_sha256])
    return cache / f"moments-{key}.safetensors"


def read_moments(path: Path) -> dict[str, OutputMoments]:
    from safetensors.numpy import load_file

    if not path.exists():
        return {}
    arrays = load_file(path)
    names = {name.rpartition("|")[0] for name in arrays}
    return {
        name: OutputMoments.from_arrays(
            {field: arrays[f"{name}|{field}"] for field in MOMENT_ARRAYS}
        )
        for name in names
    }


def _write_moments(path: Path, moments: Mapping[str, OutputMoments]) -> None:
    from safetensors.numpy import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        f"{name}|{field}": array
        for name, one in moments.items()
        for field, array in one.to_arrays().items()
    }
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    save_file(arrays, temporary)
    temporary.replace(path)
