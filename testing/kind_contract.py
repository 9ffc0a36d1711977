"""What every kind of decomposition has to hold, as tests that a kind's own tests inherit:

    from rankwise.testing import KindContract

    class TestMine(KindContract):
        kind = MY_KIND

Every test runs on each of `layers` that the kind applies to, in each of its numbers of branches.
The chain is computed by its definition in NumPy (`ops.reference`), which no kind has a part in.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from ..errors import LayerError
from ..lowrank import Kind, Moments
from ..lowrank.kinds import FromData
from ..lowrank.shapes import Ranks
from ..ops.chain import Chain, LinkWeights
from ..ops.reference import reference
from ..records import Decomposition, LayerSpec
from .kind_cases import LAYERS, Float64, KindCase, cases_of, inputs_of, metric_of, taken_apart

SHARES = (0.0, 0.5, 1.0)
"""Of full rank, at which a kind is tried; 0 becomes the least possible rank."""


class KindContract:
    """Inherit it and give `kind`; `layers` may be given, too, if none of ours is fit for it."""

    kind: Kind
    layers: dict[str, LayerSpec] = LAYERS
    tolerance = 1e-9
    """Largest error at full rank in float64, relative to the largest value."""
    rise = 1e-3
    """What an error may be above that of a lower rank, as iterations have not quite ended."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "case" in metafunc.fixturenames:
            cases = cases_of(self.kind, self.layers)
            metafunc.parametrize("case", cases.values(), ids=cases.keys())

    # What a kind says of itself

    def test_is_a_kind_with_a_plain_name(self) -> None:
        assert isinstance(self.kind, Kind)
        assert self.kind.name.isidentifier()
        assert self.kind.moments in ("", "outputs", "patches")

    def test_applies_to_a_layer(self) -> None:
        assert cases_of(self.kind, self.layers), "give `layers` that the kind applies to"

    def test_says_why_it_does_not_apply(self) -> None:
        for spec in self.layers.values():
            reason = self.kind.applies(spec)
            assert isinstance(reason, str)
            assert "\n" not in reason
            if reason:
                with pytest.raises(LayerError, match=reason):
                    self.kind.lower(spec, Decomposition(self.kind.name, (1,)))

    def test_survives_json(self, case: KindCase) -> None:
        decomposition = case.decomposition(case.ranks(0.5))
        written = json.loads(json.dumps(decomposition.to_json()))
        assert Decomposition.from_json(written) == decomposition
        chain = case.kind.lower(case.spec, decomposition)
        assert Chain.from_json(json.loads(json.dumps(chain.to_json()))) == chain
        assert case.kind.lower(case.spec, decomposition).key == chain.key

    # Shapes

    def test_the_chain_takes_the_layers_place(self, case: KindCase) -> None:
        for one in (case, *case.in_other_geometries()):
            for share in SHARES:
                chain = one.chain(one.ranks(share))
                assert chain.input_shape == one.spec.input_shape
                assert chain.output_shape == one.spec.output_shape
                assert {link.dtype for link in chain.links} == {one.spec.dtype}

    def test_only_the_last_link_has_the_bias(self, case: KindCase) -> None:
        for bias in (True, False):
            one = replace(case, spec=replace(case.spec, bias=bias))
            *others, last = one.chain(one.ranks(0.5)).links
            assert last.bias == bias
            assert not any(link.bias for link in others)

    def test_ranks_have_limits(self, case: KindCase) -> None:
        least = case.ranks(0.0)
        assert all(limit >= case.step and limit % case.step == 0 for limit in case.full)
        wrong = [(*least, 1), *([least[1:]] if least else [])]
        for position, limit in enumerate(case.full):
            for rank in (0, -1, limit + case.step, *([case.step + 1] if case.step > 1 else [])):
                wrong.append(changed(least, position, rank))
        for ranks in wrong:
            with pytest.raises(LayerError) as refusal:
                case.chain(ranks)
            assert "\n" not in str(refusal.value)

    def test_every_rank_costs(self, case: KindCase) -> None:
        for position, limit in enumerate(case.full):
            steps = range(case.step, limit + 1, case.step)
            chains = [case.chain(changed(case.ranks(0.5), position, rank)) for rank in steps]
            for fewer, more in itertools.pairwise(chains):
                assert fewer.macs < more.macs
                assert fewer.params < more.params

    def test_macs_and_parameters_are_those_of_the_arrays(self, case: KindCase) -> None:
        ranks = case.ranks(0.5)
        chain, weights = case.chain(ranks), taken_apart(case.at_one_position()).at(ranks)
        values, macs = np.ones((1, *case.spec.input_shape)), 0
        for link, one in zip(chain.links, weights, strict=True):
            assert one.weight.shape == link.weight_shape
            before = values.size // link.in_channels
            values = reference(Chain((link,)), (one,), values)
            after = values.size // link.out_channels
            macs += one.weight.size * (before if link.is_transposed else after)
        assert chain.macs == macs
        arrays = [array for one in weights for array in (one.weight, one.bias) if array is not None]
        assert chain.params == sum(array.size for array in arrays)

    def test_each_rank_limits_a_matrix_of_all_weights(self, case: KindCase) -> None:
        weight = case.layer().weight
        matrices = case.kind.unfold(case.spec, case.seen(weight))
        assert len(matrices) == len(case.full)
        for matrix in matrices:
            assert np.linalg.norm(matrix) == pytest.approx(np.linalg.norm(weight))

    # Weights

    def test_full_rank_is_the_layer(self, case: KindCase) -> None:
        layer, ranks = case.layer(), case.ranks(1.0)
        inputs = np.random.default_rng(1).standard_normal((2, *case.spec.input_shape))
        wanted = case.layer_outputs(layer, inputs)
        outputs = case.chain_outputs(ranks, case.factorizer(layer).at(ranks), inputs)
        assert np.abs(outputs - wanted).max() <= self.tolerance * np.abs(wanted).max()

    def test_factors_have_the_layers_dtype(self, case: KindCase) -> None:
        layer, ranks = case.layer(), case.ranks(0.0)
        exact = case.factorizer(layer).at(ranks)
        rounded = case.factorizer(LinkWeights(layer.weight.astype("float32"), layer.bias)).at(ranks)
        assert {one.weight.dtype for one in exact} == {np.dtype("float64")}
        assert {one.weight.dtype for one in rounded} == {np.dtype(case.spec.dtype)}

    def test_the_error_is_what_the_weights_lose(self, case: KindCase) -> None:
        one = case.at_one_position()
        layer = one.layer()
        made, whole = taken_apart(one), matrix_of(Chain((one.spec,)), (layer,))
        for share in SHARES:
            ranks = one.ranks(share)
            rebuilt = matrix_of(one.chain(ranks), made.at(ranks))
            lost = np.linalg.norm(whole - rebuilt) / np.linalg.norm(whole)
            assert made.error(ranks) == pytest.approx(lost, abs=1e-7)

    def test_the_error_falls_with_the_ranks_and_the_estimate_bounds_it(
        self, case: KindCase
    ) -> None:
        made = taken_apart(case.at_one_position())
        errors = [made.error(case.ranks(share)) for share in SHARES]
        assert all(0 <= error <= 1 for error in errors)
        assert errors[-1] <= self.tolerance
        assert all(after <= before + self.rise for before, after in itertools.pairwise(errors))
        for share, error in zip(SHARES, errors, strict=True):
            assert error <= made.estimate(case.ranks(share)) + 1e-7

    def test_the_error_curve_holds_the_estimates(self, case: KindCase) -> None:
        if not case.full:
            return
        made = taken_apart(case.at_one_position())
        curve = made.error_curve()
        assert tuple(axis[-1] for axis in curve.axes) == case.full
        for axis in curve.axes:
            assert axis[0] == min(case.step, axis[-1])
            assert (np.diff(axis) > 0).all()
        for share in (0.0, 1.0):
            ranks = tuple(int(axis[round(share * (len(axis) - 1))]) for axis in curve.axes)
            possible = tuple(max(rank // case.step, 1) * case.step for rank in ranks)
            if ranks == possible:
                assert curve.at(ranks) == pytest.approx(made.estimate(ranks), abs=1e-7)

    def test_a_layer_of_zeros_loses_nothing(self, case: KindCase) -> None:
        layer, ranks = case.layer(), case.ranks(0.0)
        made = case.factorizer(LinkWeights(np.zeros_like(layer.weight), layer.bias))
        assert made.error(ranks) == made.estimate(ranks) == 0
        outputs = case.chain_outputs(ranks, made.at(ranks), np.ones((1, *case.spec.input_shape)))
        bias = np.zeros(1) if layer.bias is None else layer.bias
        assert set(np.unique(outputs)) == set(np.unique(bias))

    def test_the_same_weights_give_the_same_factors(self, case: KindCase) -> None:
        ranks = case.ranks(0.0)
        first, second = (case.factorizer(case.layer()).at(ranks) for _ in range(2))
        for one, other in zip(first, second, strict=True):
            np.testing.assert_array_equal(one.weight, other.weight)

    # Data

    @pytest.mark.parametrize("count", [4, 300])
    def test_factors_from_data_are_never_worse_on_other_data(
        self, case: KindCase, count: int
    ) -> None:
        """At each rank the factors from the weights are taken where they are no worse: few data
        overfit, many help."""
        one = case.at_one_position()
        if not one.kind.moments or one.spec.groups > 1:
            return
        layer, held_out = one.layer(), inputs_of(one.spec, 200, seed=2)
        fit = moments_of(one, layer, inputs_of(one.spec, count, seed=1))
        weight = one.seen(layer.weight)
        assert isinstance(one.kind.factorize(one.spec, weight, fit, 0.1), FromData)
        made, plain = one.factorizer(layer, fit, moments_of(one, layer, held_out)), taken_apart(one)
        for share in SHARES:
            ranks = one.ranks(share)
            lost = output_error(one, layer, ranks, made.at(ranks), held_out)
            assert made.error(ranks) == pytest.approx(lost, abs=1e-6)
            assert lost <= output_error(one, layer, ranks, plain.at(ranks), held_out) + 1e-6

    def test_the_output_metric_has_a_part(self, case: KindCase) -> None:
        """Errors are those in the held-out metric; the ways that are compared can be made again
        from what the fit split says, and none of them is better than the one that is taken."""
        if not case.full:
            return
        one = case.at_one_position()
        layer, ranks, held_out = one.layer(), one.ranks(0.5), inputs_of(one.spec, 200, seed=2)
        fit: list[Moments] = []
        judges: list[Moments] = []
        if one.kind.moments and one.spec.groups == 1:
            fit.append(moments_of(one, layer, inputs_of(one.spec, 300, seed=1)))
            judges.append(moments_of(one, layer, held_out))
        metric, other = metric_of(one.spec, 100, seed=3), metric_of(one.spec, 100, seed=4)
        both = {"outputs_metric": metric, "held_out_metric": other}
        made = one.factorizer(layer, *fit, *judges, **both)

        def lost(weights: tuple[LinkWeights, ...]) -> float:
            if judges:
                return output_error(one, layer, ranks, weights, held_out, other)
            whole = matrix_of(Chain((one.spec,)), (layer,))
            off = whole - matrix_of(one.chain(ranks), weights)
            return float(np.sqrt(np.vdot(other @ off, off) / np.vdot(other @ whole, whole)))

        assert made.error(ranks) == pytest.approx(lost(made.at(ranks)), rel=1e-5, abs=1e-6)
        ways = made.error_curve().ways
        assert ways[-1].outputs is not None
        for way in ways:
            again = one.factorizer(layer, *fit, shrinkage=way, outputs_metric=metric).at(ranks)
            assert made.error(ranks) <= lost(again) + 1e-6
            if way == made.shrinkage_at(ranks):
                for ours, its in zip(made.at(ranks), again, strict=True):
                    np.testing.assert_array_equal(ours.weight, its.weight)


def changed(ranks: Ranks, position: int, rank: int) -> Ranks:
    """The ranks with another one at that position."""
    return (*ranks[:position], rank, *ranks[position + 1 :])


def matrix_of(chain: Chain, weights: tuple[LinkWeights, ...]) -> Float64:
    """What the chain does to all of its input's values, as a matrix; biases left out."""
    size = int(np.prod(chain.input_shape))
    unit = np.eye(size).reshape(size, *chain.input_shape)
    return reference(chain, [LinkWeights(one.weight) for one in weights], unit).reshape(size, -1).T


def moments_of(case: KindCase, layer: LinkWeights, inputs: Float64) -> Moments:
    """The moments that the kind makes factors from, of a layer that has one position."""
    if case.kind.moments == "outputs":
        outputs = case.layer_outputs(layer, inputs)
        return Moments.from_outputs(outputs.reshape(len(inputs), -1))
    return Moments.from_outputs(case.patches(inputs))


def output_error(
    case: KindCase,
    layer: LinkWeights,
    ranks: Ranks,
    weights: tuple[LinkWeights, ...],
    inputs: Float64,
    metric: Float64 | None = None,
) -> float:
    """What the outputs lose, relative to their energy: about their mean where a bias takes it; in
    an output metric (C_out, C_out), if there is one."""
    wanted = case.layer_outputs(layer, inputs)
    lost = wanted - case.chain_outputs(ranks, weights, inputs)
    whole = wanted - wanted.mean(axis=0) if case.spec.bias else wanted
    heard = np.eye(case.spec.out_channels) if metric is None else metric
    rows = [one.reshape(len(inputs), -1) for one in (lost, whole)]
    costs = [float(np.vdot(one @ heard, one)) for one in rows]
    return float(np.sqrt(costs[0] / costs[1]))
