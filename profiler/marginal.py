"""What a layer costs among others: the context `marginal`.

A layer measured alone carries the fixed costs of a run and the reordering of its input and
output, the original as well as the candidate, which squeezes the ratio between them. Where
output and input have one shape, `COPIES` copies in a row, each with weights of its own, are
timed beside one: (time of n copies - time of one) / (n - 1) is what a further layer costs.
Where shapes differ, the layer stands between two fixed neighbours, which are in both sides of
a comparison: their time drops out of the saving, but not out of a ratio, so the table leaves
latency and ratio of such rows empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from random import Random

from ..backends.base import ChainWorkload, Workload
from ..errors import BackendError, MeasurementError
from ..ops.chain import Chain
from ..records import LayerSpec
from .executor import Executor, RemoteWorkload

COPIES = 5
ATTEMPTS = 3
"""Timings of n copies and one are taken again, both, when n copies seem to cost no more than
one: a disturbance hit the one. A layer of which that is true is a failure in the end."""


def repeatable(spec: LayerSpec) -> bool:
    """Can the layer follow itself? Only then does it have a marginal latency of its own."""
    return spec.input_shape == spec.output_shape


def copies(chain: Chain, count: int = COPIES) -> Chain:
    return Chain(chain.links * count)


def between_neighbours(chain: Chain) -> Chain:
    """The chain after and before a pointwise layer of its own width."""
    return Chain(
        (
            _pointwise(chain.links[0], chain.input_shape),
            *chain.links,
            _pointwise(chain.links[-1], chain.output_shape),
        )
    )


def _pointwise(like: LayerSpec, shape: tuple[int, ...]) -> LayerSpec:
    width = shape[-1] if like.op == "linear" else shape[0]
    return LayerSpec(like.op, width, width, shape, bias=False, dtype=like.dtype)


class MarginalExecutor:
    """A `Executor` whose times are marginal ones. Beside each clock of the executor it stands on
    (`host`), the raw timings are given under names of their own (`host_one`, `host_all`)."""

    def __init__(self, executor: Executor, seed: int = 0) -> None:
        self._bench, self._order = executor, Random(seed)
        self._repeated: dict[str, bool] = {}

    def prepare(self, workload: Workload | RemoteWorkload) -> None:
        if not isinstance(workload, ChainWorkload):
            raise BackendError("only single layers have a marginal latency")
        key, chain = workload.key, workload.chain
        self._repeated[key] = chain.input_shape == chain.output_shape
        if self._repeated[key]:
            self._bench.prepare(ChainWorkload(_one(key), chain))
            self._bench.prepare(ChainWorkload(_all(key), copies(chain)))
        else:
            self._bench.prepare(ChainWorkload(key, between_neighbours(chain)))

    def run(self, key: str, loops: int) -> Mapping[str, float]:
        if not self._repeated[key]:
            return self._bench.run(key, loops)
        fewer = ceil(loops / (COPIES + 1))  # so that a round lasts as long as it should
        for _ in range(ATTEMPTS):
            times = self._both(key, fewer)
            if all(seconds > 0 for seconds in times.values()):
                return times
        raise MeasurementError(f"{COPIES} copies take no longer than one", "run")

    def _both(self, key: str, loops: int) -> Mapping[str, float]:
        found: dict[str, Mapping[str, float]] = {}
        names = [_one(key), _all(key)]
        self._order.shuffle(names)
        for name in names:
            found[name] = self._bench.run(name, loops)
        one, several = found[_one(key)], found[_all(key)]
        marginal = {clock: (several[clock] - one[clock]) / (COPIES - 1) for clock in one}
        raw = {f"{clock}_one": seconds for clock, seconds in one.items()}
        return {**marginal, **raw, **{f"{clock}_all": s for clock, s in several.items()}}

    def release(self, key: str) -> None:
        self._repeated.pop(key, None)
        for name in (key, _one(key), _all(key)):
            self._bench.release(name)

    def renew(self) -> None:
        self._repeated.clear()
        self._bench.renew()

    def close(self) -> None:
        self._repeated.clear()
        self._bench.close()


def _one(key: str) -> str:
    return f"{key}#1"


def _all(key: str) -> str:
    return f"{key}#{COPIES}"
