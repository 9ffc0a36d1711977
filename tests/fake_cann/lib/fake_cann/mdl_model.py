"""acl.mdl: loading models and describing them (G aclmdl*; GS ge_executor.cc)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .calls import RET, Failed, bare, call, pair, several
from .handles import Description
from .models import Model
from .om import BadOm, Om, Tensor
from .runtime import Runtime
from .settings import version_tuple


@call("acl.mdl.load_from_file", "s", pair(), "device")
def load_from_file(runtime: Runtime, path: str) -> int:
    """Behaviour 20. The model belongs to the context that is current."""
    return _load(runtime, path, _read_file(path))


@call("acl.mdl.load_from_mem", "kk", pair(), "device")
def load_from_mem(runtime: Runtime, pointer: int, size: int) -> int:
    if not pointer or not size:
        raise Failed(100000, "the model is null")
    if runtime.memory.is_device(pointer):
        raise Failed(145006, "the model has to be in host memory")
    runtime.memory.require(pointer, size)
    return _load(runtime, f"memory at 0x{pointer:x}", runtime.memory.read(pointer, size))


@call("acl.mdl.unload", "I", RET, "context")
def unload(runtime: Runtime, model_id: int) -> None:
    """Behaviours 21 and 22; no work of it may be left."""
    model = known_model(runtime, model_id)
    context = runtime.context()
    tasks = [task for stream in context.all_streams() for task in stream.tasks]
    if not context.device.broken and any(task.model_id == model_id for task in tasks):
        runtime.violation(f"model {model_id} was unloaded with work of it on a stream")
    runtime.outputs.settle()
    del runtime.models[model_id]
    runtime.unloaded.append(model)


@call("acl.mdl.query_size", "s", several(2))
def query_size(_runtime: Runtime, path: str) -> tuple[int, int]:
    """(workspace, weights) in bytes."""
    om = _parse(_read_file(path))
    return om.work_bytes, len(om.onnx)


@call("acl.mdl.create_desc", "", bare())
def create_desc(runtime: Runtime) -> int:
    return runtime.handles.add(Description())


@call("acl.mdl.get_desc", "kI", RET)
def get_desc(runtime: Runtime, desc: int, model_id: int) -> None:
    description = _description(runtime, desc)
    if model_id not in runtime.models:
        raise Failed(145003, f"no model {model_id}")
    description.model = runtime.models[model_id]


@call("acl.mdl.destroy_desc", "k", RET)
def destroy_desc(runtime: Runtime, desc: int) -> None:
    _description(runtime, desc)
    runtime.handles.drop(desc)


@call("acl.mdl.get_num_inputs", "k", bare())
def get_num_inputs(runtime: Runtime, desc: int) -> int:
    return len(_om(runtime, desc).inputs)


@call("acl.mdl.get_num_outputs", "k", bare())
def get_num_outputs(runtime: Runtime, desc: int) -> int:
    return len(_om(runtime, desc).outputs)


def _add_getters(side: str) -> None:
    """The same calls for inputs and outputs. Behaviours 27 and 28: a bad index gives ({}, 100000)
    from those with a code, and the empty value from those without."""

    def of_tensor(runtime: Runtime, desc: int, index: int) -> Tensor:
        tensors = getattr(_om(runtime, desc), f"{side}s")
        if not 0 <= index < len(tensors):
            raise Failed(100000, f"no {side} {index}")
        tensor: Tensor = tensors[index]
        return tensor

    def add(name: str, shape: Any, value: Any) -> None:
        call(f"acl.mdl.{name}", "kk", shape)(
            lambda runtime, desc, index: value(of_tensor(runtime, desc, index))
        )

    names = [f"get_{side}_dims", f"get_{side}_dims_v2"]
    for name in names if side == "input" else [names[0], "get_cur_output_dims"]:
        add(name, pair(dict), _dims)
    add(f"get_{side}_size_by_index", bare(), lambda tensor: tensor.size_bytes)
    add(f"get_{side}_name_by_index", bare(str), lambda tensor: tensor.name)
    add(f"get_{side}_format", bare(lambda: -1), lambda tensor: tensor.format)
    add(f"get_{side}_data_type", bare(lambda: -1), lambda tensor: tensor.data_type)


def _dims(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "dimCount": len(tensor.dims), "dims": list(tensor.dims)}


_add_getters("input")
_add_getters("output")


def known_model(runtime: Runtime, model_id: int) -> Model:
    """Behaviours 21 (145003) and 22 (107004): loaded, and in the current context."""
    model = runtime.models.get(model_id)
    if model is None:
        raise Failed(145003, f"no model {model_id}")
    if model.context is not runtime.context():
        raise Failed(107004, f"model {model_id} was loaded in another context")
    return model


def _read_file(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise Failed(145002, f"E13026: {path}: {error.strerror}") from error


def _parse(data: bytes) -> Om:
    try:
        return Om.from_bytes(data)
    except BadOm as error:
        raise Failed(145006, str(error)) from error


def _load(runtime: Runtime, path: str, data: bytes) -> int:
    om = _parse(data)
    if om.soc != runtime.settings.soc:
        raise Failed(545001, f"the model is for {om.soc}, this is {runtime.settings.soc}")
    if version_tuple(om.version) > version_tuple(runtime.settings.version):
        raise Failed(545001, f"the model is of CANN {om.version}, which is newer than this")
    context = runtime.context()
    if om.memory_bytes > runtime.free_bytes(context.device.number):
        raise Failed(245000, f"{om.memory_bytes} bytes are not free")
    model_id = len(runtime.models) + len(runtime.unloaded) + 1
    runtime.models[model_id] = Model(path, om, context, context.device.number)
    return model_id


def _description(runtime: Runtime, desc: int) -> Description:
    if not desc:
        raise Failed(100000, "the description is null")
    if desc in runtime.handles.destroyed:
        runtime.violation(f"a {runtime.handles.destroyed[desc]} was used after it was destroyed")
    return runtime.handles.get(desc, Description, 100000)


def _om(runtime: Runtime, desc: int) -> Om:
    model = _description(runtime, desc).model
    if model is None:
        raise Failed(100000, "the description is empty; call get_desc first")
    om: Om = model.om
    return om
