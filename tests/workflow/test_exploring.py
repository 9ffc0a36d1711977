"""`pareto`, `explain`, `what-if` on the fake device, whose times follow from MACs alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from rankwise import documents

Command = Callable[..., Result]
FAKE = "fake:step=16"


@pytest.fixture
def plan(planned_folder: Path, tmp_path: Path) -> Path:
    """A plan and its store, which are the test's own."""
    shutil.copytree(planned_folder, tmp_path, dirs_exist_ok=True)
    return tmp_path / "plan.json"


def read(rankwise: Command, *words: object) -> dict[str, Any]:
    result = rankwise(*words, "--json")
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def edit(plan: Path, name: str, **changes: Any) -> Path:
    document = json.loads(plan.read_text())
    layer = next(one for one in document["layers"] if one["name"] == name)
    layer.update(changes)
    edited = plan.with_name("edited.json")
    edited.write_text(json.dumps(document))
    return edited


def replaced(plan: Path) -> dict[str, Any]:
    layers = json.loads(plan.read_text())["layers"]
    return next(one for one in layers if one["decomposition"]["kind"] != "original")


def with_ranks(plan: Path, change: Callable[[int], int]) -> Path:
    """The plan with other ranks for its first replaced layer."""
    layer = replaced(plan)
    ranks = [change(rank) for rank in layer["decomposition"]["ranks"]]
    return edit(plan, layer["name"], decomposition={**layer["decomposition"], "ranks": ranks})


class TestExplain:
    def test_every_layer_of_a_plan(self, rankwise: Command, plan: Path) -> None:
        found = documents.Explanation.model_validate(read(rankwise, "explain", plan))
        planned = documents.Plan.model_validate_json(plan.read_text())
        assert [one.name for one in found.layers] == [one.name for one in planned.layers]
        for layer, wanted in zip(found.layers, planned.layers, strict=True):
            if wanted.decomposition.kind != "original":
                (candidate,) = layer.candidates
                assert candidate.decomposition == wanted.decomposition
                assert candidate.measurement_id in wanted.measurement_ids
                assert "fewer MACs" in candidate.reasons[0]

    def test_counted_costs(self, rankwise: Command, plan: Path) -> None:
        layer = replaced(plan)
        found = read(rankwise, "explain", plan, "--layer", layer["name"])["layers"][0]
        spec = layer["spec"]
        assert layer["decomposition"] in [one["decomposition"] for one in found["candidates"]]
        positions = 1 if spec["op"] == "linear" else spec["input_shape"][1] ** 2
        kernel = spec["kernel_size"][0] * spec["kernel_size"][1]
        macs = spec["in_channels"] * spec["out_channels"] * kernel * positions
        assert found["original"]["macs"] == macs

    def test_a_layer_of_the_store(self, rankwise: Command, plan: Path) -> None:
        name = replaced(plan)["name"]
        text = rankwise("explain", "--layer", name)
        assert text.exit_code == 0
        assert "MACs a byte" in text.stdout

    @pytest.mark.usefixtures("plan")
    def test_no_such_layer(self, rankwise: Command) -> None:
        result = rankwise("explain", "--layer", "nosuch")
        assert result.exit_code == 2
        assert result.output.count("\n") == 1

    def test_nothing_to_explain(self, rankwise: Command) -> None:
        """Neither a plan nor a layer was named, and there is no plan here that could be meant."""
        result = rankwise("explain")
        assert result.exit_code == 2
        assert result.output.count("\n") == 1


