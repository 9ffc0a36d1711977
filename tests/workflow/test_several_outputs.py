"""Networks with several outputs: the error of each, on pictures that nothing has seen, stands in
the plan, and is what a plain script computes."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import make_dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import rankwise as rw
from rankwise import documents
from rankwise.errors import GoalNotReached, UsageError
from rankwise.models.pictures import load_calibration
from rankwise.models.source import load_network, network_of_module
from rankwise.report.page import report_page

SHAPE = (1, 3, 16, 16)
FAKE = "fake:step=16"


class Two(NamedTuple):
    mask: Any
    depth: Any


Three = make_dataclass("Three", ["mask", "depth", "pose"])


class Heads(nn.Module):
    """A body, and heads of one convolution each, whose outputs differ in size."""

    def __init__(self, count: int, answer: Callable[[list[Tensor]], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.body = nn.Conv2d(3, 32, 3, padding=1), nn.Conv2d(32, 48, 3, padding=1)
        self.heads = nn.ModuleList(nn.Conv2d(48, 32, 1) for _ in range(count))
        self.answer = answer

    def forward(self, x: Tensor) -> Any:
        x = torch.relu(self.body(torch.relu(self.stem(x))))
        return self.answer([10**n * head(x) for n, head in enumerate(self.heads)])


SEVEN = list("abcdefg")
ANSWERS: dict[str, tuple[int, Callable[[list[Tensor]], Any], list[str]]] = {
    "tuple": (2, tuple, ["output0", "output1"]),
    "list": (7, list, [f"output{n}" for n in range(7)]),
    "dict": (7, lambda ys: dict(zip(SEVEN, ys, strict=True)), SEVEN),
    "named tuple": (2, lambda ys: Two(*ys), ["mask", "depth"]),
    "dataclass": (3, lambda ys: Three(*ys), ["mask", "depth", "pose"]),
}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Sixteen smooth pictures as ready tensors."""
    coarse = np.random.default_rng(0).normal(size=(16, 3, 4, 4)).astype(np.float32)
    path = tmp_path / "rows.npz"
    np.savez(path, np.kron(coarse, np.ones((4, 4), np.float32)))
    return path


def planned(model: Any, rows: Path, **limits: Any) -> documents.Plan:
    """A plan for a network whose layers were all measured, in a store beside the pictures."""
    where = {"db": f"sqlite:///{rows.parent}/store.db", "backend": FAKE}
    rw.profile(model, **where)
    wanted = {"max_error": 0.4, "trials": 0, "refine": False, "calibration": rows, **limits}
    return rw.plan(model, **where, **wanted)


def verified(plan: documents.Plan, model: Any, rows: Path) -> documents.Verification:
    """The limit is not what is tested here: a plan above it is noted all the same."""
    with suppress(GoalNotReached):
        rw.verify(plan, model, db=f"sqlite:///{rows.parent}/store.db", data=rows)
    assert plan.verified is not None
    return plan.verified


def errors_of(wanted: list[np.ndarray], given: list[np.ndarray]) -> list[float]:
    """What a user computes."""
    both = zip(wanted, given, strict=True)
    return [float(np.linalg.norm(b - a) / np.linalg.norm(a)) for a, b in both]


def check(found: documents.Verification, names: list[str], errors: list[float]) -> None:
    assert found.errors is not None
    assert list(found.errors.parts) == names
    assert list(found.errors.parts.values()) == pytest.approx(errors, rel=1e-3)
    assert min(errors) > 1e-3
    whole = math.sqrt(sum(one**2 for one in errors) / len(errors))
    assert found.fidelity["relative_error"] == pytest.approx(whole, rel=1e-3)
    assert set(found.fidelity["parts"]) == set(names)
    pictures = found.errors.pictures
    assert pictures.median <= pictures.quantile_90 <= pictures.worst
    assert pictures.worst_name.startswith("row ")


def flat(answer: Any) -> list[np.ndarray]:
    values = vars(answer).values() if hasattr(answer, "pose") else answer
    return [one.numpy() for one in (values.values() if isinstance(values, dict) else values)]


