"""Factors, errors and moments of a network: made once, kept by the hash of what they are of."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from rankwise.errors import CalibrationError, StoreError
from rankwise.factors.array_cache import ArrayCache
from rankwise.factors.assembly import Assembly
from rankwise.factors.moments import cached_moments, gather_moments, wanted_moments
from rankwise.lowrank import ErrorCurve
from rankwise.models.network import Network
from rankwise.models.pictures import Calibration, load_calibration
from rankwise.models.source import network_of_module
from rankwise.records import ORIGINAL, Decomposition

KINDS = {"body": ["channel_svd", "spatial_svd", "tucker2"], "point": ["svd"]}
CHOICES = [
    ("body", Decomposition("channel_svd", (12,))),
    ("body", Decomposition("spatial_svd", (12,))),
    ("body", Decomposition("tucker2", (8, 12))),
    ("point", Decomposition("svd", (8,))),
]


class Counted:
    """A network that counts what is asked of it."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str):
        self.calls[name] += 1
        return getattr(self.network, name)


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    module = torch.nn.Sequential()
    module.add_module("stem", torch.nn.Conv2d(3, 12, 3, padding=1))
    module.add_module("relu1", torch.nn.ReLU())
    module.add_module("body", torch.nn.Conv2d(12, 16, 3, padding=1))
    module.add_module("relu2", torch.nn.ReLU())
    module.add_module("point", torch.nn.Conv2d(16, 20, 1, bias=False))
    return network_of_module(module, (1, 3, 16, 16))


@pytest.fixture(scope="module")
def calibration(pictures: Path) -> Calibration:
    return load_calibration(pictures, "unit", (1, 3, 16, 16))


@pytest.fixture
def cache(tmp_path: Path) -> ArrayCache:
    return ArrayCache(tmp_path / "cache")


def wanted(network: Network):
    return wanted_moments({use.name: use.spec for use in network.layers if use.spec}, KINDS)


