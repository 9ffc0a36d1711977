"""A plan for a changed limit, its network and its verification: from what is kept, and the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import Result

from rankwise.factors.array_cache import ArrayCache
from rankwise.factors.assembly import Assembly
from rankwise.factors.moments import gather_moments, wanted_moments
from rankwise.models.network import Network
from rankwise.models.pictures import Calibration, load_calibration
from rankwise.models.source import load_network, network_of_module
from rankwise.planner.known_errors import KnownErrors
from rankwise.planner.sensitivity import Inputs, Sensitivity
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


class TestSensitivity:
    def measured(self, assembly: Assembly, inputs: Inputs, plan: dict[str, Decomposition]) -> Any:
        known = KnownErrors(assembly.cache, assembly.network.sha256, inputs.sha256)
        sensitivity = Sensitivity(assembly, inputs, known)
        for name, decomposition in plan.items():
            sensitivity.probe(name, [decomposition])
        modelled = [sensitivity.modelled_sq(*one) for one in plan.items()]
        return sensitivity.measured(plan), modelled

    def test_nothing_is_run_twice(
        self,
        network: Network,
        calibration: Calibration,
        cache: ArrayCache,
        named: dict[str, Decomposition],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        cold = self.measured(aware(network, calibration, cache), Inputs.of(calibration), named)
        monkeypatch.setattr(type(network), "outputs", refuse)
        monkeypatch.setattr(Assembly, "_taken_apart", refuse)
        unseen = Inputs(calibration.sha256, len(calibration.split.select), refuse)
        assert self.measured(aware(network, calibration, cache), unseen, named) == cold

    def test_other_pictures_and_other_seeds_are_others(
        self,
        network: Network,
        pictures: Path,
        calibration: Calibration,
        cache: ArrayCache,
        named: dict[str, Decomposition],
    ) -> None:
        other = load_calibration(pictures, "unit", (1, 3, 16, 16), seed=1)
        plain = Assembly(network, cache=cache)
        setups = [
            (aware(network, calibration, cache), Inputs.of(calibration)),
            (aware(network, other, cache), Inputs.of(other)),
            *((plain, Inputs.noise((1, 3, 16, 16), seed)) for seed in (0, 1)),
        ]
        found = {self.measured(*setup, named)[0].value for setup in setups}
        assert len(found) == len(setups)

    def test_other_weights_are_others(self, cache: ArrayCache) -> None:
        plan = {"0": Decomposition("channel_svd", (2,)), "1": Decomposition("svd", (2,))}
        found = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Conv2d(8, 8, 1))
            assembly = Assembly(network_of_module(module, (1, 3, 8, 8)), cache=cache)
            found.append(self.measured(assembly, Inputs.noise((1, 3, 8, 8), 0), plan)[0])
        assert found[0] != found[1]


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
        cold = planned.network_with(named).outputs(calibration.report)
        shrinkage = {name: planned.shrinkage(name, d) for name, d in named.items()}
        chosen = {name: amount for name, amount in shrinkage.items() if amount is not None}
        monkeypatch.setattr(Assembly, "_taken_apart", refuse)
        again = aware(network, calibration, cache)
        assert all(again.made(*one) == planned.made(*one) for one in named.items())
        applied = aware(network, calibration, cache, chosen=chosen)
        for assembly in (again, applied):
            warm = assembly.network_with(named).outputs(calibration.report)
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
        from rankwise.factors import assembly as module

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
        assert cold["predicted"]["network_error_measured"]
        assert cold["search"]["trials"] == 0
        monkeypatch.setattr(type(network), "outputs", refuse)
        monkeypatch.setattr(Assembly, "_taken_apart", refuse)
        assert plan(0.2, "--no-refine") == cold

    def test_a_changed_limit_needs_no_network(
        self,
        plan: Callable[..., dict[str, Any]],
        network: Network,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        first = plan(0.2, "--no-refine")
        with monkeypatch.context() as patched:
            patched.setattr(type(network), "outputs", refuse)
            patched.setattr(Assembly, "_taken_apart", refuse)
            changed = plan(0.004, "--no-refine")
            assert plan(0.004, "--no-refine") == changed
        assert not changed["predicted"]["network_error_measured"]
        assert 1 < changed["predicted"]["speedup"] < first["predicted"]["speedup"]
        measured = plan(0.004, "--trials", 0)
        assert measured["predicted"]["network_error_measured"]
        estimated = changed["predicted"]["network_error"]
        assert 0.5 * estimated < measured["predicted"]["network_error"] < 0.1

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
        monkeypatch.setattr(Assembly, "_taken_apart", refuse)
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
