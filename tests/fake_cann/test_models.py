"""Models, datasets, executions. The number in a test's name is the behaviour's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from .conftest import IMAGE, Rig, ok


def _reference(onnx_file: Path, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    session = onnxruntime.InferenceSession(str(onnx_file), providers=["CPUExecutionProvider"])
    result: np.ndarray[Any, Any] = session.run(None, {"x": image})[0]
    return result


def test_outputs_are_the_networks_in_half_precision(rig: Rig, onnx_file: Path) -> None:
    rig.elapsed_ms(3)
    wanted = _reference(onnx_file, rig.image)
    error = np.abs(rig.output() - wanted).max() / np.abs(wanted).max()
    assert 0 < error < 2e-3, "fp16 has 11 bits; equal would mean that it was not rounded"


def test_outputs_in_full_precision(
    device: Any, onnx_file: Path, compile_om: Callable[..., Path]
) -> None:
    rig = Rig(device, compile_om("fp32", precision_mode="must_keep_origin_dtype"))
    rig.elapsed_ms()
    np.testing.assert_allclose(rig.output(), _reference(onnx_file, rig.image), rtol=1e-5, atol=1e-5)


def test_outputs_follow_their_inputs(rig: Rig, onnx_file: Path) -> None:
    for seed in range(3):
        image = np.random.default_rng(seed).normal(size=IMAGE).astype(np.float32)
        rig.send(image)
        rig.launch(2)
        rig.synchronize()
        np.testing.assert_allclose(rig.output(), _reference(onnx_file, image), atol=5e-2)


def test_behaviour_20_loading(device: Any, om: Path, tmp_path: Path) -> None:
    load = device.mdl.load_from_file
    assert load(str(tmp_path / "none.om")) == (0, 145002)
    garbage, cut = tmp_path / "garbage.om", tmp_path / "cut.om"
    garbage.write_bytes(b"no model")
    cut.write_bytes(om.read_bytes()[:-100])
    assert load(str(garbage)) == (0, 145006)
    assert load(str(cut)) == (0, 145006)
    assert ok(load(str(om))) > 0
    assert device.mdl.query_size(str(om))[2] == 0
    assert device.mdl.query_size(str(cut)) == (0, 0, 145006)


def test_behaviour_20_loading_before_init(acl: Any, om: Path) -> None:
    assert acl.mdl.load_from_file(str(om)) == (0, 145001)
    assert acl.mdl.load_from_mem(1, 1) == (0, 145001)


def test_loading_from_memory(device: Any, om: Path) -> None:
    data = om.read_bytes()
    pointer = device.util.bytes_to_ptr(data)
    model = ok(device.mdl.load_from_mem(pointer, len(data)))
    assert device.mdl.load_from_mem(pointer, len(data) - 1) == (0, 145006)
    assert device.mdl.load_from_mem(0, len(data)) == (0, 100000)
    on_device = ok(device.rt.malloc(len(data), 0))
    assert device.rt.memcpy(on_device, len(data), pointer, len(data), 1) == 0
    assert device.mdl.load_from_mem(on_device, len(data)) == (0, 145006)
    assert device.mdl.unload(model) == 0


def test_a_model_for_another_chip_or_a_newer_cann(
    fake_cann: Any, device: Any, om: Path, compile_om: Callable[..., Path]
) -> None:
    other = compile_om("other", soc_version="Ascend910B")
    assert device.mdl.load_from_file(str(other)) == (0, 545001)
    fake_cann.configure(version="7.0.0")
    assert device.mdl.load_from_file(str(om)) == (0, 545001)


def test_a_model_takes_memory(fake_cann: Any, device: Any, om: Path) -> None:
    fake_cann.configure(memory_bytes=20_000)
    model = ok(device.mdl.load_from_file(str(om)))
    assert device.mdl.load_from_file(str(om))[1] in (0, 245000)
    fake_cann.configure(memory_bytes=1000)
    assert device.mdl.load_from_file(str(om)) == (0, 245000)
    assert device.mdl.unload(model) == 0


def test_behaviour_21_unknown_models(rig: Rig) -> None:
    acl = rig.acl
    assert acl.mdl.unload(rig.model) == 0
    for model in (rig.model, 0, 999):
        assert acl.mdl.get_desc(rig.desc, model) == 145003
        assert acl.mdl.execute(model, rig.inputs, rig.outputs) == 145003
        assert acl.mdl.execute_async(model, rig.inputs, rig.outputs, rig.stream) == 145003
        assert acl.mdl.unload(model) == 145003


def test_behaviour_22_another_context(rig: Rig) -> None:
    acl = rig.acl
    home = ok(acl.rt.get_context())
    acl.rt.create_context(0)
    assert acl.mdl.execute(rig.model, rig.inputs, rig.outputs) == 107004
    assert acl.mdl.execute_async(rig.model, rig.inputs, rig.outputs, 0) == 107004
    assert acl.mdl.unload(rig.model) == 107004
    acl.rt.set_context(home)
    assert acl.mdl.execute(rig.model, rig.inputs, rig.outputs) == 0


def test_behaviour_23_null_and_missing(fake_cann: Any, rig: Rig) -> None:
    acl = rig.acl
    empty = acl.mdl.create_dataset()

    def run(inputs: int, outputs: int) -> list[int]:
        return [
            acl.mdl.execute(rig.model, inputs, outputs),
            acl.mdl.execute_async(rig.model, inputs, outputs, rig.stream),
        ]

    assert run(0, rig.outputs) == run(rig.inputs, 0) == [100000] * 2
    assert run(empty, rig.outputs) == run(rig.inputs, empty) == [145000] * 2
    acl.mdl.add_dataset_buffer(rig.inputs, acl.create_data_buffer(rig.in_ptr, rig.in_size))
    assert run(rig.inputs, rig.outputs) == [145000] * 2, "too many"
    nowhere = acl.mdl.create_dataset()
    acl.mdl.add_dataset_buffer(nowhere, acl.create_data_buffer(0, rig.in_size))
    assert run(nowhere, rig.outputs) == [100000] * 2
    assert acl.destroy_data_buffer(rig.out_buf) == 0
    assert run(nowhere, rig.outputs) == [100000] * 2
    assert "after its destruction" in fake_cann.violations()[0]


@pytest.mark.parametrize(
    ("difference", "code"), [(0, 0), (4096, 0), (-64, 0), (-65, 145000), (-1000, 145000)]
)
@pytest.mark.parametrize("side", ["in", "out"])
def test_behaviour_24_sizes_of_buffers(rig: Rig, side: str, difference: int, code: int) -> None:
    acl = rig.acl
    buffer = getattr(rig, f"{side}_buf")
    size = getattr(rig, f"{side}_size") + difference
    pointer = ok(acl.rt.malloc(getattr(rig, f"{side}_size") + 4096, 0))
    assert acl.update_data_buffer(buffer, pointer, size) == 0
    assert acl.get_data_buffer_size(buffer) == size
    assert acl.mdl.execute(rig.model, rig.inputs, rig.outputs) == code
    assert acl.mdl.execute_async(rig.model, rig.inputs, rig.outputs, rig.stream) == code


@pytest.mark.parametrize("where", ["host", "freed", "too short"])
@pytest.mark.parametrize("side", ["in", "out"])
@pytest.mark.parametrize("way", ["execute", "execute_async"])
def test_behaviour_25_pointers_that_the_core_cannot_follow(
    fake_cann: Any, rig: Rig, where: str, side: str, way: str
) -> None:
    acl, size = rig.acl, getattr(rig, f"{side}_size")
    pointer = getattr(rig, f"{side}_ptr")
    if where == "host":
        pointer = ok(acl.rt.malloc_host(size))
    elif where == "freed":
        acl.rt.free(pointer)
    else:
        pointer = ok(acl.rt.malloc(size - 200, 0))
    acl.update_data_buffer(getattr(rig, f"{side}_buf"), pointer, size)
    if way == "execute":
        assert acl.mdl.execute(rig.model, rig.inputs, rig.outputs) == 507015
    else:
        rig.launch()
        assert rig.synchronize() == 507015
    assert fake_cann.violations()


def test_behaviour_25_freed_before_the_work_is_done(rig: Rig) -> None:
    """free does not synchronise."""
    rig.launch()
    assert rig.acl.rt.free(rig.out_ptr) == 0
    assert rig.synchronize() == 507015


def test_unloaded_before_the_work_is_done(fake_cann: Any, rig: Rig) -> None:
    rig.launch()
    assert rig.acl.mdl.unload(rig.model) == 0
    assert rig.synchronize() == 507011
    assert "unloaded with work" in fake_cann.violations()[0]


@pytest.mark.parametrize("how", ["stream", "event", "device", "timeout", "query"])
def test_behaviour_26_outputs_come_with_synchronisation(rig: Rig, how: str) -> None:
    acl = rig.acl
    rig.launch()
    acl.rt.record_event(rig.end, rig.stream)
    assert rig.output_bytes() == b"\xcd" * rig.out_size, "a copy waits for no stream"
    if how == "query":
        while not ok(acl.rt.query_event_status(rig.end)):
            assert acl.rt.query_event(rig.end)[1] == 0
        assert acl.rt.query_event(rig.end) == (0, 0), "the old one has it the other way round"
    else:
        assert {
            "stream": lambda: acl.rt.synchronize_stream(rig.stream),
            "event": lambda: acl.rt.synchronize_event(rig.end),
            "device": acl.rt.synchronize_device,
            "timeout": lambda: acl.rt.synchronize_stream_with_timeout(rig.stream, -1),
        }[how]() == 0
    assert rig.output_bytes() != b"\xcd" * rig.out_size


def test_behaviour_26_another_streams_synchronisation_is_none(rig: Rig) -> None:
    other = ok(rig.acl.rt.create_stream())
    rig.launch()
    assert rig.acl.rt.synchronize_stream(other) == 0
    assert rig.output_bytes() == b"\xcd" * rig.out_size


def test_behaviour_26_synchronous_execution_needs_none(rig: Rig) -> None:
    assert rig.acl.mdl.execute(rig.model, rig.inputs, rig.outputs) == 0
    assert rig.output_bytes() != b"\xcd" * rig.out_size


def test_behaviour_27_dimensions(rig: Rig) -> None:
    mdl = rig.acl.mdl
    assert mdl.get_input_dims(rig.desc, 0) == (
        {"name": "x", "dimCount": 4, "dims": list(IMAGE)},
        0,
    )
    for call in (mdl.get_input_dims, mdl.get_input_dims_v2, mdl.get_output_dims):
        assert call(rig.desc, 1) == ({}, 100000)
        assert call(0, 0) == ({}, 100000)
        assert call(rig.inputs, 0) == ({}, 100000), "a dataset"
    assert mdl.get_cur_output_dims(rig.desc, 0)[0]["dims"] == [1, 8, 10, 10]
    assert mdl.get_input_dims(mdl.create_desc(), 0) == ({}, 100000), "not filled"


def test_behaviour_28_sizes_and_buffers(rig: Rig) -> None:
    mdl = rig.acl.mdl
    assert mdl.get_input_size_by_index(rig.desc, 0) == 4 * 3 * 12 * 12
    for call in (mdl.get_input_size_by_index, mdl.get_output_size_by_index):
        assert call(rig.desc, 1) == call(0, 0) == 0
    assert mdl.get_dataset_num_buffers(rig.inputs) == 1
    assert mdl.get_dataset_buffer(rig.inputs, 0) == rig.in_buf
    assert mdl.get_dataset_buffer(rig.inputs, 1) == mdl.get_dataset_buffer(0, 0) == 0
    assert mdl.get_num_inputs(0) == 0
    assert mdl.get_input_data_type(rig.desc, 0) == mdl.get_input_format(rig.desc, 0) == 0
    assert mdl.get_input_name_by_index(rig.desc, 0) == "x"


def test_behaviour_29_add_dataset_buffer(rig: Rig) -> None:
    acl = rig.acl
    dataset, buffer = acl.mdl.create_dataset(), acl.create_data_buffer(rig.in_ptr, 4)
    assert acl.mdl.add_dataset_buffer(dataset, buffer) == (dataset, 0)
    for pair in ((0, buffer), (dataset, 0), (0, 0)):
        assert acl.mdl.add_dataset_buffer(*pair)[1] == 100000


def test_behaviour_30_a_dataset_owns_nothing(fake_cann: Any, rig: Rig) -> None:
    acl = rig.acl
    assert acl.mdl.destroy_dataset(rig.inputs) == acl.mdl.destroy_dataset(rig.outputs) == 0
    left = "\n".join(fake_cann.leaks())
    assert left.count("data buffer") == 2
    assert left.count("device memory") == 2
    assert acl.destroy_data_buffer(rig.in_buf) == 0
    assert "\n".join(fake_cann.leaks()).count("device memory") == 2
    assert acl.mdl.destroy_dataset(rig.inputs) == 100000
    assert acl.destroy_data_buffer(rig.in_buf) == 100000
    assert acl.destroy_data_buffer(0) == acl.mdl.destroy_desc(0) == 100000


def test_an_empty_output_is_allocated_for_the_caller(fake_cann: Any, rig: Rig) -> None:
    acl = rig.acl
    dataset, buffer = acl.mdl.create_dataset(), acl.create_data_buffer(0, 0)
    acl.mdl.add_dataset_buffer(dataset, buffer)
    assert acl.mdl.execute_async(rig.model, rig.inputs, dataset, rig.stream) != 0
    assert acl.mdl.execute(rig.model, rig.inputs, dataset) == 0
    pointer = acl.get_data_buffer_addr(buffer)
    assert acl.get_data_buffer_size_v2(buffer) == rig.out_size
    assert f"0x{pointer:x}" in "\n".join(fake_cann.leaks())
    assert acl.rt.free(pointer) == 0


def test_no_memory_for_an_empty_output(fake_cann: Any, rig: Rig) -> None:
    dataset = rig.acl.mdl.create_dataset()
    rig.acl.mdl.add_dataset_buffer(dataset, rig.acl.create_data_buffer(0, 0))
    fake_cann.configure(memory_bytes=100)
    assert rig.acl.mdl.execute(rig.model, rig.inputs, dataset) == 245000


def test_a_description_after_its_end(fake_cann: Any, rig: Rig) -> None:
    assert rig.acl.mdl.destroy_desc(rig.desc) == 0
    assert rig.acl.mdl.get_num_inputs(rig.desc) == 0
    assert rig.acl.mdl.get_desc(rig.desc, rig.model) == 100000
    assert "model description" in fake_cann.violations()[0]


def test_a_skipped_input_is_told(fake_cann: Any, rig: Rig) -> None:
    rig.acl.update_data_buffer(rig.in_buf, rig.in_ptr, 0)
    assert rig.acl.mdl.execute(rig.model, rig.inputs, rig.outputs) == 0
    assert "length 0" in fake_cann.violations()[0]


def test_one_model_on_two_streams_is_told(fake_cann: Any, rig: Rig) -> None:
    other = ok(rig.acl.rt.create_stream())
    rig.launch()
    assert rig.acl.mdl.execute_async(rig.model, rig.inputs, rig.outputs, other) == 0
    assert "two streams" in fake_cann.violations()[0]


def test_models_in_a_row_see_each_others_outputs(
    device: Any, compile_om: Callable[..., Path], tmp_path: Path
) -> None:
    """The second reads what the first writes, launched twice before anybody looks."""
    from onnx import TensorProto, helper, save

    def doubling(name: str) -> Path:
        shapes = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [4, 4]) for n in "xy"]
        node = helper.make_node("Add", ["x", "x"], ["y"])
        graph = helper.make_graph([node], "double", shapes[:1], shapes[1:])
        opsets = [helper.make_opsetid("", 17)]
        save(helper.make_model(graph, opset_imports=opsets, ir_version=10), tmp_path / name)
        return compile_om(name, model=tmp_path / name)

    rt, mdl = device.rt, device.mdl
    model = ok(mdl.load_from_file(str(doubling("double"))))
    pointers, datasets = [ok(rt.malloc(64, 0)) for _ in range(2)], []
    for pointer in pointers:
        dataset = mdl.create_dataset()
        mdl.add_dataset_buffer(dataset, device.create_data_buffer(pointer, 64))
        datasets.append(dataset)
    ones = np.ones((4, 4), np.float32).tobytes()
    assert rt.memcpy(pointers[0], 64, device.util.bytes_to_ptr(ones), 64, 1) == 0
    for source, target in [(0, 1), (1, 0)] * 2:
        assert mdl.execute_async(model, datasets[source], datasets[target], 0) == 0
    assert rt.synchronize_stream(0) == 0
    host = ok(rt.malloc_host(64))
    assert rt.memcpy(host, 64, pointers[0], 64, 2) == 0
    assert set(np.frombuffer(device.util.ptr_to_bytes(host, 64), np.float32)) == {16.0}
