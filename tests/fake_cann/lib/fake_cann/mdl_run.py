"""acl.mdl: executing a model (G aclmdlExecute, aclmdlExecuteAsync; GS)."""

from __future__ import annotations

from collections.abc import Sequence

from .calls import RET, Failed, call
from .clock import NEVER, Stream, Task
from .handles import DataBuffer, Dataset
from .mdl_data import described
from .mdl_model import known_model
from .models import Execution, Model, Span
from .om import Tensor
from .runtime import Runtime

COMING_BACK_NS = 10_000
"""What waiting costs in each synchronous execution (invented; that it costs is documented)."""
SLACK_BYTES = 64
"""A buffer may be smaller than the tensor by so much (GS, E13025)."""


@call("acl.mdl.execute", "Ikk", RET, "device")
def execute(runtime: Runtime, model_id: int, inputs: int, outputs: int) -> None:
    """On the default stream; comes back when it is done."""
    model = known_model(runtime, model_id)
    _allocate_outputs(runtime, model, outputs)
    stream = runtime.context().default_stream
    task = _launch(runtime, model_id, inputs, outputs, stream)
    if task.is_stuck:
        runtime.break_device(507014)
        stream.abandon()
        raise Failed(507014, "the core does not come back")
    runtime.clock.wait_until(task.end_ns + COMING_BACK_NS)
    runtime.wait(task.real_end_ns)
    try:
        if task in stream.tasks:
            stream.carry_out(task)
    except Failed as error:
        runtime.break_device(error.code)
        raise


@call("acl.mdl.execute_async", "Ikkk", RET, "device")
def execute_async(
    runtime: Runtime, model_id: int, inputs: int, outputs: int, stream_handle: int
) -> None:
    """Only launches: behaviours 26 and 39."""
    known_model(runtime, model_id)
    stream = runtime.stream(stream_handle)
    for other in runtime.context().all_streams():
        if other is not stream and any(task.model_id == model_id for task in other.tasks):
            runtime.violation(f"model {model_id} runs on two streams at the same time")
    _launch(runtime, model_id, inputs, outputs, stream)


def _launch(runtime: Runtime, model_id: int, inputs: int, outputs: int, stream: Stream) -> Task:
    model = known_model(runtime, model_id)
    execution = Execution(
        model,
        _spans(runtime, inputs, model.om.inputs, "input"),
        _spans(runtime, outputs, model.om.outputs, "output"),
    )
    _tell_bad_pointers(runtime, execution)
    stuck, runtime.next_is_stuck = runtime.next_is_stuck, False

    def carry_out() -> None:
        if model_id not in runtime.models:
            raise Failed(507011, f"model {model_id} was unloaded before its work was done")
        execution.check(runtime.memory)
        model.executions += 1
        runtime.outputs.add(execution)

    duration = NEVER if stuck else _duration_ns(runtime, model)
    return stream.put(runtime.clock, duration, carry_out, "an execution", model_id)


def _duration_ns(runtime: Runtime, model: Model) -> float:
    """The first one after loading may set things up (R): it takes longer."""
    model.launched += 1
    first_s = runtime.settings.first_s if model.launched == 1 else 0.0
    return (model.om.device_s * runtime.duration_factor() + first_s) * 1e9


def _spans(runtime: Runtime, handle: int, tensors: Sequence[Tensor], side: str) -> tuple[Span, ...]:
    """Behaviours 23 and 24. A span is as long as the tensor, or 0 for a skipped input."""
    buffers = [
        described(runtime, buffer, DataBuffer)
        for buffer in described(runtime, handle, Dataset).buffers
    ]
    if len(buffers) != len(tensors):
        raise Failed(145000, f"{len(buffers)} {side} buffers for {len(tensors)} tensors")
    spans = []
    for buffer, tensor in zip(buffers, tensors, strict=True):
        skipped = side == "input" and not buffer.size
        if skipped:
            runtime.violation(f"input {tensor.name} has length 0 and is skipped")
        elif buffer.size + SLACK_BYTES < tensor.size_bytes:
            text = f"E13025: {side} {tensor.name} takes {tensor.size_bytes} bytes"
            raise Failed(145000, f"{text}, its buffer has {buffer.size}")
        elif not buffer.pointer:
            raise Failed(100000, f"the memory of {side} {tensor.name} is null")
        spans.append((buffer.pointer, 0 if skipped else tensor.size_bytes))
    return tuple(spans)


def _allocate_outputs(runtime: Runtime, model: Model, outputs: int) -> None:
    """An output made as (0, 0) is allocated; the caller frees it (G)."""
    handles = described(runtime, outputs, Dataset).buffers
    for handle, tensor in zip(handles, model.om.outputs, strict=False):
        buffer = described(runtime, handle, DataBuffer)
        if not buffer.pointer and not buffer.size:
            device = runtime.context().device.number
            if tensor.size_bytes > runtime.free_bytes(device):
                raise Failed(245000, f"{tensor.size_bytes} bytes are not free")
            buffer.pointer = runtime.memory.allocate(tensor.size_bytes, device)
            buffer.size = tensor.size_bytes


def _tell_bad_pointers(runtime: Runtime, execution: Execution) -> None:
    """The code comes when the core meets the pointer; the list knows at once."""
    try:
        execution.check(runtime.memory)
    except Failed as error:
        runtime.violation(f"execute: {error}")
