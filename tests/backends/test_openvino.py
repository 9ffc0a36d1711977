"""OpenVINO: the contract on each device, precision that is asked for, refusals."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from rankwise.backends import openvino_devices
from rankwise.backends.base import ChainWorkload, FileWorkload
from rankwise.backends.onnx_dtypes import chain_in
from rankwise.backends.openvino_devices import OpenVinoBackend, found_names
from rankwise.backends.registry import open_backend
from rankwise.errors import BackendError, MeasurementError
from rankwise.records import MeasurementPolicy
from rankwise.testing import BackendContract
from rankwise.testing.backend_cases import CHAINS


@pytest.mark.parametrize("opened", ["openvino-cpu", "openvino-gpu", "openvino-npu"])
class TestContract(BackendContract):
    """On each type of device."""


def test_lists_what_the_runtime_lists() -> None:
    pytest.importorskip("openvino")
    assert "openvino-cpu" in found_names()
    for name in found_names():
        assert open_backend(name).probe() == ""


def test_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_devices, "find_spec", lambda _name: None)
    assert "pip install 'rankwise[openvino]'" in OpenVinoBackend("CPU").probe()
    assert found_names() == []
    assert OpenVinoBackend("CPU").resolve_policy(MeasurementPolicy()).execution == "graph"


def test_a_dtype_that_would_be_replaced_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO takes bfloat16 where float16 was asked for and the device has only that."""

    class Core:
        available_devices = ("CPU",)

        def get_property(self, device: str, name: str) -> list[str]:
            assert (device, name) == ("CPU", "OPTIMIZATION_CAPABILITIES")
            return ["FP32", "BF16"]

    pytest.importorskip("openvino")
    monkeypatch.setattr(openvino_devices, "_core", Core)
    backend = OpenVinoBackend("CPU")
    assert backend.resolve_policy(MeasurementPolicy(dtype="bfloat16")).dtype == "bfloat16"
    with pytest.raises(BackendError, match=r"cannot compute in float16: .* BF16, FP32 only"):
        backend.resolve_policy(MeasurementPolicy(dtype="float16"))


def test_float32_is_float32() -> None:
    """Left alone, OpenVINO would compute in bfloat16 on processors that have it."""
    pytest.importorskip("openvino")
    backend = OpenVinoBackend("CPU")
    policy = backend.resolve_policy(MeasurementPolicy(threads=2))
    assert backend._config(policy)["INFERENCE_PRECISION_HINT"] == "f32"
    runner = backend.prepare(ChainWorkload("c", CHAINS["convolution"]), policy)
    properties = runner._open().get_property
    assert properties("INFERENCE_PRECISION_HINT").to_string() == "f32"
    assert (properties("INFERENCE_NUM_THREADS"), properties("NUM_STREAMS")) == (2, 1)
    assert not properties("ENABLE_CPU_PINNING")


def test_a_symbolic_batch_takes_the_size_asked(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "n", [value], [output])
    opset = [helper.make_opsetid("", 17)]
    path = tmp_path / "n.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)
    backend = OpenVinoBackend("CPU")
    policy = backend.resolve_policy(MeasurementPolicy())
    runner = backend.prepare(FileWorkload("n", path, (3, 4)), policy)
    images = np.float32([[-1, 0, 1, 2]] * 3)
    assert np.array_equal(runner.compute([images])[0], np.maximum(images, 0))


def test_a_broken_file_is_refused_in_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    path = tmp_path / "n.onnx"
    whole = chain_in(CHAINS["linear"], "float32", 1).SerializeToString()
    path.write_bytes(whole[: len(whole) // 2])
    backend = OpenVinoBackend("CPU")
    with pytest.raises(MeasurementError) as caught:
        backend.prepare(FileWorkload("n", path, (1, 9)), MeasurementPolicy())
    assert "\n" not in str(caught.value)
    assert caught.value.stage == "prepare"


INT8 = MeasurementPolicy(dtype="int8")


@pytest.mark.parametrize("floats", [(), ((0, 3),), ((2, 3),)], ids=str)
def test_int8_multiplies_integers_but_for_what_stays(floats: tuple[tuple[int, int], ...]) -> None:
    pytest.importorskip("openvino")
    backend, chain = OpenVinoBackend("CPU"), CHAINS["three links"]
    workload = ChainWorkload("c", chain, floats=floats)
    runner = backend.prepare(workload, backend.resolve_policy(INT8))
    found = [integers for _, integers in runner.multiplications()]
    stays = sum(end - first for first, end in floats)
    assert found == [True] * (3 - stays) + [False] * stays
    assert runner.run(2)["host"] > 0


def test_a_link_without_an_integer_kernel_is_a_failure() -> None:
    pytest.importorskip("openvino")
    backend = OpenVinoBackend("CPU")
    workload = ChainWorkload("c", CHAINS["transposed in groups"])
    with pytest.raises(MeasurementError, match=r"in float32 \(Deconvolution\)") as caught:
        backend.prepare(workload, backend.resolve_policy(INT8))
    assert caught.value.stage == "prepare"
