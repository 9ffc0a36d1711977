"""A compiled model on an Ascend device: loaded, fed once, timed by events and by the host."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MeasurementError
from .acl_calls import BF16, DEVICE_TO_HOST, HOST_TO_DEVICE, MALLOC_HUGE_FIRST, NUMPY_TYPES
from .acl_device import AclDevice, Handles
from .base import Arrays, random_input

WARM_UPS = 5
"""Synchronised before the first timing: the first execution after loading may set things up.
So a timing of a single execution is never the first synchronised one."""


class Tensor:
    """One input or output: device memory of the size that the model's description says."""

    def __init__(self, pointer: int, size: int, dims: tuple[int, ...], dtype: int) -> None:
        self.pointer, self.size, self.dims, self.dtype = pointer, size, dims, dtype

    def encoded(self, array: NDArray[Any]) -> bytes:
        """The array in the model's type. `MeasurementError` (`run`) if it does not fit."""
        numpy_type = NUMPY_TYPES.get(self.dtype)
        if numpy_type is None:
            raise MeasurementError(f"the model's input has ACL data type {self.dtype}", "run")
        data = np.ascontiguousarray(array, dtype=numpy_type).tobytes()
        if len(data) != self.size:
            wanted = f"{list(self.dims)} of {numpy_type}"
            raise MeasurementError(f"{list(array.shape)} does not fit the input {wanted}", "run")
        return data

    def decoded(self, data: bytes) -> NDArray[Any]:
        """The bytes as an array, halves as float32."""
        if self.dtype == BF16:  # the upper half of a float32
            halves = np.frombuffer(data, "uint16", math.prod(self.dims))
            return (halves.astype("uint32") << 16).view("float32").reshape(self.dims)
        numpy_type = NUMPY_TYPES[self.dtype]
        found = np.frombuffer(data, numpy_type, math.prod(self.dims)).reshape(self.dims)
        return found.astype("float32") if numpy_type == "float16" else found


