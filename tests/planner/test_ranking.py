"""`layers --ranks`, and plans that keep to a mode or to a rule."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from rankwise import documents
from rankwise.lowrank import lower
from rankwise.records import Decomposition, LayerSpec

Command = Callable[..., Result]
FAKE = "fake:step=16"


def run(rankwise: Command, *words: object, status: int = 0) -> Result:
    result = rankwise(*words)
    assert result.exit_code == status, result.output
    return result


def ranked(rankwise: Command, *words: object) -> dict[str, documents.RankedLayer]:
    """By shape, such as 64->96: what a rule made of each layer."""
    document = documents.Layers.model_validate_json(
        run(rankwise, "layers", *words, "--json").stdout
    )
    found = {}
    for layer in document.layers:
        assert layer.spec is not None
        assert layer.ranked is not None
        spec = LayerSpec.from_json(layer.spec)
        chain = lower(spec, layer.ranked.decomposition.record())
        assert (layer.ranked.macs, layer.ranked.params) == (chain.macs, chain.params)
        changed = layer.ranked.decomposition.kind != "original"
        assert changed == (not layer.ranked.reason) == (layer.ranked.layer_error > 0)
        found[f"{spec.in_channels}->{spec.out_channels}"] = layer.ranked
    return found


def decomposition(one: documents.RankedLayer) -> Decomposition:
    return one.decomposition.record()


def test_pr_with_the_final_dense_layer_at_its_own_rate(
    rankwise: Command, network_file: Path
) -> None:
    words = (network_file, "--ranks", "pr", "--ratio", 4)
    plain = ranked(rankwise, *words)
    assert decomposition(plain["96->128"]) == Decomposition("svd", (96 * 128 // 4 // 224,))
    assert decomposition(plain["64->96"]).kind == "tucker2"
    assert plain["128->10"].params <= 1280 // 4 + 10
    own = ranked(rankwise, *words, "--final-dense-ratio", 1.5)
    assert decomposition(own["128->10"]) == Decomposition("svd", (int(1280 / 1.5 / 138),))
    assert {k: v for k, v in own.items() if k != "128->10"} == {
        k: v for k, v in plain.items() if k != "128->10"
    }
    mode3 = ranked(rankwise, *words, "--mode", "mode3")
    assert mode3["128->10"] == own["128->10"]  # the mode's own rate is 1.5, too
    assert mode3["3->64"].reason == mode3["64->96"].reason == "excluded_by_mode"


def test_energy_and_vbmf_and_fixed(rankwise: Command, network_file: Path) -> None:
    for threshold in (0.5, 0.95):
        found = ranked(rankwise, network_file, "--ranks", "energy", "--threshold", threshold)
        kept = 1 - found["96->128"].layer_error ** 2
        assert kept >= threshold - 1e-9
    few = ranked(rankwise, network_file, "--ranks", "vbmf", "--weakening", 1)
    more = ranked(rankwise, network_file, "--ranks", "vbmf", "--weakening", 0.7)
    assert few["96->128"].macs < more["96->128"].macs
    fixed = ranked(
        rankwise, network_file, "--ranks", "fixed", "--rank", 20, "--kinds", "channel_svd,svd"
    )
    assert decomposition(fixed["64->96"]) == Decomposition("channel_svd", (20,))
    assert "above the full rank 10" in fixed["128->10"].reason


def test_rounding_and_a_quantum_above_full_rank(rankwise: Command, network_file: Path) -> None:
    words = (network_file, "--ranks", "fixed", "--rank", 21, "--kinds", "svd", "--rank-quantum", 8)
    for rounding, rank in (("down", 16), ("nearest", 24), ("up", 24)):
        found = ranked(rankwise, *words, "--rounding", rounding)
        assert decomposition(found["96->128"]) == Decomposition("svd", (rank,))
    found = ranked(rankwise, network_file, "--ranks", "pr", "--rank-quantum", 16)
    assert found["128->10"].reason == "full rank 10 is below the rank quantum 16"


def test_the_text_has_totals_and_the_picture_is_written(
    rankwise: Command, network_file: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "s.svg"
    words = ("layers", network_file, "--ranks", "pr", "--ratio", 3, "--spectra", picture)
    text = run(rankwise, *words).stdout
    assert "pr (ratio 3), mode vanilla:" in text
    assert "tucker2 " in text
    assert picture.read_text().count('id="axes_') == 4  # a panel each layer
    bare = tmp_path / "bare.png"
    assert "kinds or reason" in run(rankwise, "layers", network_file, "--spectra", bare).stdout
    assert bare.stat().st_size > 1000


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--ranks", "magic"), "unknown rank rule 'magic'"),
        (("--ranks", "pr", "--ratio", 0), "parameter reduction"),
        (("--ranks", "fixed"), "fixed rank"),
        (("--ranks", "pr", "--kinds", "magic"), "unknown kind 'magic'"),
        (("--ranks", "pr", "--mode", "mode9"), "unknown mode 'mode9'"),
        (("--ranks", "pr", "--mode", "measured"), "rankwise profile"),
        (("--ranks", "pr", "--final-dense-ratio", 0), "--final-dense-ratio"),
        (("--ranks", "pr", "--rounding", "off"), "not 'off'"),
        (("--mode", "mode1"), "need a rule: --ranks"),
        (("--ratio", 3), "need a rule: --ranks"),
        (("--spectra", "s.gif"), ".png, .svg or .pdf"),
    ],
)
def test_refusals(
    rankwise: Command, network_file: Path, words: tuple[object, ...], sentence: str
) -> None:
    result = run(rankwise, "layers", network_file, *words, status=2)
    (line,) = [line for line in result.stderr.splitlines() if line.strip()]
    assert sentence in line


@pytest.fixture
def profiled(rankwise: Command, network_file: Path) -> Path:
    run(rankwise, "profile", network_file, "--backend", FAKE, "--json")
    return network_file


def planned(rankwise: Command, network: Path, output: Path, *words: object) -> documents.Plan:
    common = ("--backend", FAKE, "--max-error", 0.9, "--trials", 5, "--no-refine", "-o", output)
    run(rankwise, "plan", network, *common, *words)
    return documents.Plan.model_validate_json(output.read_text())


def test_a_plan_keeps_to_its_mode(rankwise: Command, profiled: Path, tmp_path: Path) -> None:
    plan = planned(rankwise, profiled, tmp_path / "plan.json", "--mode", "mode2")
    kept = {layer.name for layer in plan.layers if layer.reason == "excluded_by_mode"}
    assert plan.mode == "mode2"
    assert plan.rank_selection == "search"
    assert len(kept) == 2  # stem and 1x1; the dense layer has no candidate in any mode
    replaced, dense = (layer for layer in plan.layers if layer.name not in kept)
    assert replaced.decomposition.kind != "original"
    assert dense.reason.startswith("unsupported: full rank")
    mine = tmp_path / "mine.toml"
    mine.write_text('[dense-only]\ninclude = ["linear"]\n')
    plan = planned(rankwise, profiled, tmp_path / "plan.json", "--mode", mine)
    assert plan.mode == "dense-only"
    assert [layer.reason for layer in plan.layers].count("excluded_by_mode") == 3


def test_a_plan_by_rule_takes_the_measured_rank_nearest_to_the_rules(
    rankwise: Command, profiled: Path, tmp_path: Path
) -> None:
    rows = json.loads(run(rankwise, "table", "--json").stdout)["rows"]
    words = ("--mode", "measured", "--rank-selection", "pr", "--ratio", 4)
    plan = planned(rankwise, profiled, tmp_path / "plan.json", *words)
    assert (plan.mode, plan.rank_selection) == ("measured", "pr")
    point = next(layer for layer in plan.layers if (layer.spec or {}).get("in_channels") == 96)
    measured = [r["decomposition"]["ranks"][0] for r in rows if r["layer"] == point.name]
    wanted = 96 * 128 // 4 // 224
    nearest = min(measured, key=lambda rank: abs(rank - wanted))
    assert point.decomposition.record() == Decomposition("svd", (nearest,))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--rank-selection", "magic"), "--rank-selection is one of search, pr"),
        (("--ratio", 3), "need --rank-selection"),
        (("--mode", "mode9"), "unknown mode 'mode9'"),
        (("--rank-selection", "vbmf", "--weakening", 2), "weakening factor"),
    ],
)
def test_plans_that_make_no_sense(
    rankwise: Command, network_file: Path, tmp_path: Path, words: tuple[Any, ...], sentence: str
) -> None:
    common = ("--backend", FAKE, "--max-error", 0.9, "-o", tmp_path / "plan.json")
    result = run(rankwise, "plan", network_file, *common, *words, status=2)
    assert sentence in result.stderr
    assert not (tmp_path / "plan.json").exists()


@pytest.mark.parametrize("kind", ["cp", "branched_tucker", "input_svd"])
def test_a_kind_that_is_named_goes_the_whole_way(
    rankwise: Command, network_file: Path, tmp_path: Path, kind: str
) -> None:
    """Profiled, chosen, and applied: the exported network has the error that its plan says."""
    run(rankwise, "profile", network_file, "--backend", FAKE, "--kinds", kind, "--json")
    path, smaller = tmp_path / "plan.json", tmp_path / "smaller.onnx"
    plan = planned(rankwise, network_file, path)
    chosen = [layer for layer in plan.layers if layer.decomposition.kind == kind]
    assert chosen
    assert all(0 < (layer.layer_error or 0) < 1 for layer in chosen)
    branches = {layer.decomposition.groups for layer in chosen}
    assert branches <= ({2, 4} if kind == "branched_tucker" else {1})
    run(rankwise, "apply", path, network_file, "-o", smaller)
    again = documents.Layers.model_validate_json(run(rankwise, "layers", smaller, "--json").stdout)
    macs = sum(layer.macs for layer in again.layers)
    assert macs < sum(LayerSpec.from_json(layer.spec or {}).macs for layer in plan.layers)
