"""The `.om` file of the fake: a magic, a header in JSON, the ONNX with its shapes fixed, a hash.

The header says what a loader needs; the ONNX is there so that outputs are real.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .codes import DATA_TYPES, SIZES

MAGIC = b"IMOD-fake"
_LENGTH = struct.Struct("<Q")
Array = NDArray[Any]


class BadOm(ValueError):
    """Not an `.om`, or not all of one."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """`dtype` is NumPy's name; `format` 0 is NCHW, 2 is ND (R 25-02)."""

    name: str
    dims: tuple[int, ...]
    dtype: str
    format: int

    @property
    def data_type(self) -> int:
        return DATA_TYPES[self.dtype]

    @property
    def size_bytes(self) -> int:
        return int(np.prod(self.dims, dtype=np.int64)) * SIZES[self.data_type]


@dataclass(frozen=True, slots=True)
class Om:
    """`device_s` is the virtual time of one execution; `precision` is float16, bfloat16 or
    float32: what float32 tensors are computed in."""

    soc: str
    version: str
    precision: str
    device_s: float
    macs: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    flags: dict[str, str]
    onnx: bytes = field(repr=False)

    @property
    def work_bytes(self) -> int:
        return sum(tensor.size_bytes for tensor in (*self.inputs, *self.outputs))

    @property
    def memory_bytes(self) -> int:
        """Taken on the device while it is loaded: weights and workspace."""
        return len(self.onnx) + self.work_bytes

    def to_bytes(self) -> bytes:
        fields = asdict(self)
        onnx: bytes = fields.pop("onnx")
        header = json.dumps(fields).encode()
        body = MAGIC + _LENGTH.pack(len(header)) + header + onnx
        return body + hashlib.sha256(body).digest()

    @classmethod
    def from_bytes(cls, data: bytes) -> Om:
        """Raises `BadOm`."""
        body, digest = data[:-32], data[-32:]
        if not body.startswith(MAGIC) or hashlib.sha256(body).digest() != digest:
            raise BadOm("no .om file, or cut short")
        start = len(MAGIC) + _LENGTH.size
        (length,) = _LENGTH.unpack(body[len(MAGIC) : start])
        fields = json.loads(body[start : start + length])
        for side in ("inputs", "outputs"):
            fields[side] = tuple(
                Tensor(one["name"], tuple(one["dims"]), one["dtype"], one["format"])
                for one in fields[side]
            )
        return cls(**fields, onnx=body[start + length :])


class Program:
    """An `Om` that can be computed. Slow to make: done when outputs are wanted first."""

    def __init__(self, om: Om) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._om = om
        self._session = onnxruntime.InferenceSession(
            om.onnx, options, providers=["CPUExecutionProvider"]
        )
        self._wanted = {one.name: one.type for one in self._session.get_inputs()}

    def run(self, inputs: Sequence[bytes]) -> list[bytes]:
        """Raw bytes of each input and output, in the dtypes that the `.om` declares."""
        feeds = {
            tensor.name: self._input(tensor, data)
            for tensor, data in zip(self._om.inputs, inputs, strict=True)
        }
        results = self._session.run([one.name for one in self._om.outputs], feeds)
        pairs = zip(self._om.outputs, results, strict=True)
        return [self._output(tensor, result) for tensor, result in pairs]

    def _input(self, tensor: Tensor, data: bytes) -> Array:
        array = np.frombuffer(data, tensor.dtype).reshape(tensor.dims)
        if array.dtype.kind == "f":
            array = rounded(array, self._om.precision)
        return array.astype(_numpy(self._wanted[tensor.name]))

    def _output(self, tensor: Tensor, result: Array) -> bytes:
        if result.dtype.kind == "f":
            result = rounded(result, self._om.precision)
        return np.ascontiguousarray(result.astype(tensor.dtype)).tobytes()


def _numpy(onnx_type: str) -> str:
    """`tensor(float)` -> float32"""
    name = onnx_type.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(name, name)


def rounded(array: Array, precision: str) -> Array:
    """The same dtype, with no more digits than `precision` has."""
    if precision == "float16":
        with np.errstate(over="ignore"):
            return array.astype(np.float16).astype(array.dtype)
    if precision == "bfloat16" and array.dtype == np.float32:
        bits = np.ascontiguousarray(array).view(np.uint32)
        odd = (bits >> np.uint32(16)) & np.uint32(1)
        return ((bits + np.uint32(0x7FFF) + odd) & np.uint32(0xFFFF0000)).view(np.float32)
    return array
