"""What a backend is, in words and types.

A backend is a device family: one short class. It promises:

- **Imported only when chosen.** Naming a backend loads no other. A backend can be constructed
  without its device and, but for the libraries that every rankwise has, without its library:
  `probe` says in one phrase why it cannot be used here, and what to do. `probe` raises nothing.
- **A device says what it is.** `fingerprint` runs no network, and is the same each time and in
  every process: `hardware` names the chip, its cores or SMs, memory, instruction set;
  `software` the driver, the runtime and its version. What varies (load, clocks, temperature)
  is in `run_metadata` and in neither.
- **Policies are resolved, not bent.** `resolve_policy` fills in what was left open (execution,
  numeric mode) and refuses, in one sentence, what the backend cannot do. It does not change
  what was asked: never another dtype, phase or batch. A resolved policy resolves to itself.
- **`prepare` may be slow and may refuse** (`MeasurementError`, stage `prepare` or `convert`).
  Compiling, loading, warming up belong there, never into a timing. A refusal leaves nothing
  behind, and other runners as they were.
- **`Runner.run` executes exactly as often as asked** and times on the device's own clock, after
  a synchronisation: a launch is not an execution. With several clocks each has its own number
  (`device` for the device's events, `host` for the processor's), always the same ones.
- **Nothing is retried, averaged or dropped**: every number asked for is a number measured.
- **Nothing runs elsewhere.** Where a runtime would quietly hand work to another device or
  compute in another dtype, the backend finds out and refuses.
- **Everything is released.** `close` gives back every handle, on every path, also after an
  error, and may be called twice. A closed runner refuses to run.
- **The process is as it was**: threads, affinity, random state, modes of a user's module and
  switches of a library are restored after each call. Idle runners use no processor (their
  threads do not spin), because another one is being timed.
- **It never hears of decompositions**: a workload is a chain of plain operators, or a network.

Optional: a backend whose `prepare` compiles for seconds or minutes has `compile_ahead`
(`CompilesAhead`), which callers use before anything is timed; one on whose device torch can train
whole networks has `torch_device` (`TrainsNetworks`); one that can tell boards of one kind apart has
`board` (`NamesBoard`); one that runs networks in half precision may have `how_to_run` (`SaysHow`).

`rankwise.testing.BackendContract` holds the same as tests that a backend's own tests inherit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..ops.chain import Chain, Stretch
from ..ops.made_up import InputSpec
from ..records import DeviceFingerprint, MeasurementPolicy

Arrays = list[NDArray[Any]]


@dataclass(frozen=True, slots=True)
class ChainWorkload:
    """A chain with random weights on random input; `key` names its samples.

    `input_gradient`: in the training phase, is the gradient of the input wanted? A network's
    first layer needs none. `floats`: stretches of links, from the first one to behind the last,
    that stay in float32 where the policy's dtype is int8, between conversions that are timed.
    """

    key: str
    chain: Chain
    input_gradient: bool = True
    floats: tuple[Stretch, ...] = ()


@dataclass(frozen=True, slots=True)
class FileWorkload:
    """A network in an ONNX file; `input_shape` includes the batch.

    `inputs`, by the names that they have in the file, where it takes anything else than one
    float32 input of that shape. `dtype`: see `own_policy`.
    """

    key: str
    path: Path
    input_shape: tuple[int, ...]
    inputs: tuple[InputSpec, ...] = ()
    dtype: str = ""

    @property
    def specs(self) -> tuple[InputSpec, ...]:
        """What the network takes, whatever that is."""
        return self.inputs or (InputSpec("input", tuple(self.input_shape)),)


@dataclass(frozen=True, slots=True, eq=False)
class ModuleWorkload:
    """A network as a `torch.nn.Module` in this process; `input_shape` includes the batch.

    `inputs`, in the order in which they are given, where it takes anything else than one float32
    input of that shape. `dtype`: see `own_policy`.
    """

    key: str
    module: Any
    input_shape: tuple[int, ...]
    inputs: tuple[InputSpec, ...] = ()
    dtype: str = ""

    @property
    def specs(self) -> tuple[InputSpec, ...]:
        """What the network takes, whatever that is."""
        return self.inputs or (InputSpec("input", tuple(self.input_shape)),)


Workload = ChainWorkload | FileWorkload | ModuleWorkload


class Runner(Protocol):
    """One prepared workload on one device."""

    def run(self, loops: int) -> Mapping[str, float]:
        """Execute `loops` times; seconds for *one* execution, by clock (`host`, `device`).

        Raises `MeasurementError`: stage `run` when this workload failed, stage `crash` when
        the device is lost to this process, so that everything has to be prepared anew.
        """
        ...

    def compute(self, inputs: Sequence[NDArray[Any]]) -> Arrays:
        """One untimed execution on the given float32 inputs, in the policy's dtype: lets a
        contract check the function. In the training phase, too, it is the forward pass. A chain
        in int8 gives float32, too: what its integers stand for."""
        ...

    def close(self) -> None:
        """Release every handle. Safe to call twice; raises nothing."""
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

    def run_metadata(self) -> dict[str, str]:
        """Load, clocks, temperature: recorded with a session, part of no key."""
        ...

    def resolve_policy(self, policy: MeasurementPolicy) -> MeasurementPolicy:
        """The policy as this backend will carry it out; works without the device. Raises
        `BackendError` for what it cannot do (a phase, a dtype, a cache mode)."""
        ...

    def rank_quantum(self, policy: MeasurementPolicy) -> int:
        """Documented starting point for rank multiples, to be confirmed by measuring."""
        ...

    def prepare(self, workload: Workload, policy: MeasurementPolicy) -> Runner: ...


@runtime_checkable
class CompilesAhead(Protocol):
    """A backend that can compile before the measuring begins, several workloads at once."""

    def compile_ahead(
        self, workloads: Sequence[Workload], policy: MeasurementPolicy, budget_s: float | None
    ) -> Mapping[str, str]:
        """Workload key -> empty if it is compiled now (also if it was before), else the reason
        why it cannot be. A key that is missing was not reached within `budget_s`.

        Workloads are taken in the order given, so the most wanted ones stand first. Nothing
        is timed, and no device is needed. None as a budget means until all are done.
        """
        ...


@runtime_checkable
class TrainsNetworks(Protocol):
    """A backend on whose device torch trains whole networks, in processes of their own."""

    def torch_device(self) -> str:
        """Torch's name of the device, such as `cuda:1`."""
        ...


