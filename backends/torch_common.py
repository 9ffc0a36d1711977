"""What all torch backends share. A `TorchDevice` has what one type of device has of its own."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import Any, Protocol

import torch
from numpy.typing import NDArray

from ..errors import BackendError, MeasurementError
from ..ops.chain import Chain, random_weights
from ..ops.made_up import InputSpec, all_made_up
from ..ops.torch_writer import to_torch
from ..records import DeviceFingerprint, MeasurementPolicy
from .base import Arrays, ChainWorkload, ModuleWorkload, Workload, chain_inputs
from .boards import host_board
from .clocks import Clock, Step
from .host import host_run_metadata
from .modules import compute, evaluating
from .torch_execution import (
    CHANNELS_LAST,
    Execution,
    compiled,
    laid_out,
    nothing_compiles,
    with_layout,
)
from .torch_steps import ForwardStep, TrainingStep, freeze_links, freeze_named, require_trainable
from .validation import checked_policy, one_line

COMPILE_WARM_UPS = 2
"""Executions in which `torch.compile` compiles: the forward pass, and a first backward one."""

NO_INT8 = "torch takes networks in int8 from its own tools only; onnxruntime-cpu times them"

DeviceLost = getattr(torch, "AcceleratorError", ())
"""What torch raises when a kernel has taken the device's context with it."""


class TorchDevice(Protocol):
    """One of torch's device types: data and small functions, no state of a workload. Classes that
    inherit it say only what their type has beyond eager executions in one numeric mode."""

    name: str
    """The backend's."""
    ways: tuple[str, ...] = ("eager",)
    switches: tuple[str, ...] = (CHANNELS_LAST,)
    """Of execution; see `torch_execution`."""
    numeric_modes: tuple[str, ...] = ("default",)
    """The first one is what `default` means."""
    caches: tuple[str, ...] = ("hot",)
    has_threads: bool = False
    warm_ups: int
    """Untimed executions before the first timing: kernels are chosen, loaded or compiled."""
    quantum: int

    def place(self) -> torch.device: ...

    def absent(self) -> str:
        """Why this device cannot be used here; empty if it can."""
        ...

    def hardware(self) -> dict[str, str]: ...
    def software(self) -> dict[str, str]: ...

    def board(self) -> str | None:
        """The processor's is the machine's; see `NamesBoard`."""
        return host_board()

    def run_metadata(self) -> dict[str, str]:
        return host_run_metadata()

    def dtypes(self) -> Mapping[str, str]:
        """dtype -> empty, or the reason why this device cannot compute in it."""
        return {"float32": "", "float16": "", "bfloat16": ""}

    def clock(self) -> Clock: ...

    def environment(self, policy: MeasurementPolicy) -> AbstractContextManager[object]:
        """Threads and numeric switches as the policy wants them; afterwards as they were."""
        ...

    def clear_cache(self) -> Step:
        """What empties the device's cache (only where `caches` has `cold`)."""
        raise BackendError(f"{self.name} does not clear caches")

    def captured(self, _step: Step, _between: Step | None) -> Step:
        """The step as a graph that is replayed (only where `ways` has `graph`)."""
        raise BackendError(f"{self.name} does not capture graphs")


