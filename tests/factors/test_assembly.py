"""Factors, errors and moments of a network: made once, kept by the hash of what they are of."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from rankwise.errors import CalibrationError
from rankwise.factors import output_metrics as metrics_module
from rankwise.factors.array_cache import ArrayCache
from rankwise.factors.assembly import Assembly
from rankwise.factors.moments import (
    LayerMoments,
    cached_moments,
    gather_metrics,
    gather_moments,
    wanted_moments,
    with_cached_metrics,
)
from rankwise.factors.output_metrics import output_metrics
from rankwise.lowrank import WEIGHTS_ALONE
from rankwise.lowrank.shrinkage import Shrinkage
from rankwise.models.compared import Compared
from rankwise.models.network import Network, only
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
        reference = only(part.outputs(calibration.select))
        whole = reference.transpose(1, 0, 2, 3).reshape(reference.shape[1], -1)
        if network.weights(name)[1] is not None:
            whole = whole - whole.mean(axis=1, keepdims=True)
        errors = [
            float(
                np.linalg.norm(
                    only(
                        part.replaced({name: one.replacement(name, chosen)}).outputs(
                            calibration.select
                        )
                    )
                    - reference
                )
                / np.linalg.norm(whole)
            )
            for one in (aware, plain)
        ]
        assert errors[0] <= errors[1] * 1.02
        # not equal: moments are of a sample of the positions
        assert aware.layer_error(name, chosen) == pytest.approx(errors[0], rel=0.15)
        assert plain.made(name, chosen).shrinkage == WEIGHTS_ALONE

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
        shrinkage = planned.made(name, chosen).shrinkage
        assert shrinkage != WEIGHTS_ALONE
        elsewhere = ArrayCache(cache.folder / "other")  # not from the cache: made again
        applied = Assembly(network, moments, {name: shrinkage}, elsewhere)
        for a, b in zip(planned.links(name, chosen), applied.links(name, chosen), strict=True):
            np.testing.assert_array_equal(a.weight, b.weight)
        assert applied.made(name, chosen).shrinkage == shrinkage
        assert Assembly(network, moments, {}).made(name, chosen).shrinkage == WEIGHTS_ALONE

    def test_a_curve_remembers_what_was_chosen(
        self, network: Network, calibration: Calibration, cache: ArrayCache
    ) -> None:
        """So that factors at other ranks need no second choice, and are the same."""
        moments = gather_moments(network, calibration, wanted(network), cache)
        first, second = Assembly(network, moments), Assembly(network, moments)
        chosen = Decomposition("spatial_svd", (9,))
        fresh = first.made("body", chosen)
        remembered = second.curve("body", "spatial_svd").shrinkage
        assert remembered is not None
        assert remembered == fresh.shrinkage
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
            monkeypatch.setattr(again, "_apart", None)
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


class TestBothSides:
    """Factors weighted by input moments and output metrics."""

    @pytest.fixture
    def both(self, network: Network, calibration: Calibration, cache: ArrayCache) -> LayerMoments:
        return gathered(network, calibration, cache)

    def test_metrics_are_gathered_once(
        self,
        network: Network,
        calibration: Calibration,
        cache: ArrayCache,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        asked: list[list[str]] = []

        def noted(module: object, examples: object, names: list[str], *more: object) -> object:
            asked.append(names)
            return output_metrics(module, examples, names, *more)

        monkeypatch.setattr(metrics_module, "output_metrics", noted)
        found = gathered(network, calibration, cache)
        assert asked == [["body", "point"]] * 2  # on both splits
        metric = found.read_metric("fit", "body")
        assert metric is not None
        assert metric.shape == (16, 16)
        np.testing.assert_allclose(metric, metric.T, atol=1e-6 * metric.max())
        again = gathered(network, calibration, cache)
        assert len(asked) == 2
        assert again == found
        cache.path("metric", found.metric_key("select", "point")).unlink()
        gathered(network, calibration, cache)
        assert asked[2:] == [["point"]]

    def test_other_compared_parts_have_other_metrics(
        self, both: LayerMoments, network: Network, calibration: Calibration, cache: ArrayCache
    ) -> None:
        (name,) = network.output_names.compared
        part = Compared.parse(f"{name}[:,:4]")
        other = gathered(network, calibration, cache, part)
        first, second = (one.read_metric("fit", "body") for one in (both, other))
        assert first is not None
        assert second is not None
        assert abs(first - second).max() > 0.01 * abs(first).max()
        body = {"body": Decomposition("channel_svd", (4,))}
        assert Assembly(network, both).plan_key(body) != Assembly(network, other).plan_key(body)

    def test_metrics_that_are_gone(
        self, both: LayerMoments, cache: ArrayCache, calibration: Calibration
    ) -> None:
        plain = LayerMoments(cache, both.network_sha256, both.calibration_sha256)
        assert both.compared is not None
        assert with_cached_metrics(plain, both.compared, ["body", "point"]) == both
        cache.path("metric", both.metric_key("fit", "body")).unlink()
        assert with_cached_metrics(plain, both.compared, ["point"]) == both
        with pytest.raises(CalibrationError, match="give the same pictures again") as caught:
            with_cached_metrics(plain, both.compared, ["point", "body"])
        assert calibration.sha256[:12] in str(caught.value)

    @pytest.mark.parametrize(("name", "chosen"), CHOICES)
    def test_what_a_plan_says_of_shrinkage_gives_the_same_factors(
        self, both: LayerMoments, network: Network, name: str, chosen: Decomposition
    ) -> None:
        planned = Assembly(network, both)
        shrinkage = planned.made(name, chosen).shrinkage
        assert shrinkage.outputs is not None
        elsewhere = ArrayCache(both.cache.folder / "other")  # not from the cache: made again
        applied = Assembly(network, both, {name: shrinkage}, elsewhere)
        links = planned.links(name, chosen)
        for a, b in zip(links, applied.links(name, chosen), strict=True):
            np.testing.assert_array_equal(a.weight, b.weight)
        inputs_alone = Assembly(network, both, {name: Shrinkage(shrinkage.inputs)}, elsewhere)
        assert not np.allclose(inputs_alone.links(name, chosen)[0].weight, links[0].weight)

    def test_the_network_hears_less_of_what_is_lost(
        self, both: LayerMoments, network: Network, calibration: Calibration
    ) -> None:
        """Against input moments alone, at the network's output, on pictures that nothing read."""
        one_sided = LayerMoments(both.cache, both.network_sha256, both.calibration_sha256)
        body = {"body": Decomposition("channel_svd", (6,))}
        wanted = only(network.outputs(calibration.report))
        lost = [
            np.linalg.norm(
                only(Assembly(network, of).network_with(body).outputs(calibration.report)) - wanted
            )
            for of in (both, one_sided)
        ]
        assert lost[0] < 0.97 * lost[1]

    def test_keys_of_plans(self, both: LayerMoments, network: Network) -> None:
        one, other = Decomposition("svd", (8,)), Decomposition("svd", (6,))
        assembly, plain = Assembly(network, both), Assembly(network)
        keys = {
            assembly.plan_key({"point": one}),
            assembly.plan_key({"point": other}),
            assembly.plan_key({"point": one, "body": CHOICES[0][1]}),
            plain.plan_key({"point": one}),
        }
        assert len(keys) == 4
        made = assembly.made("point", one).shrinkage
        applied = Assembly(network, both, {"point": made})
        assert applied.plan_key({"point": one}) == assembly.plan_key({"point": one})
        changed = Assembly(network, both, {"point": Shrinkage(made.inputs, 0.7)})
        assert changed.plan_key({"point": one}) not in keys


def gathered(
    network: Network, calibration: Calibration, cache: ArrayCache, compared: Compared | None = None
) -> LayerMoments:
    """Moments and metrics of the layers that have kinds here."""
    moments = gather_moments(network, calibration, wanted(network), cache)
    whole = compared or Compared.whole(network.output_names.compared)
    return gather_metrics(network, calibration, whole, list(KINDS), moments)