@pytest.mark.parametrize("kind", ANSWERS)
def test_the_error_of_each_output_of_a_module(kind: str, rows: Path, tmp_path: Path) -> None:
    count, answer, names = ANSWERS[kind]
    module = Heads(count, answer).eval()
    network = network_of_module(module, SHAPE)
    plan = planned(network, rows)
    assert [part.name for part in plan.compared] == names
    assert plan.decisions
    found = verified(plan, network, rows)
    small = rw.apply(plan, network, db=f"sqlite:///{tmp_path}/store.db").module
    inputs = torch.from_numpy(load_calibration(rows, None, SHAPE).report)
    with torch.no_grad():
        check(found, names, errors_of(flat(module(inputs)), flat(small(inputs))))


@pytest.mark.slow  # the export
@pytest.mark.parametrize(("kind", "count"), [("tuple", 2), ("list", 3), ("dict", 7)])
def test_the_error_of_each_output_of_a_file(
    kind: str, count: int, rows: Path, tmp_path: Path
) -> None:
    module = Heads(count, ANSWERS[kind][1])
    path = network_of_module(module, SHAPE).to_onnx(tmp_path / "heads.onnx")
    names = list(load_network(path).output_names.compared)
    assert len(names) == count
    plan = planned(path, rows)
    small = tmp_path / "small.onnx"
    rw.apply(plan, path, output=small, db=f"sqlite:///{tmp_path}/store.db")
    found = verified(plan, path, rows)
    answers: list[list[np.ndarray]] = []
    for file in (path, small):
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        report = load_calibration(rows, None, SHAPE).report
        each = [session.run(names, {"input": one[None]}) for one in report]
        answers.append([np.concatenate(parts) for parts in zip(*each, strict=True)])
    check(found, names, errors_of(*answers))


def test_what_is_compared_can_be_chosen(rows: Path) -> None:
    network = network_of_module(Heads(2, lambda ys: Two(*ys)), SHAPE)
    plan = planned(network, rows, compare="mask=3,depth[:,:8]")
    assert [(part.name, part.weight) for part in plan.compared] == [("mask", 3), ("depth[:,:8]", 1)]
    found = verified(plan, network, rows)
    assert found.errors is not None
    mask, depth = found.errors.parts.values()
    assert found.fidelity["relative_error"] ** 2 == pytest.approx(0.75 * mask**2 + depth**2 / 4)
    with pytest.raises(UsageError, match="no output 'boxes' to compare; it has mask, depth"):
        planned(network, rows, compare="boxes")


def test_a_plan_of_before_compares_the_first_output(rows: Path) -> None:
    network = network_of_module(Heads(2, lambda ys: Two(*ys)), SHAPE)
    plan = planned(network, rows)
    plan.compared = []
    errors = verified(plan, network, rows).errors
    assert errors is not None
    assert list(errors.parts) == ["mask"]


class Detector(nn.Module):
    """Boxes in pixels beside scores between 0 and 1, in one tensor, as exports of detectors are."""

    input_shape = SHAPE

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.boxes = nn.Conv2d(3, 64, 3, padding=1), nn.Conv2d(64, 64, 1)
        self.scores, self.classes = nn.Conv2d(64, 64, 3, padding=1), nn.Conv2d(64, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.body(x))
        boxes = 100 + 30 * self.boxes(x)[:, :4]
        scores = self.classes(torch.relu(self.scores(x)) - 2).sigmoid()
        return torch.cat([boxes, scores], 1).flatten(2)


def test_boxes_beside_scores_are_told_apart(rows: Path) -> None:
    """The flat error hides the scores: it is the boxes'."""
    network = network_of_module(Detector(), SHAPE)
    plan = planned(network, rows, max_error=0.05)
    assert [part.name for part in plan.compared] == ["output[:,:4]", "output[:,4:]"]
    assert any("channels of very different sizes" in note for note in plan.notes)
    found = verified(plan, network, rows)
    assert found.errors is not None
    assert max(found.errors.parts.values()) < 0.2
    together = planned(network, rows, max_error=0.05, compare="output")
    assert [part.name for part in together.compared] == ["output"]
    page = report_page(plan)
    assert "output[:,:4], output[:,4:]" in page
    assert "channels of very different sizes" in page