@runtime_checkable
class SaysHow(Protocol):
    """A backend that says how networks in float32 are run in half precision as it runs them."""

    def how_to_run(self, dtype: str) -> str:
        """What to do with the file or the module, as the end of a sentence."""
        ...


@runtime_checkable
class NamesBoard(Protocol):
    """A backend that knows which physical board it measures on."""

    def board(self) -> str | None:
        """An id of the board, the same in every process and for every user, and nothing that is
        private (`boards.board_id` hashes a serial number); None where it cannot be read. It is
        no part of the fingerprint: boards of one kind share a table."""
        ...


def in_dtype(backend: Backend, policy: MeasurementPolicy, dtype: str) -> MeasurementPolicy:
    """The policy in another type, multiplied as the backend usually does in it. Raises
    `BackendError` where it cannot compute in that type."""
    return backend.resolve_policy(replace(policy, dtype=dtype, numeric_mode="default"))


def own_policy(
    backend: Backend, workload: Workload, policy: MeasurementPolicy
) -> MeasurementPolicy:
    """The policy under which the workload is prepared: in a type of its own, where it has one, so
    that one session can time a network in two types side by side."""
    own = "" if isinstance(workload, ChainWorkload) else workload.dtype
    return in_dtype(backend, policy, own) if own else policy


def chain_inputs(chain: Chain, batch: int) -> tuple[InputSpec, ...]:
    """What a chain takes."""
    return (InputSpec("input", (batch, *chain.input_shape)),)


def random_input(shape: Sequence[int], dtype: str = "float32", seed: int = 0) -> NDArray[Any]:
    """Unit-variance input of the given shape, batch included."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal(tuple(shape), dtype=np.float32).astype(dtype)
