"""What the fake's own tests share: a network, its `.om`, and a caller that does it right."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

# Put the package where `from fake_cann... import` finds it, without leaving `acl` importable.
LIB = str(Path(__file__).parent / "lib")
sys.path.insert(0, LIB)
importlib.import_module("fake_cann.switch")
sys.path.remove(LIB)

IMAGE, FILTERS = (1, 3, 12, 12), (8, 3, 3, 3)


def save_network(path: Path, opset: int = 17, batch: int | str = 1, filters: int = 8) -> Path:
    """input `x` -> 3x3 convolution with `filters` filters -> output `y`."""
    rng = np.random.default_rng(7)
    weight = rng.normal(size=(filters, 3, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], "conv")],
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, *IMAGE[1:]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, filters, 10, 10])],
        [numpy_helper.from_array(weight, "w")],
    )
    opsets = [helper.make_opsetid("", opset)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


@pytest.fixture(scope="session")
def onnx_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_network(tmp_path_factory.mktemp("network") / "network.onnx")


@pytest.fixture(scope="session")
def compile_om(onnx_file: Path) -> Callable[..., Path]:
    """As `atc` does it, without the process: (name, **flags) -> path."""
    from fake_cann.atc_flags import Flags
    from fake_cann.conversion import convert

    def compiled(name: str, model: Path = onnx_file, **flags: str) -> Path:
        given = {"model": str(model), "soc_version": "Ascend910B4", **flags}
        path = onnx_file.with_name(f"{name}.om")
        path.write_bytes(convert(Flags(given), "8.0.0").to_bytes())
        return path

    return compiled


@pytest.fixture(scope="session")
def om(compile_om: Callable[..., Path]) -> Path:
    return compile_om("network")


@pytest.fixture
def acl(fake_cann: Any) -> Any:
    """Imported, nothing called."""
    return fake_cann.acl


@pytest.fixture
def device(acl: Any) -> Any:
    """Initialised, with device 0; whoever takes it does not have to give it back."""
    assert acl.init() == 0
    assert acl.rt.set_device(0) == 0
    return acl


@dataclass
class Rig:
    """A loaded model with its buffers and a stream, set up and released in the documented order."""

    acl: Any
    path: Path
    image: np.ndarray[Any, Any] = field(
        default_factory=lambda: np.random.default_rng(3).normal(size=IMAGE).astype(np.float32)
    )
    released: bool = False

    def __post_init__(self) -> None:
        acl = self.acl
        self.model = ok(acl.mdl.load_from_file(str(self.path)))
        self.desc = acl.mdl.create_desc()
        assert acl.mdl.get_desc(self.desc, self.model) == 0
        self.in_size = acl.mdl.get_input_size_by_index(self.desc, 0)
        self.out_size = acl.mdl.get_output_size_by_index(self.desc, 0)
        self.in_ptr, self.in_buf, self.inputs = self._side(self.in_size)
        self.out_ptr, self.out_buf, self.outputs = self._side(self.out_size)
        self.stream = ok(acl.rt.create_stream())
        self.start, self.end = ok(acl.rt.create_event()), ok(acl.rt.create_event())
        self.send(self.image)

    def _side(self, size: int) -> tuple[int, int, int]:
        acl = self.acl
        pointer = ok(acl.rt.malloc(size, 0))
        buffer, dataset = acl.create_data_buffer(pointer, size), acl.mdl.create_dataset()
        assert acl.mdl.add_dataset_buffer(dataset, buffer) == (dataset, 0)
        return pointer, buffer, dataset

    def send(self, image: np.ndarray[Any, Any]) -> None:
        data = image.tobytes()
        source = self.acl.util.bytes_to_ptr(data)
        assert self.acl.rt.memcpy(self.in_ptr, self.in_size, source, len(data), 1) == 0

    def launch(self, times: int = 1) -> None:
        for _ in range(times):
            code = self.acl.mdl.execute_async(self.model, self.inputs, self.outputs, self.stream)
            assert code == 0

    def synchronize(self) -> int:
        code: int = self.acl.rt.synchronize_stream(self.stream)
        return code

    def elapsed_ms(self, times: int = 1) -> float:
        acl = self.acl
        assert acl.rt.record_event(self.start, self.stream) == 0
        self.launch(times)
        assert acl.rt.record_event(self.end, self.stream) == 0
        assert self.synchronize() == 0
        return float(ok(acl.rt.event_elapsed_time(self.start, self.end)))

    def output_bytes(self) -> bytes:
        """Through page-locked host memory."""
        acl = self.acl
        host = ok(acl.rt.malloc_host(self.out_size))
        assert acl.rt.memcpy(host, self.out_size, self.out_ptr, self.out_size, 2) == 0
        data: bytes = acl.util.ptr_to_bytes(host, self.out_size)
        assert acl.rt.free_host(host) == 0
        return data

    def output(self) -> np.ndarray[Any, Any]:
        return np.frombuffer(self.output_bytes(), np.float32).reshape(1, FILTERS[0], 10, 10)

    def release(self) -> list[int]:
        """All codes, in the order of SA; the device and acl itself are not this object's."""
        acl, self.released = self.acl, True
        return [
            acl.mdl.unload(self.model),
            acl.mdl.destroy_desc(self.desc),
            *(acl.rt.free(pointer) for pointer in (self.in_ptr, self.out_ptr)),
            *(acl.destroy_data_buffer(buffer) for buffer in (self.in_buf, self.out_buf)),
            *(acl.mdl.destroy_dataset(dataset) for dataset in (self.inputs, self.outputs)),
            *(acl.rt.destroy_event(event) for event in (self.start, self.end)),
            acl.rt.destroy_stream(self.stream),
        ]


def ok(pair: tuple[Any, int]) -> Any:
    value, code = pair
    assert code == 0, f"returned {code}"
    return value


@pytest.fixture
def rig(device: Any, om: Path) -> Rig:
    return Rig(device, om)


@pytest.fixture
def ended(device: Any) -> Callable[[], list[int]]:
    """Gives back what `device` took."""
    return lambda: [device.rt.reset_device(0), device.finalize()]
