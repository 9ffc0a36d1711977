"""Profiles on other devices than the fake one: training, halves, and an NPU that compiles."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
from typer.testing import Result

from rankwise.backends.acl_device import process_of
from rankwise.backends.onnx_dtypes import chain_in
from rankwise.ops.chain import Chain
from rankwise.records import LayerSpec

Command = Callable[..., Result]


@pytest.fixture
def two_layers(tmp_path: Path) -> Path:
    """A stem and a body, both worth decomposing."""
    path = tmp_path / "two.onnx"
    chain = Chain((LayerSpec("linear", 80, 64, (80,)), LayerSpec("linear", 64, 64, (64,))))
    onnx.save(chain_in(chain, "float32", 1), path)
    return path


def profile(rankwise: Command, *words: object, status: int = 0) -> dict[str, Any]:
    result = rankwise("profile", *words, "--kinds", "svd", "--interval", "0.5", "--json")
    assert result.exit_code == status, result.output
    return json.loads(result.stdout) if status in (0, 1) else {"said": result.stderr}


@pytest.mark.slow
def test_training_is_another_policy(rankwise: Command, two_layers: Path) -> None:
    words = (two_layers, "--backend", "torch-cpu")
    trained = profile(rankwise, *words, "--phase", "training")
    assert trained["measured"] == trained["candidates"] > 0
    assert "--phase must be" in rankwise("table", "--phase", "nosuch").output
    rows = json.loads(rankwise("table", "--phase", "training", "--json").stdout)["rows"]
    assert {row["policy"]["phase"] for row in rows} == {"training"}
    assert not json.loads(rankwise("table", "--phase", "inference", "--json").stdout)["rows"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--backend", "onnxruntime-cpu", "--phase", "training"), "does not do phase 'training'"),
        (("--backend", "onnxruntime-cpu", "--dtype", "bfloat16"), "no bfloat16 convolutions"),
        (("--backend", "torch-cpu", "--dtype", "float8"), "does not do dtype 'float8'"),
        (("--backend", "torch-cuda"), "cannot be used here"),
        (("--backend", "ascend-acl"), "source CANN's set_env.sh"),
    ],
)
def test_what_cannot_be_done_is_said(
    rankwise: Command, two_layers: Path, words: tuple[str, ...], said: str
) -> None:
    import torch

    if words[1] == "torch-cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert said in profile(rankwise, two_layers, *words, status=2)["said"]


@pytest.fixture
def npu(fake_cann: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("RANKWISE_CACHE", str(tmp_path / "cache"))
    yield fake_cann
    if acl := sys.modules.get("acl"):
        process_of(acl).stop()
    fake_cann.assert_clean()


@pytest.mark.slow
def test_an_npu_is_compiled_for_ahead_and_profiled(
    npu: Any, rankwise: Command, two_layers: Path
) -> None:
    words = (two_layers, "--backend", "ascend-acl")
    document = profile(rankwise, *words)
    assert document["complete"]
    assert document["candidates"] > 0
    assert document["policy"]["numeric_mode"] == "force_fp16"
    runs = npu.atc_runs()
    assert len(runs) == document["candidates"] + 2, "each candidate and original, once"
    assert {run["pid"] for run in runs}
    rows = json.loads(rankwise("table", "--json").stdout)["rows"]
    assert {row["verdict"] for row in rows} & {"FASTER", "SLOWER", "SAME"}
    assert profile(rankwise, *words)["measured"] == 0
    assert len(npu.atc_runs()) == len(runs)


@pytest.mark.slow
def test_an_npus_compilations_that_fail_or_are_not_reached(
    npu: Any, rankwise: Command, two_layers: Path
) -> None:
    words = (two_layers, "--backend", "ascend-acl:jobs=1")
    npu.configure(faults="atc:2=E10001,atc:4=hang")
    document = profile(rankwise, *words, "--max-time", "8s", status=1)
    (failure,) = document["failures"]
    assert failure["stage"] == "convert"
    assert "E10001" in failure["reason"]
    assert not document["complete"]
    assert document["measured"] > 0
