"""What a backend is, in words and types.

A backend is a device family: one short class. It promises:

- it is imported only when it is chosen; `probe` says why it cannot be used here;
- `fingerprint` runs no network;
- `prepare` may be slow and may refuse (`MeasurementError`, stage `prepare` or `convert`);
- `Runner.run` times on the device's own clock, after a synchronisation;
- nothing is retried, averaged or dropped: every number asked for is a number measured;
- the process's environment (threads, affinity) is as it was once a runner is closed;
- it never hears of decompositions: a workload is a chain of plain operators, or a network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..ops.chain import Chain
from ..records import DeviceFingerprint, MeasurementPolicy

Arrays = list[NDArray[Any]]


@dataclass(frozen=True, slots=True)
class ChainWorkload:
    """A chain with random weights on random input; `key` names its samples."""

    key: str
    chain: Chain


@dataclass(frozen=True, slots=True)
class FileWorkload:
    """A network in an ONNX file; `input_shape` includes the batch."""

    key: str
    path: Path
    input_shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ModuleWorkload:
    """A network as a `torch.nn.Module` in this process; `input_shape` includes the batch."""

    key: str
    module: Any
    input_shape: tuple[int, ...]


Workload = ChainWorkload | FileWorkload | ModuleWorkload


class Runner(Protocol):
    """One prepared workload on one device."""

    def run(self, loops: int) -> Mapping[str, float]:
        """Execute `loops` times; seconds for *one* execution, by clock (`host`, `device`).

        Raises `MeasurementError` (stage `run`) when the device fails.
        """
        ...

    def compute(self, inputs: Sequence[NDArray[Any]]) -> Arrays:
        """One untimed execution on the given inputs: lets a contract check the function."""
        ...

    def close(self) -> None:
        """Release every handle. Safe to call twice."""
        ...


@runtime_checkable
class Backend(Protocol):
    """A device family. Constructed with its options as keyword strings (`fake:step=16`)."""

    name: str
    accepts: tuple[type, ...]
    """Which workload types `prepare` takes."""

    def probe(self) -> str:
        """Empty if usable here; else the reason why not, in one phrase."""
        ...

    def fingerprint(self) -> DeviceFingerprint: ...

    def circumstances(self) -> dict[str, str]:
        """Load, clocks, temperature: recorded with a session, part of no key."""
        ...

    def resolve_policy(self, policy: MeasurementPolicy) -> MeasurementPolicy:
        """The policy as this backend will carry it out (execution, numeric mode filled in).

        Raises `BackendError` for what it cannot do (a phase, a dtype, a cache mode).
        """
        ...

    def rank_quantum(self, policy: MeasurementPolicy) -> int:
        """Documented starting point for rank multiples, to be confirmed by measuring."""
        ...

    def prepare(self, workload: Workload, policy: MeasurementPolicy) -> Runner: ...


def random_input(shape: Sequence[int], dtype: str = "float32", seed: int = 0) -> NDArray[Any]:
    """Unit-variance input of the given shape, batch included."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal(tuple(shape), dtype=np.float32).astype(dtype)
