"""What pictures say of a network: contributions that are its errors, found once, and one-sided
factors where torch cannot run it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import rankwise as rw
from rankwise import documents
from rankwise.db.store import Store
from rankwise.factors.array_cache import ArrayCache
from rankwise.models.compared import Compared
from rankwise.models.network import Network, only
from rankwise.models.network_error import NetworkError
from rankwise.models.pictures import Calibration, load_calibration
from rankwise.models.source import load_network, network_of_module
from rankwise.planner import evidence as module
from rankwise.planner.evidence import Evidence, Pictures, gather_evidence
from rankwise.planner.measured_errors import MeasuredErrors
from rankwise.planner.progress import Progress
from rankwise.records import Decomposition
from rankwise.reporter import Silent

FAKE = "fake:step=8"
SHAPE = (1, 3, 12, 12)


def refuse(*_: object, **__: object) -> Any:
    raise AssertionError("this was to come from the store")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path}/other.db") as store:
        yield store


@pytest.fixture
def gather(
    store: Store, calibration: Calibration, tmp_path: Path
) -> Callable[[Network, Compared, Any], Evidence]:
    def gather(network: Network, compared: Compared, candidates: Any) -> Evidence:
        pictures = Pictures(calibration, compared, seed=0)
        cache = ArrayCache(tmp_path / "other.cache")
        return gather_evidence(network, candidates, pictures, store, cache, Progress(Silent()))

    return gather


class Affine(nn.Module):
    """Nothing in it bends; two outputs of very different sizes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 24, 3, stride=2, padding=1)
        self.large, self.small = nn.Linear(24, 3), nn.Linear(24, 2)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.second(self.first(x)).mean(dim=(2, 3))
        return {"large": 100 * self.large(x), "small": self.small(x)}


AFFINE = {
    "first": [Decomposition("channel_svd", (rank,)) for rank in (2, 4, 8)],
    "second": [
        *(Decomposition("spatial_svd", (rank,)) for rank in (4, 8, 16)),
        Decomposition("tucker2", (4, 8)),
    ],
}
"""All of these are probed."""
BOTH = Compared.whole(["large", "small"])


@pytest.fixture
def affine() -> Network:
    return network_of_module(Affine().eval(), SHAPE)


def probed_error(found: Evidence, name: str, one: Decomposition) -> float:
    """The network error on the select split with factors that are not refined."""
    select, network = found.select, found.assembly.network
    changed = network.replaced({name: found.assembly.draft(name, one)})
    outputs = changed.outputs(select.examples)
    return NetworkError.of(select.compared, select.reference, outputs).value


class TestContributions:
    def test_those_to_an_affine_network_are_its_measured_errors(
        self,
        gather: Callable[..., Evidence],
        affine: Network,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Those of factors that are not refined for their ranks; with every direction of every
        example asked for, nothing is left to chance."""
        monkeypatch.setattr(module, "EXAMPLES", 1000)
        monkeypatch.setattr(module, "COTANGENTS", 1000)
        found = gather(affine, BOTH, AFFINE)
        assert found.notes == ()
        for name, of in AFFINE.items():
            for one in of:
                error = probed_error(found, name, one)
                modelled = found.contributions.of(name, one) ** 0.5
                assert modelled == pytest.approx(error, rel=2e-3), (name, one)

    def test_a_few_directions_say_about_the_same(
        self, gather: Callable[..., Evidence], affine: Network
    ) -> None:
        found = gather(affine, BOTH, AFFINE)
        ratios = [
            found.contributions.of(name, one) ** 0.5 / probed_error(found, name, one)
            for name, of in AFFINE.items()
            for one in of
        ]
        assert min(ratios) > 0.5
        assert max(ratios) < 2

    def test_they_are_found_once(
        self,
        gather: Callable[..., Evidence],
        affine: Network,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        first = gather(affine, BOTH, AFFINE)
        monkeypatch.setattr(module, "_from_gradients", refuse)
        again = gather(affine, BOTH, AFFINE)
        assert again.passes == first.passes == 0
        for name, of in AFFINE.items():
            for one in of:
                expected = first.contributions.of(name, one)
                assert again.contributions.of(name, one) == pytest.approx(expected, rel=1e-6)

    def test_only_new_candidates_are_asked(
        self,
        gather: Callable[..., Evidence],
        affine: Network,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        gather(affine, BOTH, {"first": AFFINE["first"]})
        asked: list[Any] = []
        found = vars(module)["_from_gradients"]
        monkeypatch.setattr(
            module,
            "_from_gradients",
            lambda of, missing: asked.extend(missing) or found(of, missing),
        )
        gather(affine, BOTH, AFFINE)
        assert {name for name, _ in asked} == {"second"}
        assert len(asked) == len(AFFINE["second"])

    def test_other_parts_have_others(
        self, gather: Callable[..., Evidence], affine: Network
    ) -> None:
        of = [gather(affine, Compared.whole([name]), AFFINE) for name in ("large", "small")]
        one = AFFINE["second"][0]
        first, second = (found.contributions.of("second", one) for found in of)
        assert first != pytest.approx(second, rel=0.05)
        for found in of:  # each is that of its own part
            error = probed_error(found, "second", one)
            assert found.contributions.of("second", one) ** 0.5 == pytest.approx(error, rel=0.7)


@pytest.fixture(scope="session")
def sines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file whose activations have no counterpart in torch."""
    rng = np.random.default_rng(0)
    widths, nodes, weights, last = [3, 24, 32, 24], [], [], "x"
    for n, (few, many) in enumerate(pairwise(widths)):
        falling = np.exp(-np.arange(min(many, few * 9)) / 3)
        u, s, v = np.linalg.svd(rng.normal(size=(many, few * 9)), full_matrices=False)
        weight = (u * s / s[0] * falling @ v).reshape(many, few, 3, 3).astype(np.float32)
        weights += [
            numpy_helper.from_array(weight, f"w{n}"),
            numpy_helper.from_array(rng.normal(size=many).astype(np.float32) / 4, f"b{n}"),
        ]
        names = [last, f"w{n}", f"b{n}"]
        nodes.append(helper.make_node("Conv", names, [f"c{n}"], name=f"conv{n}", pads=[1, 1, 1, 1]))
        last = f"s{n}" if n < 2 else "y"
        nodes.append(helper.make_node("Sin", [f"c{n}"], [last], name=f"sin{n}"))
    graph = helper.make_graph(
        nodes,
        "sines",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(SHAPE))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 24, 12, 12])],
        weights,
    )
    opset = [helper.make_opsetid("", 17)]
    path = tmp_path_factory.mktemp("sines") / "sines.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