class TestWhatIf:
    def test_unedited_it_agrees_with_the_plan(self, rankwise: Command, plan: Path) -> None:
        found = documents.WhatIf.model_validate(read(rankwise, "what-if", plan))
        planned = documents.Plan.model_validate_json(plan.read_text())
        assert found.speedup is not None
        assert planned.predicted.speedup is not None
        assert found.speedup == pytest.approx(planned.predicted.speedup, rel=0.02)
        assert found.params < found.original_params

    @pytest.mark.usefixtures("plan")
    def test_it_knows_the_networks_that_were_timed(
        self, rankwise: Command, network_file: Path, tmp_path: Path
    ) -> None:
        """Layers save another share of the time inside the network than alone."""
        timed = tmp_path / "timed.json"
        asked = ["plan", network_file, "--backend", FAKE, "--max-error", 0.4, "-o", timed]
        assert rankwise(*asked).exit_code == 0
        document = json.loads(timed.read_text())
        share = document["predicted"]["speedup"] * 0.6
        document["predicted"].update(speedup=share, speedup_low=share * 0.99)
        document["predicted"].update(speedup_high=share * 1.01, runs=3)
        document["predicted"]["latency_s"] /= 0.6
        timed.write_text(json.dumps(document))
        found = documents.WhatIf.model_validate(read(rankwise, "what-if", timed))
        assert found.speedup == pytest.approx(share, rel=0.03)
        name = replaced(timed)["name"]
        original = {"kind": "original", "ranks": [], "groups": 1}
        edited = read(rankwise, "what-if", edit(timed, name, decomposition=original, factors=None))
        assert edited["latency_s"] > found.latency_s

    def test_a_layer_put_back(self, rankwise: Command, plan: Path) -> None:
        before = read(rankwise, "what-if", plan)
        original = {"kind": "original", "ranks": [], "groups": 1}
        edited = edit(plan, replaced(plan)["name"], decomposition=original, factors=None)
        after = read(rankwise, "what-if", edited)
        assert after["macs"] > before["macs"]
        assert after["latency_s"] > before["latency_s"]

    def test_a_rank_that_was_not_measured(self, rankwise: Command, plan: Path) -> None:
        layer = replaced(plan)
        chosen = {
            **layer["decomposition"],
            "ranks": [r - 1 for r in layer["decomposition"]["ranks"]],
        }
        found = read(rankwise, "what-if", edit(plan, layer["name"], decomposition=chosen))
        assert found["speedup"] is None
        assert any("not measured" in one["note"] for one in found["layers"])
        assert found["macs"] < found["original_macs"]

    def test_an_impossible_rank(self, rankwise: Command, plan: Path) -> None:
        layer = replaced(plan)
        chosen = {
            **layer["decomposition"],
            "ranks": [10**6 for _ in layer["decomposition"]["ranks"]],
        }
        result = rankwise("what-if", edit(plan, layer["name"], decomposition=chosen))
        assert result.exit_code == 2
        assert layer["name"] in result.output


class TestPareto:
    @pytest.mark.usefixtures("plan")
    @pytest.mark.parametrize("more", [[], ["--trials", 10], ["--refine"]])
    def test_front(
        self, rankwise: Command, network_file: Path, tmp_path: Path, more: list[object]
    ) -> None:
        picture = tmp_path / "front.svg"
        words = ["pareto", network_file, "--backend", FAKE, "--points", 5, "-o", picture, *more]
        found = documents.Pareto.model_validate(read(rankwise, *words))
        assert found.points[0].replaced == 0
        assert len(found.points) > 2
        for before, after in zip(found.points, found.points[1:], strict=False):
            assert after.network_error > before.network_error
            assert after.speedup > before.speedup
        assert all(p.measured == ("--refine" in more) for p in found.points[1:])
        assert "<svg" in picture.read_text()

    @pytest.mark.usefixtures("plan")
    def test_bad_words(self, rankwise: Command, network_file: Path) -> None:
        for words in (["--points", 1], ["--max-error", -1], ["-o", "front.bmp"]):
            result = rankwise("pareto", network_file, "--backend", FAKE, *words)
            assert result.exit_code == 2, words


def test_the_report_is_a_page_or_a_picture_by_its_suffix(
    rankwise: Command, plan: Path, tmp_path: Path
) -> None:
    for name, start in (("a.html", b"<!doctype html>"), ("a.pdf", b"%PDF"), ("a.png", b"\x89PNG")):
        result = rankwise("report", plan, "-o", tmp_path / name)
        assert result.exit_code == 0, result.output
        assert (tmp_path / name).read_bytes().startswith(start)
