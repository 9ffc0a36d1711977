"""Moments of layers over calibration pictures: gathered once, kept in the cache."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from ..errors import CalibrationError
from ..lowrank import Moments, Source, moments_wanted
from ..models.network import Network
from ..models.pictures import Calibration
from ..records import LayerSpec
from .array_cache import ArrayCache

VERSION = 2
"""Version of the files: it changes with what is summed up, so that older files are not read."""

SplitName = Literal["fit", "select", "report"]
Wanted = Mapping[str, Iterable[Source]]

SELECTING: tuple[SplitName, ...] = ("fit", "select")
"""Splits that factors are made from and chosen by."""


@dataclass(frozen=True, slots=True)
class LayerMoments:
    """Moments of one network over one calibration, read from the cache when they are asked
    for: together they may not fit into memory."""

    cache: ArrayCache
    network_sha256: str
    calibration_sha256: str

    def key(self, split: SplitName, name: str, source: Source) -> list[object]:
        """What names the moments, for the cache and for what is made from them."""
        return [VERSION, self.network_sha256, self.calibration_sha256, split, name, source]

    def has(self, split: SplitName, name: str, source: Source) -> bool:
        return self.cache.has("moments", self.key(split, name, source))

    def read(self, split: SplitName, name: str, source: Source) -> Moments:
        """Raises `CalibrationError` where they are not in the cache any more."""
        arrays = self.cache.read("moments", self.key(split, name, source))
        if arrays is None:
            raise CalibrationError(
                f"factors were made from calibration {self.calibration_sha256[:12]}, whose "
                "moments are not cached here: give the same pictures again with --calibration"
            )
        return Moments.from_arrays(arrays)

    def write(self, split: SplitName, name: str, source: Source, moments: Moments) -> None:
        self.cache.write("moments", self.key(split, name, source), moments.to_arrays())


def wanted_moments(specs: Mapping[str, LayerSpec], kinds: Mapping[str, Iterable[str]]) -> Wanted:
    """Return by layer name the vectors whose moments factors of these kinds need."""
    sources_of = {
        name: sorted({source for kind in of if (source := moments_wanted(specs[name], kind))})
        for name, of in kinds.items()
    }
    return {name: sources for name, sources in sources_of.items() if sources}


def gather_moments(
    network: Network,
    calibration: Calibration,
    wanted: Wanted,
    cache: ArrayCache,
    splits: Iterable[SplitName] = SELECTING,
) -> LayerMoments:
    """Return moments over the pictures of these splits; gather those that the cache lacks."""
    moments = LayerMoments(cache, network.sha256, calibration.sha256)
    for split in splits:
        missing = {
            name: left
            for name, sources in wanted.items()
            if (left := [source for source in sources if not moments.has(split, name, source)])
        }
        if missing:
            gathered = network.moments(getattr(calibration, split), missing)
            for name, source in list(gathered):
                moments.write(split, name, source, gathered.pop((name, source)))
    return moments


def cached_moments(
    network: Network, calibration_sha256: str, wanted: Wanted, cache: ArrayCache
) -> LayerMoments:
    """Return moments of an earlier run, by the calibration's hash: those of the fit split.

    Raises `CalibrationError` where they are not in the cache any more.
    """
    moments = LayerMoments(cache, network.sha256, calibration_sha256)
    for name, sources in wanted.items():
        for source in sources:
            if not moments.has("fit", name, source):
                moments.read("fit", name, source)
    return moments
