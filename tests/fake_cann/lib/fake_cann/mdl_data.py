"""Data buffers (acl) and datasets (acl.mdl): descriptions of memory that own none of it."""

from __future__ import annotations

from typing import TypeVar

from .calls import RET, Failed, bare, call, pair
from .handles import DataBuffer, Dataset, name_of
from .runtime import Runtime

T = TypeVar("T", DataBuffer, Dataset)


@call("acl.create_data_buffer", "kk", bare())
def create_data_buffer(runtime: Runtime, pointer: int, size: int) -> int:
    """(0, 0) is an output that the synchronous execute allocates (G)."""
    return runtime.handles.add(DataBuffer(pointer, size))


@call("acl.destroy_data_buffer", "k", RET)
def destroy_data_buffer(runtime: Runtime, handle: int) -> None:
    """The memory lives on."""
    described(runtime, handle, DataBuffer)
    runtime.handles.drop(handle)


@call("acl.get_data_buffer_addr", "k", bare())
def get_data_buffer_addr(runtime: Runtime, handle: int) -> int:
    return described(runtime, handle, DataBuffer).pointer


@call("acl.get_data_buffer_size", "k", bare())
def get_data_buffer_size(runtime: Runtime, handle: int) -> int:
    return described(runtime, handle, DataBuffer).size


@call("acl.get_data_buffer_size_v2", "k", bare())
def get_data_buffer_size_v2(runtime: Runtime, handle: int) -> int:
    return described(runtime, handle, DataBuffer).size


@call("acl.update_data_buffer", "kkk", RET)
def update_data_buffer(runtime: Runtime, handle: int, pointer: int, size: int) -> None:
    buffer = described(runtime, handle, DataBuffer)
    buffer.pointer, buffer.size = pointer, size


@call("acl.mdl.create_dataset", "", bare())
def create_dataset(runtime: Runtime) -> int:
    return runtime.handles.add(Dataset())


@call("acl.mdl.add_dataset_buffer", "kk", pair())
def add_dataset_buffer(runtime: Runtime, dataset: int, buffer: int) -> int:
    """(dataset, ret), although C returns a code only (B). Behaviour 29."""
    described(runtime, buffer, DataBuffer)
    described(runtime, dataset, Dataset).buffers.append(buffer)
    return dataset


@call("acl.mdl.get_dataset_buffer", "kk", bare())
def get_dataset_buffer(runtime: Runtime, dataset: int, index: int) -> int:
    buffers = described(runtime, dataset, Dataset).buffers
    if index >= len(buffers):
        raise Failed(100000, f"the dataset has {len(buffers)} buffers, no {index}")
    return buffers[index]


@call("acl.mdl.get_dataset_num_buffers", "k", bare())
def get_dataset_num_buffers(runtime: Runtime, dataset: int) -> int:
    return len(described(runtime, dataset, Dataset).buffers)


@call("acl.mdl.destroy_dataset", "k", RET)
def destroy_dataset(runtime: Runtime, dataset: int) -> None:
    """Frees neither buffers nor memory: behaviour 30."""
    described(runtime, dataset, Dataset)
    runtime.handles.drop(dataset)


def described(runtime: Runtime, handle: int, kind: type[T]) -> T:
    """Raises `Failed` (100000) for null, and for what is destroyed (real: undefined; policy)."""
    if not handle:
        raise Failed(100000, f"the {name_of(kind)} is null")
    if handle in runtime.handles.destroyed:
        runtime.violation(f"a {runtime.handles.destroyed[handle]} was used after its destruction")
    return runtime.handles.get(handle, kind, 100000)
