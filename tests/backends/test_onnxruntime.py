"""ONNX Runtime: the contract for each provider, session options, quiet fall-backs, refusals."""

import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from rankwise.backends import onnxruntime_providers
from rankwise.backends.base import ChainWorkload, FileWorkload, chain_inputs, random_input
from rankwise.backends.onnx_dtypes import chain_in, network_in
from rankwise.backends.onnxruntime_providers import PROVIDERS, OnnxRuntimeBackend, Provider
from rankwise.backends.onnxruntime_session import (
    OnnxRuntimeRunner,
    Place,
    make_session,
    require_provider,
)
from rankwise.errors import BackendError, MeasurementError
from rankwise.ops.chain import random_weights
from rankwise.ops.reference import reference
from rankwise.records import MeasurementPolicy
from rankwise.testing import BackendContract
from rankwise.testing.backend_cases import CHAINS


def cpu() -> OnnxRuntimeBackend:
    return OnnxRuntimeBackend(PROVIDERS["cpu"])


POLICY = cpu().resolve_policy(MeasurementPolicy())


@pytest.mark.parametrize("opened", ["onnxruntime-cpu"])
class TestContract(BackendContract):
    """On the processor."""


@pytest.mark.parametrize("opened", [f"onnxruntime-{slug}" for slug in PROVIDERS if slug != "cpu"])
class TestOtherProviders(BackendContract):
    tolerance = 1e-2  # some multiply float32 with fewer bits


def test_execution_is_the_graph() -> None:
    assert POLICY.execution == "graph"


def test_fingerprint_names_the_version() -> None:
    software = dict(cpu().fingerprint().software)
    assert software == {"onnxruntime": onnxruntime.__version__}


@pytest.mark.parametrize("change", [{"phase": "training"}, {"cache": "cold"}], ids=str)
def test_what_is_not_done_yet(change: dict[str, str]) -> None:
    with pytest.raises(BackendError, match="yet"):
        cpu().resolve_policy(MeasurementPolicy(**change))


def test_idle_threads_do_not_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = onnxruntime.InferenceSession

    def spy(model: object, options: onnxruntime.SessionOptions, **rest: object) -> object:
        seen.append(options)
        return real(model, options, **rest)

    monkeypatch.setattr(onnxruntime, "InferenceSession", spy)
    policy = MeasurementPolicy(threads=2)
    cpu().prepare(ChainWorkload("c", CHAINS["linear"]), policy).close()
    (options,) = seen
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)
    assert options.execution_mode == onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    assert options.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    assert not options.enable_profiling


def save(path: Path, nodes: list[onnx.NodeProto], inputs: list[str], batch: object = 1) -> Path:
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [batch, 4]) for n in inputs]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "network", values, [output])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)
    return path


def test_a_symbolic_batch_takes_the_size_asked(tmp_path: Path) -> None:
    path = save(tmp_path / "n.onnx", [helper.make_node("Relu", ["x"], ["y"])], ["x"], "batch")
    runner = cpu().prepare(FileWorkload("n", path, (3, 4)), POLICY)
    assert runner.run(2)["host"] > 0
    images = np.float32([[-1, 0, 1, 2]] * 3)
    assert np.array_equal(runner.compute([images])[0], np.maximum(images, 0))
    with pytest.raises(MeasurementError) as caught:
        runner.compute([images[:, :2]])
    assert caught.value.stage == "run"


def test_outputs_whose_size_depends_on_the_input(tmp_path: Path) -> None:
    """They are bound after one execution, which tells how large they are."""
    node = helper.make_node("Compress", ["x", "keep"], ["y"])
    keep = helper.make_node("Greater", ["flat", "zero"], ["keep"])
    flat = helper.make_node("Reshape", ["x", "all"], ["flat"])
    zero = helper.make_node("Constant", [], ["zero"], value_float=0.0)
    whole = helper.make_node("Constant", [], ["all"], value_ints=[-1])
    path = save(tmp_path / "n.onnx", [zero, whole, flat, keep, node], ["x"])
    runner = cpu().prepare(FileWorkload("n", path, (1, 4)), POLICY)
    assert runner.run(3)["host"] > 0