class AclRunner:
    """One model, one stream, one pair of events. Raises `MeasurementError` as `Runner` does.

    `input_shape` is what the model was compiled for, batch included.
    """

    def __init__(self, device: AclDevice, path: Path, input_shape: Sequence[int]) -> None:
        self._device, self._acl = device, device.acl
        self._acl.stage = "prepare"
        self._handles: Handles | None = None
        handles = Handles(device)
        try:
            device.hold(handles)
            self._load(handles, path)
            self._handles = handles
            image = random_input(input_shape)
            self._image = self._inputs[0].encoded(image)
            self._copy_in(self._image)
            self._executed(WARM_UPS)
        except BaseException:
            self._handles = None
            handles.release()
            raise

    def _load(self, handles: Handles, path: Path) -> None:
        acl = self._acl
        self._stream = handles.keep("rt.destroy_stream", acl.value("rt.create_stream"))
        self._first = handles.keep("rt.destroy_event", acl.value("rt.create_event"))
        self._last = handles.keep("rt.destroy_event", acl.value("rt.create_event"))
        self._model = handles.keep("mdl.unload", acl.value("mdl.load_from_file", str(path)))
        description = handles.keep("mdl.destroy_desc", acl.handle("mdl.create_desc"))
        acl.done("mdl.get_desc", description, self._model)
        self._inputs, self._in = self._dataset(handles, description, "input")
        self._outputs, self._out = self._dataset(handles, description, "output")
        if len(self._inputs) != 1:
            count = len(self._inputs)
            raise MeasurementError(f"the model has {count} inputs, not exactly one", "prepare")

    def _dataset(self, handles: Handles, description: int, side: str) -> tuple[list[Tensor], int]:
        """Tensors of one side in the model's order, and the dataset that holds them."""
        acl = self._acl
        dataset = handles.keep("mdl.destroy_dataset", acl.handle("mdl.create_dataset"))
        tensors = []
        for index in range(acl.call(f"mdl.get_num_{side}s", description)):
            tensor = self._tensor(handles, description, side, index)
            buffer = acl.handle("create_data_buffer", tensor.pointer, tensor.size)
            handles.keep("destroy_data_buffer", buffer)
            acl.value("mdl.add_dataset_buffer", dataset, buffer)
            tensors.append(tensor)
        return tensors, dataset

    def _tensor(self, handles: Handles, description: int, side: str, index: int) -> Tensor:
        acl = self._acl
        size = acl.call(f"mdl.get_{side}_size_by_index", description, index)
        if not size:
            reason = f"{side} {index} has no fixed size: its shape is dynamic"
            raise MeasurementError(reason, "prepare")
        dims = acl.value(f"mdl.get_{side}_dims", description, index)["dims"]
        dtype = acl.call(f"mdl.get_{side}_data_type", description, index)
        pointer = acl.value("rt.malloc", size, MALLOC_HUGE_FIRST)
        return Tensor(handles.keep("rt.free", pointer), size, tuple(dims), dtype)

    def run(self, loops: int) -> Mapping[str, float]:
        self._open()
        milliseconds, nanoseconds = self._executed(loops)
        if not (math.isfinite(milliseconds) and milliseconds > 0):
            raise MeasurementError(f"the device's events gave {milliseconds} ms", "run")
        return {
            "device": milliseconds * 1e-3 / loops,
            "host": nanoseconds * 1e-9 / loops,
        }

    def _executed(self, loops: int) -> tuple[float, int]:
        """(milliseconds between the events, nanoseconds on the host) of `loops` executions.

        Both stand around all of them: launches only enqueue, and the events themselves cost
        microseconds. Nothing is read before the stream has been waited for.
        """
        acl, stream = self._acl, self._stream
        execute = acl.module.mdl.execute_async
        model, inputs, outputs = self._model, self._in, self._out
        acl.done("rt.record_event", self._first, stream)
        start = time.perf_counter_ns()
        for _ in range(loops):
            code = execute(model, inputs, outputs, stream)
            if code:
                break
        acl.check("mdl.execute_async", code)
        acl.done("rt.record_event", self._last, stream)
        acl.done("rt.synchronize_stream", stream)
        elapsed = time.perf_counter_ns() - start
        return acl.value("rt.event_elapsed_time", self._first, self._last), elapsed

    def compute(self, inputs: Sequence[NDArray[Any]]) -> Arrays:
        self._open()
        self._copy_in(self._inputs[0].encoded(inputs[0]))
        try:
            self._acl.done("mdl.execute_async", self._model, self._in, self._out, self._stream)
            self._acl.done("rt.synchronize_stream", self._stream)
            return [tensor.decoded(self._copied_out(tensor)) for tensor in self._outputs]
        finally:
            self._copy_in(self._image)  # what is timed does not depend on what was asked

    def _copy_in(self, data: bytes) -> None:
        """`data` stays referenced until the copy, which is synchronous, is done."""
        pointer = self._acl.handle("util.bytes_to_ptr", data)
        target = self._inputs[0]
        self._acl.done("rt.memcpy", target.pointer, target.size, pointer, len(data), HOST_TO_DEVICE)

    def _copied_out(self, tensor: Tensor) -> bytes:
        acl, size = self._acl, tensor.size
        host = acl.value("rt.malloc_host", size)
        try:
            acl.done("rt.memcpy", host, size, tensor.pointer, size, DEVICE_TO_HOST)
            return acl.found("util.ptr_to_bytes", host, size)  # type: ignore[no-any-return]
        finally:
            acl.done("rt.free_host", host)

    def close(self) -> None:
        handles, self._handles = self._handles, None
        if handles is not None:
            handles.release()

    def _open(self) -> None:
        """Bind this thread to the runner's context."""
        if self._handles is None:
            raise MeasurementError("the runner is closed", "run")
        self._acl.stage = "run"
        self._device.use()