class TorchBackend:
    """Runs chains as `nn.Sequential`, and modules of this process, on one type of device.

    `execution` and `numeric_mode` are what a policy that leaves them open (`eager`, `default`)
    is resolved to.
    """

    accepts: tuple[type, ...] = (ChainWorkload, ModuleWorkload)

    def __init__(
        self, device: TorchDevice, execution: Execution | None = None, numeric_mode: str = ""
    ) -> None:
        self.name, self.device = device.name, device
        self._execution = execution or Execution()
        self._numeric_mode = numeric_mode or device.numeric_modes[0]
        try:
            self._execution.require(self.name, device.ways, device.switches)
        except BackendError as error:
            raise ValueError(str(error)) from None

    def probe(self) -> str:
        try:
            return self.device.absent()
        except Exception as error:  # a broken driver may raise anything
            return one_line(error)

    def torch_device(self) -> str:
        """Torch's name of the device, for processes that train whole networks on it."""
        return str(self.device.place())

    def fingerprint(self) -> DeviceFingerprint:
        software = {"torch": torch.__version__, **self.device.software()}
        return DeviceFingerprint.of(self.name, self.device.hardware(), software)

    def board(self) -> str | None:
        return self.device.board()

    def run_metadata(self) -> dict[str, str]:
        return self.device.run_metadata()

    def resolve_policy(self, policy: MeasurementPolicy) -> MeasurementPolicy:
        device = self.device
        policy = replace(
            policy,
            execution=str(self._resolved_execution(policy.execution)),
            numeric_mode=self._resolved_numeric_mode(policy),
        )
        allowed = {
            "phase": ("inference", "training"),
            "context": ("isolated", "marginal", "in_network"),
            "cache": device.caches,
        }
        dtypes = {**device.dtypes(), "int8": NO_INT8}
        policy = checked_policy(self.name, policy, allowed, dtypes, device.has_threads)
        require_trainable(self.name, policy)
        return policy

    def _resolved_execution(self, text: str) -> Execution:
        asked = self._execution if text == "eager" else Execution.of(text)
        asked.require(self.name, self.device.ways, self.device.switches)
        return asked

    def _resolved_numeric_mode(self, policy: MeasurementPolicy) -> str:
        """How float32 is multiplied; halves have one way only."""
        modes = self.device.numeric_modes if policy.dtype == "float32" else ("default",)
        usual = self._numeric_mode if self._numeric_mode in modes else modes[0]
        asked = usual if policy.numeric_mode == "default" else policy.numeric_mode
        if asked not in modes:
            raise BackendError(
                f"{self.name} does not do numeric mode {asked!r} in {policy.dtype}, "
                f"only {', '.join(modes)}"
            )
        return asked

    def rank_quantum(self, _policy: MeasurementPolicy) -> int:
        return self.device.quantum

    def how_to_run(self, dtype: str) -> str:
        return f"cast the module and its inputs: .to(torch.{dtype})"

    def prepare(self, workload: Workload, policy: MeasurementPolicy) -> TorchRunner:
        if isinstance(workload, ChainWorkload):
            return self._chain(workload.chain, workload.input_gradient, policy)
        if isinstance(workload, ModuleWorkload):
            return self._module(workload, policy)
        raise BackendError(f"{self.name} runs torch modules, not a {type(workload).__name__}")

    def _chain(self, chain: Chain, input_gradient: bool, policy: MeasurementPolicy) -> TorchRunner:
        with torch.random.fork_rng(devices=[]):  # modules draw their first weights from it
            module = to_torch(chain, random_weights(chain))
        module = self._placed(module, policy)
        trained = freeze_links(module, policy.frozen) if policy.phase == "training" else []
        specs = chain_inputs(chain, policy.batch)
        return TorchRunner(self.device, policy, module, specs, trained, input_gradient, whole=True)

    def _module(self, workload: ModuleWorkload, policy: MeasurementPolicy) -> TorchRunner:
        """A user's module stays as it is: whatever has to change it works on a copy."""
        module, trained = workload.module, []
        if self._changes(policy):
            module = self._placed(_copied(module), policy)
        if policy.phase == "training":
            trained = freeze_named(module, policy.frozen)
        return TorchRunner(self.device, policy, module, workload.specs, trained, False)

    def _placed(self, module: Any, policy: MeasurementPolicy) -> Any:
        """On the device, in the policy's dtype and layout. Changes the module, which is ours."""
        if policy.phase == "training":
            module.train()
        layout = Execution.of(policy.execution).memory_format
        with _failing("prepare"):
            moved = module.to(self.device.place(), getattr(torch, policy.dtype))
            return with_layout(moved, layout)

    def _changes(self, policy: MeasurementPolicy) -> bool:
        plain = policy.dtype == "float32" and self.device.place().type == "cpu"
        contiguous = Execution.of(policy.execution).memory_format is torch.contiguous_format
        return not (plain and contiguous and policy.phase == "inference")


def _copied(module: Any) -> Any:
    try:
        return copy.deepcopy(module)
    except Exception as error:  # a user's module may hold anything
        reason = f"the module cannot be copied: {one_line(error)}"
        raise MeasurementError(reason, "prepare") from error