class TestWithoutTorch:
    def test_single_layers_are_run_instead_and_once(
        self,
        gather: Callable[..., Evidence],
        sines: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        network = load_network(sines)
        kinds = {"channel_svd": (4, 8, 12, 16), "spatial_svd": (8, 16, 24)}
        candidates = {
            name: [Decomposition(kind, (rank,)) for kind, ranks in kinds.items() for rank in ranks]
            for name in ("conv1", "conv2")
        }
        compared = Compared.whole(["y"])
        found = gather(network, compared, candidates)
        (note,) = found.notes
        assert note.startswith("factors are weighted by their inputs alone: ")
        assert "no torch counterpart for the ONNX operator Sin" in note
        assert found.passes == 4 + 1  # a kind of a layer each, and the original
        middle = Decomposition("spatial_svd", (16,))
        for name in candidates:
            error = found.select.of({name: middle}).value
            assert found.contributions.of(name, middle) == pytest.approx(error**2, rel=1e-6)
        sides = {
            found.assembly.made(n, d).shrinkage.outputs for n, of in candidates.items() for d in of
        }
        assert sides == {None}
        monkeypatch.setattr(MeasuredErrors, "of", refuse)
        again = gather(network, compared, candidates)
        for name, of in candidates.items():
            for one in of:
                expected = found.contributions.of(name, one)
                assert again.contributions.of(name, one) == pytest.approx(expected, rel=1e-6)

    def test_a_plan_says_so_and_is_applied_and_verified(
        self, sines: Path, calibration: Calibration, rows_of: Callable[[int], Path], tmp_path: Path
    ) -> None:
        db, rows = f"sqlite:///{tmp_path}/sines.db", rows_of(calibration.images)
        rw.profile(sines, backend=FAKE, db=db)
        path = tmp_path / "plan.json"
        words = {"calibration": rows, "max_error": 0.3, "refine": False}
        plan = rw.plan(sines, backend=FAKE, db=db, output=path, **words)
        assert plan.decisions
        (note,) = plan.notes
        assert "inputs alone" in note
        assert "Sin" in note
        assert not plan.match_channels
        made = [one for one in plan.layers if one.name in plan.decisions]
        assert {one.output_shrinkage for one in made} == {None}
        assert "data" in {one.factors for one in made}
        network, applied = load_network(sines), rw.apply(path, sines, db=db)
        of_plan = load_calibration(rows, None, SHAPE)
        wanted, given = (only(one.outputs(of_plan.select)) for one in (network, applied))
        error = np.linalg.norm(given - wanted) / np.linalg.norm(wanted)
        assert plan.predicted.network_error == pytest.approx(error, rel=1e-4)
        rw.verify(path, sines, db=db, data=rows)
        verified = documents.Plan.model_validate_json(path.read_text()).verified
        assert verified is not None
        assert verified.fidelity["relative_error"] < 0.3
