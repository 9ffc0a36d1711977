"""What calibration pictures say of layers: moments of what they see and compute, and metrics of
errors of their outputs. Gathered once, kept in the cache."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import CalibrationError
from ..inputs.examples import Given
from ..lowrank import Moments, Source, moments_wanted
from ..models.batching import spread
from ..models.compared import Compared
from ..models.network import Network
from ..models.pictures import Calibration
from ..models.splits import SplitName
from ..records import LayerSpec
from .array_cache import ArrayCache

VERSION = 2
"""Version of the files: it changes with what is summed up, so that older files are not read."""

Wanted = Mapping[str, Iterable[Source]]

METRICS_VERSION = 1
"""Version of the metrics' files."""
METRIC_EXAMPLES = 32
"""Most examples of a split whose gradients are taken: they are the costly part, and a metric has
fewer numbers than the moments of patches."""
METRIC_COTANGENTS = 1
"""Directions of the compared outputs that each of these examples is asked in: other examples say
more than other directions."""

SELECTING: tuple[SplitName, ...] = ("fit", "select")
"""Splits that factors are made from and chosen by."""


@dataclass(frozen=True, slots=True)
class LayerMoments:
    """Moments of one network over one calibration, read from the cache when they are asked
    for: together they may not fit into memory. With `compared` there are metrics of the outputs'
    errors, too."""

    cache: ArrayCache
    network_sha256: str
    calibration_sha256: str
    compared: Compared | None = None

    def key(self, split: SplitName, name: str, source: Source) -> list[object]:
        """What names the moments, for the cache and for what is made from them."""
        return [VERSION, self.network_sha256, self.calibration_sha256, split, name, source]

    def has(self, split: SplitName, name: str, source: Source) -> bool:
        return self.cache.has("moments", self.key(split, name, source))

    def read(self, split: SplitName, name: str, source: Source) -> Moments:
        """Raises `CalibrationError` where they are not in the cache any more."""
        arrays = self.cache.read("moments", self.key(split, name, source))
        if arrays is None:
            raise _missing(self.calibration_sha256)
        return Moments.from_arrays(arrays)

    def write(self, split: SplitName, name: str, source: Source, moments: Moments) -> None:
        self.cache.write("moments", self.key(split, name, source), moments.to_arrays())

    def metric_key(self, split: SplitName, name: str) -> list[object]:
        """What names a metric, for the cache and for what is made from it."""
        assert self.compared is not None
        of = [self.network_sha256, self.calibration_sha256, *map(astuple, self.compared.parts)]
        return [METRICS_VERSION, METRIC_EXAMPLES, METRIC_COTANGENTS, *of, split, name]

    def has_metric(self, split: SplitName, name: str) -> bool:
        return self.compared is not None and self.cache.has("metric", self.metric_key(split, name))

    def read_metric(self, split: SplitName, name: str) -> NDArray[np.float64] | None:
        """Return G (C_out, C_out); None where no metric of this layer was gathered."""
        if self.compared is None:
            return None
        arrays = self.cache.read("metric", self.metric_key(split, name))
        return None if arrays is None else arrays["metric"].astype(np.float64)

    def write_metric(self, split: SplitName, name: str, metric: NDArray[np.float64]) -> None:
        self.cache.write(
            "metric", self.metric_key(split, name), {"metric": metric.astype(np.float32)}
        )


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


def gather_metrics(
    network: Network,
    calibration: Calibration,
    compared: Compared,
    names: Iterable[str],
    moments: LayerMoments,
    splits: Iterable[SplitName] = SELECTING,
) -> LayerMoments:
    """Return the moments with metrics of errors of these layers' outputs; gather those that the
    cache lacks. Raises `ModelError` where no gradient can be taken."""
    known = replace(moments, compared=compared)
    for split in splits:
        missing = [name for name in names if not known.has_metric(split, name)]
        if missing:
            examples = spread(getattr(calibration, split), METRIC_EXAMPLES)
            for name, metric in _metrics(network, examples, compared, missing).items():
                known.write_metric(split, name, metric)
    return known


def _metrics(
    network: Network, examples: Given, compared: Compared, names: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    from .cotangents import Cotangents  # torch's, as gradients are
    from .output_metrics import output_metrics

    outputs = network.outputs(examples)
    cotangents = Cotangents.of(compared, outputs, METRIC_COTANGENTS, seed=0)
    return output_metrics(network.differentiable(), examples, names, cotangents)


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


def with_cached_metrics(
    moments: LayerMoments, compared: Compared, names: Iterable[str]
) -> LayerMoments:
    """Return the moments with metrics of an earlier run: those of the fit split.

    Raises `CalibrationError` where they are not in the cache any more.
    """
    known = replace(moments, compared=compared)
    if any(not known.has_metric("fit", name) for name in names):
        raise _missing(moments.calibration_sha256)
    return known


def _missing(calibration_sha256: str) -> CalibrationError:
    return CalibrationError(
        f"factors were made from calibration {calibration_sha256[:12]}, whose moments are not "
        "cached here: give the same pictures again with --calibration"
    )