class TestArrayCache:
    def test_what_is_written_is_read(self, cache: ArrayCache) -> None:
        arrays = {"a": np.arange(3), "b": np.ones((2, 2), np.float32)}
        cache.write("thing", ["x", 1], arrays)
        found = cache.read("thing", ["x", 1])
        assert found is not None
        assert set(found) == {"a", "b"}
        np.testing.assert_array_equal(found["b"], arrays["b"])
        assert cache.read("thing", ["x", 2]) is None
        assert not cache.has("thing", ["x", 2])
        assert [path.suffix for path in cache.folder.iterdir()] == [".safetensors"]

    def test_a_damaged_file_counts_as_not_there(self, cache: ArrayCache) -> None:
        cache.write("thing", 1, {"a": np.arange(100)})
        path = cache.path("thing", 1)
        assert cache.has("thing", 1)
        whole = path.read_bytes()
        for damaged in (whole[:-8], whole[:50], b""):
            path.write_bytes(damaged)
            assert cache.read("thing", 1) is None
            assert not cache.has("thing", 1)
        cache.write("thing", 1, {"a": np.arange(100)})
        assert cache.has("thing", 1)

    def test_a_folder_that_cannot_be_written_to(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("not a folder")
        with pytest.raises(StoreError, match=r"file/cache cannot be written to .*make room"):
            ArrayCache(tmp_path / "file" / "cache").write("thing", 1, {"a": np.arange(3)})

    def test_a_write_that_fails_leaves_nothing(self, cache: ArrayCache) -> None:
        with pytest.raises(Exception, match="object"):
            cache.write("thing", 1, {"a": np.array([object()])})
        assert list(cache.folder.iterdir()) == []


class TestMoments:
    def test_gathered_once(
        self, network: Network, calibration: Calibration, cache: ArrayCache
    ) -> None:
        counted = Counted(network)
        first = gather_moments(counted, calibration, wanted(network), cache)
        assert counted.calls["moments"] == 2  # one pass over each split
        again = gather_moments(counted, calibration, wanted(network), cache)
        assert counted.calls["moments"] == 2
        assert wanted(network) == {"body": ["outputs", "patches"], "point": ["outputs"]}
        assert first == again
        patches = again.read("fit", "body", "patches")
        assert patches.channels == 12 * 9
        assert patches.count == min(196, 256) * len(calibration.fit)
        assert again.read("select", "point", "outputs").channels == 20

    def test_only_what_is_missing_is_gathered_again(
        self, network: Network, calibration: Calibration, cache: ArrayCache
    ) -> None:
        found = gather_moments(network, calibration, wanted(network), cache)
        cache.path("moments", found.key("fit", "point", "outputs")).unlink()
        counted = Counted(network)
        gather_moments(counted, calibration, wanted(network), cache)
        assert counted.calls["moments"] == 1
        assert found.has("fit", "point", "outputs")

    def test_moments_that_are_gone(
        self, network: Network, calibration: Calibration, cache: ArrayCache
    ) -> None:
        with pytest.raises(CalibrationError, match="give the same pictures again"):
            cached_moments(network, calibration.sha256, wanted(network), cache)
        gather_moments(network, calibration, wanted(network), cache, splits=("fit",))
        cached_moments(network, calibration.sha256, wanted(network), cache)


class TestAssembly:
    @pytest.mark.parametrize(("name", "chosen"), CHOICES)
    def test_factors_from_data_are_no_worse_on_the_select_split(
        self,
        network: Network,
        calibration: Calibration,
        cache: ArrayCache,
        name: str,
        chosen: Decomposition,
    ) -> None:
        """Judged by the network itself, run on the select split up to that layer's output."""
        moments = gather_moments(network, calibration, wanted(network), cache)
        aware, plain = Assembly(network, moments), Assembly(network)
        up_to = network.module[: list(dict(network.module.named_children())).index(name) + 1]
        part = network_of_module(up_to, (1, 3, 16, 16))
        reference = part.outputs(calibration.select)
        whole = reference.transpose(1, 0, 2, 3).reshape(reference.shape[1], -1)
        if network.weights(name)[1] is not None:
            whole = whole - whole.mean(axis=1, keepdims=True)
        errors = [
            float(
                np.linalg.norm(
                    part.replaced({name: one.replacement(name, chosen)}).outputs(calibration.select)
                    - reference
                )
                / np.linalg.norm(whole)
            )
            for one in (aware, plain)
        ]
        assert errors[0] <= errors[1] * 1.02
        # not equal: moments are of a sample of the positions
        assert aware.layer_error(name, chosen) == pytest.approx(errors[0], rel=0.15)
        assert plain.shrinkage(name, chosen) is None

    @pytest.mark.parametrize(("name", "chosen"), CHOICES)
    def test_the_shrinkage_alone_gives_the_same_factors_again(
        self,
        network: Network,
        calibration: Calibration,
        cache: ArrayCache,
        name: str,
        chosen: Decomposition,
    ) -> None:
        moments = gather_moments(network, calibration, wanted(network), cache)
        planned = Assembly(network, moments)
        shrinkage = planned.shrinkage(name, chosen)
        assert shrinkage is not None
        elsewhere = ArrayCache(cache.folder / "other")  # not from the cache: made again
        applied = Assembly(network, moments, {name: shrinkage}, elsewhere)
        for a, b in zip(planned.links(name, chosen), applied.links(name, chosen), strict=True):
            np.testing.assert_array_equal(a.weight, b.weight)
        assert applied.shrinkage(name, chosen) == shrinkage
        assert Assembly(network, moments, {}).shrinkage(name, chosen) is None

    def test_a_curve_remembers_what_was_chosen(
        self, network: Network, calibration: Calibration, cache: ArrayCache
    ) -> None:
        """So that factors at other ranks need no second choice, and are the same."""
        moments = gather_moments(network, calibration, wanted(network), cache)
        first, second = Assembly(network, moments), Assembly(network, moments)
        chosen = Decomposition("spatial_svd", (9,))
        fresh = first.made("body", chosen)
        assert second.curve("body", "spatial_svd").shrinkage == fresh.shrinkage
        second.curve("body", "channel_svd")  # and the layer is not kept taken apart any more
        known = second.made("body", chosen)
        assert known.shrinkage == fresh.shrinkage
        assert known.error == fresh.error

    def test_curves_come_from_the_cache(
        self,
        network: Network,
        calibration: Calibration,
        cache: ArrayCache,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        moments = gather_moments(network, calibration, wanted(network), cache)
        for assembly, estimated in ((Assembly(network, moments), True), (Assembly(network), False)):
            assembly.cache = cache
            found = assembly.curve("body", "spatial_svd")
            assert found.estimated is estimated
            again = Assembly(network, assembly.moments, cache=cache)
            monkeypatch.setattr(again, "_taken_apart", None)
            kept = again.curve("body", "spatial_svd")
            np.testing.assert_array_equal(kept.errors, found.errors)
            assert kept.estimated is estimated
        assert len(list(cache.folder.glob("curve-*"))) == 2

    def test_a_curve_of_other_weights_is_another(self, network: Network, cache: ArrayCache) -> None:
        Assembly(network, cache=cache).curve("point", "svd")
        other = network_of_module(network.module, (1, 3, 16, 16))
        with torch.no_grad():
            other.module.point.weight.mul_(torch.linspace(0.1, 1, 16)[:, None, None])
        Assembly(other, cache=cache).curve("point", "svd")
        assert len(list(cache.folder.glob("curve-*"))) == 2

    @pytest.mark.parametrize(("name", "chosen"), CHOICES)
    def test_the_estimate_is_near_the_error(
        self,
        network: Network,
        calibration: Calibration,
        cache: ArrayCache,
        name: str,
        chosen: Decomposition,
    ) -> None:
        for assembly in (
            Assembly(network),
            Assembly(network, gather_moments(network, calibration, wanted(network), cache)),
        ):
            exact = assembly.layer_error(name, chosen)
            # refining may gain much on a network that nobody trained, and loses next to nothing
            assert exact / 1.05 <= assembly.estimated_error(name, chosen) <= 2 * exact
            if not assembly.curve(name, chosen.kind).estimated:
                assert assembly.estimated_error(name, chosen) == pytest.approx(exact, abs=1e-9)
        assert assembly.estimated_error(name, ORIGINAL) == assembly.layer_error(name, ORIGINAL) == 0


def test_between_the_points_of_a_curve() -> None:
    curve = ErrorCurve(
        (np.array([2, 4]), np.array([1, 2, 3])), np.array([[4.0, 3, 2], [2, 1, 0]]), True
    )
    back = ErrorCurve.from_arrays(curve.to_arrays())
    for one in (curve, back):
        assert one.at((2, 1)) == 4
        assert one.at((4, 3)) == 0
        assert one.at((3, 2)) == pytest.approx(2)
        assert one.at((1, 1)) == 4
        assert one.at((9, 9)) == 0
        assert one.estimated
