"""What a layer costs inside a network: the context `marginal`.

A layer measured alone carries the fixed costs of a run, which squeezes the ratio of original and
candidate. Where output and input have one shape, `COPIES` copies in a row are timed beside one:
(time of n copies - time of one) / (n - 1) is what one more layer costs. Where shapes differ, the
layer is timed between two fixed neighbours: their time cancels in the saving, but not in a ratio,
so the table leaves latency and ratio of such rows empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from math import ceil
from random import Random

from ..backends.base import ChainWorkload, Workload
from ..errors import BackendError, MeasurementError
from ..lowrank.shapes import pointwise_op
from ..ops.chain import Chain, Stretch
from ..records import LayerSpec
from .executor import Executor, RemoteWorkload

COPIES = 5
ATTEMPTS = 3
"""Timings before a layer fails of which n copies seem to cost no more than one; usually a
disturbance hit the one."""


def copies(chain: Chain, count: int = COPIES) -> Chain:
    """Return the chain repeated `count` times; each copy gets weights of its own."""
    return Chain(chain.links * count)


def between_neighbours(chain: Chain) -> Chain:
    """Return the chain between two pointwise layers of its input's and its output's width."""
    return Chain(
        (
            _pointwise(chain.links[0], chain.input_shape),
            *chain.links,
            _pointwise(chain.links[-1], chain.output_shape),
        )
    )


def _pointwise(like: LayerSpec, shape: tuple[int, ...]) -> LayerSpec:
    width = shape[-1] if like.op == "linear" else shape[0]
    return LayerSpec(pointwise_op(like), width, width, shape, bias=False, dtype=like.dtype)


class MarginalExecutor:
    """An `Executor` whose times are marginal. Beside each clock of the executor that it wraps
    (`host`), the raw timings come under names of their own (`host_one`, `host_all`)."""

    def __init__(self, executor: Executor, seed: int = 0) -> None:
        self.executor, self._order = executor, Random(seed)
        self._repeated: dict[str, bool] = {}

    def prepare(self, workload: Workload | RemoteWorkload) -> None:
        if not isinstance(workload, ChainWorkload):
            raise BackendError("only single layers have a marginal latency")
        key, chain = workload.key, workload.chain
        self._repeated[key] = chain.input_shape == chain.output_shape
        if self._repeated[key]:
            self.executor.prepare(ChainWorkload(_one(key), chain, floats=workload.floats))
            size = len(chain.links)
            floats = _shifted(workload.floats, range(0, size * COPIES, size))
            self.executor.prepare(ChainWorkload(_all(key), copies(chain), floats=floats))
        else:
            among = between_neighbours(chain)
            floats = _shifted(workload.floats, [1])
            self.executor.prepare(ChainWorkload(key, among, floats=floats))

    def run(self, key: str, loops: int) -> Mapping[str, float]:
        if not self._repeated[key]:
            return self.executor.run(key, loops)
        fewer = ceil(loops / (COPIES + 1))  # so that a round lasts as long as it should
        for _ in range(ATTEMPTS):
            times = self._both(key, fewer)
            if all(seconds > 0 for seconds in times.values()):
                return times
        raise MeasurementError(f"{COPIES} copies take no longer than one", "run")

    def _both(self, key: str, loops: int) -> Mapping[str, float]:
        times: dict[str, Mapping[str, float]] = {}
        names = [_one(key), _all(key)]
        self._order.shuffle(names)
        for name in names:
            times[name] = self.executor.run(name, loops)
        one, several = times[_one(key)], times[_all(key)]
        marginal = {clock: (several[clock] - one[clock]) / (COPIES - 1) for clock in one}
        raw = {f"{clock}_one": seconds for clock, seconds in one.items()}
        return {**marginal, **raw, **{f"{clock}_all": s for clock, s in several.items()}}

    def release(self, key: str) -> None:
        self._repeated.pop(key, None)
        for name in (key, _one(key), _all(key)):
            self.executor.release(name)

    def renew(self) -> None:
        self._repeated.clear()
        self.executor.renew()

    def close(self) -> None:
        self._repeated.clear()
        self.executor.close()


def _shifted(stretches: Iterable[Stretch], steps: Sequence[int]) -> tuple[Stretch, ...]:
    """Return the stretches of links again and again, that many links further on."""
    each = product(steps, stretches)
    return tuple((first + step, end + step) for step, (first, end) in each)


def _one(key: str) -> str:
    return f"{key}#1"


def _all(key: str) -> str:
    return f"{key}#{COPIES}"
