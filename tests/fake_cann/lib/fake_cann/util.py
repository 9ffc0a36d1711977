"""acl.util: from Python's objects to pointers and back (H 0055). Host memory only."""

from __future__ import annotations

import ctypes
import warnings
from typing import Any

import numpy as np

from .calls import Failed, FollowedBadPointer, bare, call
from .runtime import Runtime

DTYPES = {
    **{0: "bool", 1: "int8", 2: "uint8", 3: "int16", 4: "uint16", 5: "int32", 6: "uint32"},
    **{7: "int64", 8: "uint64", 11: "float32", 12: "float64", 23: "float16"},
}
"""NumPy's type numbers."""


@call("acl.util.bytes_to_ptr", "O", bare(), "")
def bytes_to_ptr(runtime: Runtime, source: Any) -> int:
    """Good as long as the caller keeps the object: behaviour 19. Raises `ValueError`."""
    if not isinstance(source, bytes):
        raise ValueError(f"bytes_to_ptr needs bytes, not {type(source).__name__}")
    return runtime.memory.borrow(source)


@call("acl.util.ptr_to_bytes", "kk", bare(), "")
def ptr_to_bytes(runtime: Runtime, pointer: int, size: int) -> bytes:
    """A copy. Raises `FollowedBadPointer` where the real one would read what is not there."""
    _require_host(runtime, pointer, size, "ptr_to_bytes")
    try:
        return runtime.memory.read(pointer, size)
    except Failed as error:
        raise FollowedBadPointer(f"ptr_to_bytes: {error}") from error


@call("acl.util.numpy_to_ptr", "O", bare(), "")
def numpy_to_ptr(_runtime: Runtime, array: Any) -> int:
    """Deprecated. Raises `ValueError`."""
    warnings.warn("numpy_to_ptr is deprecated, use bytes_to_ptr", DeprecationWarning, stacklevel=5)
    if not isinstance(array, np.ndarray):
        raise ValueError(f"numpy_to_ptr needs an ndarray, not {type(array).__name__}")
    return int(array.ctypes.data)


@call("acl.util.ptr_to_numpy", "kOi", bare(), "")
def ptr_to_numpy(runtime: Runtime, pointer: int, shape: Any, dtype: int) -> Any:
    """Deprecated. A view of the memory; `dtype` is NumPy's type number."""
    warnings.warn("ptr_to_numpy is deprecated, use ptr_to_bytes", DeprecationWarning, stacklevel=5)
    kind = np.dtype(DTYPES[dtype])
    size = int(np.prod(shape)) * kind.itemsize
    _require_host(runtime, pointer, size, "ptr_to_numpy")
    memory = memoryview((ctypes.c_char * size).from_address(pointer))
    return np.frombuffer(memory, kind).reshape(shape)


def _require_host(runtime: Runtime, pointer: int, size: int, call_name: str) -> None:
    memory, block = runtime.memory, runtime.memory.find(pointer)
    bad = not pointer or memory.is_device(pointer) or memory.stale(pointer)
    if block is not None and pointer + size > block.base + block.size:
        bad = True
    if bad:
        text = f"{call_name}: {size} bytes at {memory.describe(pointer)}"
        runtime.violation(text)
        raise FollowedBadPointer(text)