def test_a_network_with_two_inputs_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "n.onnx", [helper.make_node("Add", ["a", "b"], ["y"])], ["a", "b"])
    with pytest.raises(MeasurementError, match="a, b") as caught:
        cpu().prepare(FileWorkload("n", path, (1, 4)), POLICY)
    assert caught.value.stage == "prepare"


def test_an_unknown_operator_is_refused(tmp_path: Path) -> None:
    node = helper.make_node("NoSuchThing", ["x"], ["y"])
    path = save(tmp_path / "n.onnx", [node], ["x"])
    with pytest.raises(MeasurementError, match="NoSuchThing") as caught:
        cpu().prepare(FileWorkload("n", path, (1, 4)), POLICY)
    assert caught.value.stage == "prepare"


def test_seconds_are_for_one_execution(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = cpu().prepare(ChainWorkload("c", CHAINS["linear"]), POLICY)
    calls: list[object] = []
    monkeypatch.setattr(runner._session, "run_with_iobinding", calls.append)
    readings = iter([1_000, 7_000])
    monkeypatch.setattr(time, "perf_counter_ns", lambda: next(readings))
    assert runner.run(3) == pytest.approx({"host": 2e-6})
    assert len(calls) == 3


AZURE = Provider("azure", "AzureExecutionProvider", "onnxruntime", device_key="")
"""It is in every build and runs no operator: a provider that everything falls back from."""


def test_a_part_on_the_processor_is_a_failure() -> None:
    backend = OnnxRuntimeBackend(AZURE)
    policy = backend.resolve_policy(MeasurementPolicy())
    with pytest.raises(MeasurementError, match="would run on the CPU, not on Azure") as caught:
        backend.prepare(ChainWorkload("c", CHAINS["linear"]), policy)
    assert caught.value.stage == "prepare"


def test_a_part_on_the_processor_where_that_was_asked_for() -> None:
    backend = OnnxRuntimeBackend(AZURE, cpu_nodes="allowed")
    policy = backend.resolve_policy(MeasurementPolicy())
    assert policy.execution == "graph+cpu_nodes"
    assert OnnxRuntimeBackend(AZURE).resolve_policy(policy) == policy
    runner = backend.prepare(ChainWorkload("c", CHAINS["linear"]), policy)
    assert runner.run(1)["host"] > 0


def test_a_provider_that_did_not_start_is_a_failure() -> None:
    """ONNX Runtime's own answer to a missing CUDA library is a session on the CPU."""
    require_provider(["CUDAExecutionProvider", "CPUExecutionProvider"], "CUDAExecutionProvider")
    for found in (["CPUExecutionProvider"], []):
        with pytest.raises(MeasurementError, match="CUDAExecutionProvider did not start"):
            require_provider(found, "CUDAExecutionProvider")


@pytest.mark.filterwarnings("ignore:Specified provider:UserWarning")
def test_a_session_does_not_fall_back_by_itself() -> None:
    """The Python wrapper would catch a provider's error and try again with the CPU."""
    place = Place("CUDAExecutionProvider", {"device_id": "0"}, "cuda")
    made = chain_in(CHAINS["linear"], "float32", 1).SerializeToString()
    with pytest.raises(MeasurementError) as caught:
        make_session(made, place, 1)
    assert caught.value.stage == "prepare"


@pytest.mark.parametrize(
    ("slug", "dtype", "wanted"),
    [
        ("cuda", "float32", {"use_tf32": "0", "device_id": "3"}),
        ("tensorrt", "float16", {"trt_fp16_enable": "1", "device_id": "3"}),
        ("tensorrt", "float32", {"device_id": "3"}),
        ("cann", "float32", {"precision_mode": "must_keep_origin_dtype", "device_id": "3"}),
        ("xnnpack", "float32", {"intra_op_num_threads": "2"}),
    ],
)
def test_options_of_a_provider(slug: str, dtype: str, wanted: dict[str, str]) -> None:
    backend = OnnxRuntimeBackend(PROVIDERS[slug], device="3")
    place = backend._place(MeasurementPolicy(dtype=dtype, threads=2))
    assert place.options == wanted
    assert place.device_id == 3
    assert place.strict


def test_threads_belong_to_providers_that_have_them() -> None:
    asked = MeasurementPolicy(threads=2)
    assert OnnxRuntimeBackend(PROVIDERS["cuda"]).resolve_policy(asked).threads == 0
    assert OnnxRuntimeBackend(PROVIDERS["xnnpack"]).resolve_policy(asked).threads == 2
    assert OnnxRuntimeBackend(PROVIDERS["xnnpack"])._pool(asked) == 1


@pytest.mark.parametrize("casts", [True, False])
def test_float16_that_is_cast_is_refused(casts: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime_providers, "cpu_casts_float16", lambda: casts)
    asked = MeasurementPolicy(dtype="float16")
    if casts:
        with pytest.raises(BackendError, match="cast it to float32 and back"):
            cpu().resolve_policy(asked)
    else:
        assert cpu().resolve_policy(asked).dtype == "float16"


def test_float16_networks_keep_their_function(tmp_path: Path) -> None:
    """Converted whole, inputs and outputs too; the contract has the chains."""
    path = tmp_path / "n.onnx"
    chain = CHAINS["three links"]
    onnx.save(chain_in(chain, "float32", 1), path)
    images = np.random.default_rng(0).standard_normal((1, 6, 9, 8), dtype=np.float32)
    found = {}
    for dtype in ("float32", "float16"):
        place = Place("CPUExecutionProvider")
        session = make_session(network_in(path, dtype), place, 1)
        assert session.get_inputs()[0].type == f"tensor({dtype.replace('32', '')})"
        found[dtype] = OnnxRuntimeRunner(session, chain_inputs(chain, 1), place).compute([images])[
            0
        ]
    assert found["float16"].dtype == np.float32
    error = np.abs(found["float16"] - found["float32"]).max()
    assert 0 < error < 1e-2 * np.abs(found["float32"]).max()


INT8 = MeasurementPolicy(dtype="int8")


def test_int8_takes_integers_with_channels_last() -> None:
    """As they lie between two integer convolutions of ONNX Runtime on a processor."""
    runner = cpu().prepare(ChainWorkload("c", CHAINS["three links"]), cpu().resolve_policy(INT8))
    (given,) = runner._session.get_inputs()
    assert given.type in ("tensor(uint8)", "tensor(int8)")
    assert given.shape == [1, 9, 8, 6]


@pytest.mark.parametrize("floats", [((0, 3),), ((2, 3),), ((0, 1), (1, 3))], ids=str)
def test_stretches_in_float32_stay_there(floats: tuple[tuple[int, int], ...]) -> None:
    """ONNX Runtime would quantise their weights by itself: that is a failure, and does not happen
    to what is written here."""
    chain = CHAINS["three links"]
    runner = cpu().prepare(ChainWorkload("c", chain, floats=floats), cpu().resolve_policy(INT8))
    images = random_input((1, *chain.input_shape), seed=1)
    wanted = reference(chain, random_weights(chain), images)
    assert np.abs(runner.compute([images])[0] - wanted).max() < 0.06 * np.abs(wanted).max()
    assert runner.run(2)["host"] > 0


def test_a_link_without_an_integer_kernel_is_a_failure() -> None:
    policy = cpu().resolve_policy(INT8)
    with pytest.raises(MeasurementError) as caught:
        cpu().prepare(ChainWorkload("c", CHAINS["transposed"]), policy)
    assert caught.value.stage == "prepare"
    assert str(caught.value) == (
        "ONNX Runtime leaves 1 of 2 multiplications in float32 (ConvTranspose): it has no integer "
        "kernel for them here"
    )
    floats = ((1, 2),)
    cpu().prepare(ChainWorkload("c", CHAINS["transposed"], floats=floats), policy).close()


def test_a_provider_without_integer_kernels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime_providers, "activation_dtype", lambda _: "")
    with pytest.raises(BackendError, match=r"cannot compute in int8: .* no integer convolutions"):
        cpu().resolve_policy(INT8)


def test_a_provider_that_is_not_there_refuses_nothing() -> None:
    """Whether it multiplies integers shows where it is."""
    assert OnnxRuntimeBackend(PROVIDERS["qnn"]).resolve_policy(INT8).dtype == "int8"
