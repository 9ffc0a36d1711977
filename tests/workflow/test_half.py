"""Plans in bfloat16: errors as the backend rounds, and four networks side by side."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from typer.testing import Result

from rankwise import documents
from rankwise.backends import fake
from rankwise.backends.base import in_dtype
from rankwise.backends.registry import open_backend
from rankwise.campaign.setup import Setup, make_setup
from rankwise.campaign.stored_devices import StoredDevice
from rankwise.errors import BackendError
from rankwise.models.compared import Compared
from rankwise.models.network import only
from rankwise.models.source import load_network
from rankwise.network_timing import inference_runs
from rankwise.network_timing.device_outputs import OnDevice
from rankwise.planner.precision import form_of
from rankwise.records import Effort, MeasurementPolicy

Command = Callable[..., Result]
FAKE = "fake:step=16"
BFLOAT16 = 2.0**-8
"""Half a step of its eight bits, relative to the number that is rounded."""
SHORT = Effort(interval=0.5, min_rounds=3, max_rounds=3, preparations=1, round_s=0.001)
NET = """
import torch
from torch import nn

def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 48, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(48 * 64, 10), nn.Softmax(1),
    )
"""


@pytest.fixture
def plan(rankwise: Command, network_file: Path, pictures: Path, tmp_path: Path) -> Path:
    """In bfloat16, within an error that rounding takes a part of."""
    path, fake = tmp_path / "plan.json", ["--backend", FAKE, "--dtype", "bfloat16"]
    result = rankwise("profile", network_file, *fake)
    assert result.exit_code == 0, result.output
    words = [*fake, "--max-error", 0.4, "--no-refine", "--preprocess", "unit"]
    result = rankwise("plan", network_file, *words, "--calibration", pictures, "-o", path)
    assert result.exit_code == 0, result.output
    return path


def test_a_plan_in_bfloat16_from_profile_to_verify(
    rankwise: Command, plan: Path, network_file: Path, pictures: Path, tmp_path: Path
) -> None:
    made = documents.Plan.model_validate_json(plan.read_text())
    assert (made.dtype, made.in_int8, made.in_float) == ("bfloat16", False, [])
    assert "network errors are of networks in bfloat16 on fake" in made.notes
    assert made.decisions
    smaller = tmp_path / "smaller.onnx"
    result = rankwise("apply", plan, network_file, "--calibration", pictures, "-o", smaller)
    assert result.exit_code == 0, result.output
    assert "weights are written in float32; to run it in bfloat16" in result.output

    result = rankwise("verify", plan, network_file, "--data", pictures, "--json")
    assert result.exit_code == 0, result.output
    found = documents.VerificationDocument.model_validate(json.loads(result.stdout))
    assert not found.in_int8
    original, compressed = found.in_half
    assert (original.network, compressed.network) == ("original", "compressed")
    assert {original.dtype, compressed.dtype} == {"bfloat16"}
    assert 1 < original.speedup <= 1.5  # this device multiplies so much faster, and launches alike
    assert found.speedup == pytest.approx(compressed.speedup / original.speedup)
    assert original.network_error is not None
    assert 0 < original.network_error < BFLOAT16
    assert found.fidelity["relative_error"] == pytest.approx(compressed.network_error)
    assert "compressed in bfloat16: " in rankwise("verify", plan, network_file).stdout


def test_a_backend_without_float32_times_the_plans_type_alone(
    rankwise: Command,
    plan: Path,
    network_file: Path,
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(fake.ALLOWED, "dtype", ("bfloat16",))
    result = rankwise("verify", plan, network_file, "--data", pictures)
    assert result.exit_code == 0, result.output
    assert "networks are timed in bfloat16 alone: fake does not do dtype 'float32'" in result.output
    verified = documents.Plan.model_validate_json(plan.read_text()).verified
    assert verified is not None
    assert verified.in_half == []
    assert verified.speedup > 1
    assert verified.fidelity["relative_error"] > 0


def test_refused_in_one_sentence(
    rankwise: Command, plan: Path, network_file: Path, tmp_path: Path
) -> None:
    smaller = tmp_path / "smaller.onnx"
    for words, sentence in (
        (["verify", "--dtype", "int8"], "plan is in bfloat16: leave --dtype out"),
        (["apply", "--dtype", "float8", "-o", smaller], "int8, not 'float8'"),
        (["verify", "--in-float", "stem"], "--in-float belongs to --dtype int8"),
        (["verify", "--backend", "onnxruntime-cpu"], "no bfloat16 convolutions"),
    ):
        result = rankwise(words[0], plan, network_file, *words[1:])
        assert result.exit_code == 2, result.output
        assert sentence in " ".join(result.output.split())
        assert not smaller.exists()


def test_training_in_float16_is_refused() -> None:
    with pytest.raises(BackendError, match="training in float16 needs a loss that is scaled"):
        open_backend("torch-cuda").resolve_policy(
            MeasurementPolicy(phase="training", dtype="float16")
        )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_device_that_is_away_is_stood_in_for_by_torch(dtype: str, tmp_path: Path) -> None:
    (tmp_path / "half_net.py").write_text(NET, encoding="utf-8")
    network = load_network("half_net:net", input_shape=(1, 3, 12, 12))
    policy = MeasurementPolicy(dtype=dtype)
    away = StoredDevice("torch-cuda", open_backend("fake").fingerprint(), (policy,))
    compared = Compared.whole(network.output_names.compared)
    form = form_of(Setup(network, away, "torch-cuda", policy), None, compared)
    assert form is not None
    assert "torch-cuda is not in this machine" in form.notes[0]
    assert form(network, {}) is network
    wanted, found = only(network.outputs(inputs())), only(form.answering(network).outputs(inputs()))
    lost = np.linalg.norm(found - wanted) / np.linalg.norm(wanted)
    assert 0 < lost < 4 * BFLOAT16


def able(backend: str, need: Callable[[str, str], NoReturn]) -> MeasurementPolicy:
    """The policy in bfloat16; skips where the backend is not here or lacks the type."""
    device = open_backend(backend)
    if reason := device.probe():
        need(backend, reason)
    try:
        return in_dtype(device, MeasurementPolicy(context="in_network"), "bfloat16")
    except BackendError as error:
        need("bfloat16", str(error))


def inputs() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).standard_normal((5, 3, 12, 12), dtype=np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch-cpu", "openvino-cpu"])
@pytest.mark.parametrize("file", [False, True])
def test_what_is_compared_is_rounded_as_the_backend_does_it(
    backend: str,
    file: bool,
    need: Callable[[str, str], NoReturn],
    tmp_path: Path,
) -> None:
    """Against torch's module in that type; logits, not what the softmax makes of them."""
    policy = able(backend, need)
    (tmp_path / "half_net.py").write_text(NET, encoding="utf-8")
    network = load_network("half_net:net", input_shape=(2, 3, 12, 12))
    module = network.module  # type: ignore[attr-defined]
    if file:
        network = load_network(network.save(tmp_path / "net.onnx"), input_shape=(2, 3, 12, 12))
    wanted, device = only(network.outputs(inputs())), open_backend(backend)
    exact = only(OnDevice(network, device, in_dtype(device, policy, "float32")).outputs(inputs()))
    np.testing.assert_allclose(exact, wanted, rtol=1e-3, atol=1e-4)
    found = only(OnDevice(network, device, policy).outputs(inputs()))
    with torch.no_grad():
        half = module[:-1].bfloat16()(torch.from_numpy(inputs()).bfloat16()).float().numpy()
    lost = np.linalg.norm(found - wanted) / np.linalg.norm(wanted)
    rounded = np.linalg.norm(half - wanted) / np.linalg.norm(wanted)
    assert rounded / 3 < lost < 3 * rounded
    if backend == "torch-cpu" and not file:
        np.testing.assert_allclose(found, half, rtol=4 * BFLOAT16, atol=1e-3)


@pytest.mark.slow
def test_one_session_times_two_types(need: Callable[[str, str], NoReturn], tmp_path: Path) -> None:
    from rankwise.db.store import Store

    able("torch-cpu", need)
    (tmp_path / "half_net.py").write_text(NET, encoding="utf-8")
    setup = make_setup("half_net:net", backend="torch-cpu", input_shape=(1, 3, 12, 12))
    compared = Compared.whole(setup.network.output_names.compared)
    assert form_of(setup, None, compared) is None
    with Store.open("sqlite:///store.db") as store:
        found = inference_runs.compare_networks(
            setup, store, {"half": setup.network}, {}, SHORT, dtypes={"half": "bfloat16"}
        )
        assert store.check() == []
    assert found["half"].latency_s != found["half"].original_latency_s