class TorchRunner:
    """A module that is on its device, its input and its step.

    Eager on the processor, nothing runs before the first `run`; elsewhere, and when compiled
    or captured, warm-ups belong to preparing.
    """

    def __init__(
        self,
        device: TorchDevice,
        policy: MeasurementPolicy,
        module: torch.nn.Module,
        specs: Sequence[InputSpec],
        trained: Sequence[torch.nn.Parameter],
        input_gradient: bool,
        whole: bool = False,
    ) -> None:
        self._device, self._policy = device, policy
        self._way = Execution.of(policy.execution)
        self._module: torch.nn.Module | None = module
        with _failing("prepare"), device.environment(policy):
            inputs = [self._placed(torch.from_numpy(one)) for one in all_made_up(specs)]
            self._forward: Callable[..., Any] = (
                compiled(module, whole) if self._way.way == "compiled" else module
            )
            self._make_step(inputs, trained, input_gradient)
            self._warm_up()

    def _placed(self, tensor: torch.Tensor) -> torch.Tensor:
        dtype = getattr(torch, self._policy.dtype) if tensor.is_floating_point() else tensor.dtype
        moved = tensor.to(self._device.place(), dtype)
        return laid_out(moved, self._way.memory_format)

    def _make_step(
        self,
        inputs: Sequence[torch.Tensor],
        trained: Sequence[torch.nn.Parameter],
        input_gradient: bool,
    ) -> None:
        step: ForwardStep | TrainingStep = ForwardStep(self._forward, inputs)
        if self._policy.phase == "training":
            step = TrainingStep(self._forward, inputs, trained, input_gradient)
        self._step: Step | None = step
        self._captured_from: Step | None = None
        self._between = step.between

    def _warm_up(self) -> None:
        least = COMPILE_WARM_UPS if self._way.way == "compiled" else 0
        with self._mode():
            for _ in range(max(self._device.warm_ups, least)):
                self._once()
            if self._way.way == "graph":
                # a replayed graph reads and writes the tensors of the step that it came from
                self._captured_from = self._open_step()
                self._step = self._device.captured(self._captured_from, self._between)
                self._between = None  # a replayed graph writes gradients afresh
        if self._policy.cache == "cold":
            self._between = both(self._between, self._device.clear_cache())

    def _once(self) -> None:
        if self._between is not None:
            self._between()
        self._open_step()()

    def _mode(self) -> AbstractContextManager[object]:
        """Of the module and of autograd; a module that is trained is a copy of ours."""
        stack = ExitStack()
        if self._policy.phase == "training":
            stack.enter_context(torch.enable_grad())
        else:
            stack.enter_context(evaluating(self._open()))
            stack.enter_context(torch.inference_mode())
        return stack

    def run(self, loops: int) -> Mapping[str, float]:
        step, between = self._open_step(), self._between
        with _failing("run"), self._device.environment(self._policy), self._mode():
            quiet = nothing_compiles() if self._way.way == "compiled" else nullcontext()
            with quiet:
                return self._device.clock().time(step, loops, between)

    def compute(self, inputs: Sequence[NDArray[Any]]) -> Arrays:
        with self._device.environment(self._policy):
            return compute(self._open(), inputs, self._forward, self._placed)

    def close(self) -> None:
        self._module = self._step = self._captured_from = self._between = None
        self._forward = _closed

    def _open(self) -> torch.nn.Module:
        if self._module is None:
            raise MeasurementError("the runner is closed", "run")
        return self._module

    def _open_step(self) -> Step:
        if self._step is None:
            raise MeasurementError("the runner is closed", "run")
        return self._step


def _closed(*_: Any) -> Any:
    raise MeasurementError("the runner is closed", "run")


def both(first: Step | None, second: Step) -> Step:
    """The two as one step; `second` alone where there is no first."""
    if first is None:
        return second

    def in_turn() -> None:
        first()
        second()

    return in_turn


@contextmanager
def _failing(stage: str) -> Iterator[None]:
    """Whatever torch or a user's module raises becomes a `MeasurementError` of this stage; a
    device that is lost becomes stage `crash`."""
    try:
        yield
    except MeasurementError:
        raise
    except Exception as error:
        lost = bool(DeviceLost) and isinstance(error, DeviceLost)
        reason = f"torch failed: {one_line(error)}"
        raise MeasurementError(reason, "crash" if lost else stage) from error
