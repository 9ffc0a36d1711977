"""A plan for a changed limit, its network and its verification: from what is kept, and the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

from rankwise.factors.array_cache import ArrayCache
from rankwise.factors.assembly import Assembly
from rankwise.factors.layers_apart import LayersApart
from rankwise.factors.moments import gather_moments, wanted_moments
from rankwise.lowrank import WEIGHTS_ALONE
from rankwise.models.network import Network, only
from rankwise.models.pictures import Calibration, load_calibration
from rankwise.models.source import load_network
from rankwise.records import Decomposition

Command = Callable[..., Result]
FAKE = "fake:step=16"
DECISIONS = {
    "body": Decomposition("tucker2", (16, 32)),
    "point": Decomposition("svd", (16,)),
}


@pytest.fixture
def network(network_file: Path) -> Network:
    return load_network(network_file)


@pytest.fixture
def named(network: Network) -> dict[str, Decomposition]:
    """`DECISIONS` by the file's own names of the layers."""
    by_shape = {use.spec.out_channels: use.name for use in network.layers if use.spec}
    return {by_shape[96]: DECISIONS["body"], by_shape[128]: DECISIONS["point"]}


@pytest.fixture(scope="module")
def calibration(pictures: Path) -> Calibration:
    return load_calibration(pictures, "unit", (1, 3, 16, 16))


@pytest.fixture
def cache(tmp_path: Path) -> ArrayCache:
    return ArrayCache(tmp_path / "store.cache")


def aware(network: Network, calibration: Calibration, cache: ArrayCache, **chosen: Any) -> Assembly:
    specs = {use.name: use.spec for use in network.layers if use.spec}
    kinds = {96: ["tucker2"], 128: ["svd"]}
    of = {name: kinds.get(spec.out_channels, []) for name, spec in specs.items()}
    moments = gather_moments(network, calibration, wanted_moments(specs, of), cache)
    return Assembly(network, moments, **chosen)


def refuse(*_: object) -> Any:
    raise AssertionError("this was to come from the cache")


class TestFactors:
    def test_a_plans_network_is_made_of_kept_factors(
        self,
        network: Network,
        calibration: Calibration,
        cache: ArrayCache,
        named: dict[str, Decomposition],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        planned = aware(network, calibration, cache)
        cold = only(planned.network_with(named).outputs(calibration.report))
        made = {name: planned.made(name, one).shrinkage for name, one in named.items()}
        chosen = {name: one for name, one in made.items() if one != WEIGHTS_ALONE}
        monkeypatch.setattr(LayersApart, "get", refuse)
        again = aware(network, calibration, cache)
        assert all(again.made(*one) == planned.made(*one) for one in named.items())
        applied = aware(network, calibration, cache, chosen=chosen)
        for assembly in (again, applied):
            warm = only(assembly.network_with(named).outputs(calibration.report))
            np.testing.assert_array_equal(warm, cold)

    def test_a_probes_factors_are_not_kept(
        self, network: Network, cache: ArrayCache, named: dict[str, Decomposition]
    ) -> None:
        assembly = Assembly(network, cache=cache)
        name, decomposition = next(iter(named.items()))
        assembly.network_with({name: decomposition})
        assert not list(cache.folder.glob("factors-*"))
        assembly.network_with(named)
        assert len(list(cache.folder.glob("factors-*"))) == 2

    def test_another_version_is_made_again(
        self,
        network: Network,
        cache: ArrayCache,
        named: dict[str, Decomposition],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        from rankwise.factors import layer_keys as module

        Assembly(network, cache=cache).network_with(named)
        monkeypatch.setattr(module, "FACTORS_VERSION", 99)
        Assembly(network, cache=cache).network_with(named)
        assert len(list(cache.folder.glob("factors-*"))) == 4


class TestCommand:
    @pytest.fixture
    def plan(
        self, rankwise: Command, network_file: Path, pictures: Path, tmp_path: Path
    ) -> Callable[..., dict[str, Any]]:
        assert rankwise("profile", network_file, "--backend", FAKE).exit_code == 0

        def call(max_error: float, *words: object) -> dict[str, Any]:
            path = tmp_path / "plan.json"
            run = ["plan", network_file, "--backend", FAKE, "--max-error", max_error, "-o", path]
            data = ["--calibration", pictures, "--preprocess", "unit"]
            result = rankwise(*run, *data, *words)
            assert result.exit_code == 0, result.output
            return {**json.loads(path.read_text()), "created_at": ""}

        return call

    def test_the_same_plan_again_and_nothing_is_run(
        self,
        plan: Callable[..., dict[str, Any]],
        network: Network,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        cold = plan(0.2, "--no-refine")
        assert cold["search"]["trials"] == 0
        monkeypatch.setattr(type(network), "outputs", refuse)
        monkeypatch.setattr(LayersApart, "get", refuse)
        assert plan(0.2, "--no-refine") == cold

    def test_a_changed_limit_needs_a_few_passes(self, plan: Callable[..., dict[str, Any]]) -> None:
        first, changed = plan(0.2, "--no-refine"), plan(0.004, "--no-refine")
        assert plan(0.004, "--no-refine") == changed
        assert 1 < changed["predicted"]["speedup"] < first["predicted"]["speedup"]
        assert changed["predicted"]["network_error"] < 0.004
        assert 0 < changed["search"]["passes"] <= 30

    def test_apply_and_verify_make_no_factors(
        self,
        plan: Callable[..., dict[str, Any]],
        rankwise: Command,
        network_file: Path,
        pictures: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        plan(0.2, "--no-refine")
        monkeypatch.setattr(LayersApart, "get", refuse)
        path, output = tmp_path / "plan.json", tmp_path / "small.onnx"
        assert rankwise("apply", path, network_file, "-o", output).exit_code == 0
        verified = rankwise("verify", path, network_file, "--data", pictures, "--json")
        assert verified.exit_code == 0, verified.output
        assert output.exists()
        what_if = rankwise("what-if", path, network_file, "--calibration", pictures, "--json")
        assert what_if.exit_code == 0, what_if.output
        planned = json.loads(path.read_text())
        errors = [layer["layer_error"] for layer in json.loads(what_if.stdout)["layers"]]
        assert errors == [layer["layer_error"] or 0.0 for layer in planned["layers"]]
