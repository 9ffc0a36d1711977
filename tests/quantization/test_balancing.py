"""Balancing changes nothing in float, for every form that a chain has."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, helper

from rankwise.factors.rounding import POWER
from rankwise.lowrank import applicable_kinds, full_ranks, lower, rank_step
from rankwise.models.onnx_session import TensorSession
from rankwise.ops.chain import Chain, random_weights
from rankwise.ops.onnx_writer import chain_model
from rankwise.quantization.balancing import (
    NAIVE,
    USUAL,
    Balance,
    balanced,
    channel_factors,
)
from rankwise.quantization.middle_channels import seen
from rankwise.quantization.products import middles
from rankwise.records import Decomposition, LayerSpec

from .graphs import falling_chain

POSITIVE = st.floats(1e-2, 1e2)


@given(st.lists(POSITIVE, min_size=1, max_size=40), st.sampled_from([0.0, 0.5, 1.0]))
def test_the_geometric_mean_of_the_factors_is_1(ranges: list[float], power: float) -> None:
    factors = channel_factors(np.array(ranges), power)
    assert np.log(factors).mean() == pytest.approx(0, abs=1e-9)


@given(st.lists(POSITIVE, min_size=2, max_size=40))
def test_power_1_makes_all_ranges_alike_and_power_0_changes_none(ranges: list[float]) -> None:
    known = np.array(ranges)
    alike = known / channel_factors(known, 1.0)
    assert alike == pytest.approx(np.full(len(known), alike[0]))
    assert channel_factors(known, 0.0) == pytest.approx(np.ones(len(known)))


def test_a_channel_that_is_always_zero_gets_a_finite_factor() -> None:
    factors = channel_factors(np.array([1.0, 0.0, 2.0]), 1.0)
    assert np.isfinite(factors).all()
    assert (factors > 0).all()
    assert np.isfinite(channel_factors(np.zeros(3), 1.0)).all()


SPECS = (
    LayerSpec("conv2d", 16, 24, (16, 7, 7), (3, 3), padding=(1, 1, 1, 1), bias=True),
    LayerSpec("conv2d", 16, 24, (16, 7, 7), (1, 1)),
    LayerSpec("linear", 20, 12, (20,), bias=True),
    LayerSpec("linear", 20, 12, (5, 20), bias=True),
)


@pytest.mark.parametrize("spec", SPECS, ids=str)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_no_kind_of_chain_answers_otherwise_in_float(spec: LayerSpec, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(applicable_kinds(spec)[0]))
    ranks = tuple(
        data.draw(st.integers(1, full // rank_step(spec, kind))) * rank_step(spec, kind)
        for full in full_ranks(spec, kind)
    )
    chain = lower(spec, Decomposition(kind, ranks))
    model = chain_model(chain, random_weights(chain, data.draw(st.integers(0, 99))), 2)
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    found = middles(model.graph)
    inputs = rng.standard_normal((4, *spec.input_shape)).astype(np.float32)
    held = seen(model, found, inputs, 2)
    power = data.draw(st.floats(0, 1))
    changed = balanced(model, {name: one.factors(power) for name, one in held.items()})
    assert answers(changed, inputs[:2]) == pytest.approx(
        answers(model, inputs[:2]), rel=1e-4, abs=1e-5
    )
    assert len(found) == len(chain.links) - 1


def answers(model: ModelProto, inputs: np.ndarray) -> np.ndarray:
    return TensorSession(model, [model.graph.output[0].name]).run(inputs)[0]


def test_a_grouped_second_link_gets_the_factors_of_its_own_channels() -> None:
    spec = LayerSpec("conv2d", 16, 16, (16, 6, 6), (3, 3), padding=(1, 1, 1, 1), groups=4)
    first = LayerSpec("conv2d", 8, 16, (8, 6, 6), (1, 1))
    chain = Chain((first, spec))
    model = chain_model(chain, random_weights(chain), 1)
    inputs = np.random.default_rng(0).standard_normal((1, 8, 6, 6)).astype(np.float32)
    (middle,) = middles(model.graph)
    factors = np.exp(np.random.default_rng(1).standard_normal(16))
    changed = balanced(model, {middle.tensor: factors})
    assert answers(changed, inputs) == pytest.approx(answers(model, inputs), rel=1e-4, abs=1e-5)


def test_a_tensor_that_two_read_or_that_is_an_output_is_no_middle() -> None:
    model = falling_chain()
    assert "middle" in {one.tensor for one in middles(model.graph)}
    model.graph.output.append(helper.make_tensor_value_info("middle", 1, None))
    assert "middle" not in {one.tensor for one in middles(model.graph)}
    model = falling_chain()
    model.graph.node.append(helper.make_node("Relu", ["middle"], ["other"], "other"))
    assert "middle" not in {one.tensor for one in middles(model.graph)}


def test_between_two_layers_a_relu_lets_factors_through() -> None:
    model = falling_chain()
    found = {one.tensor: one for one in middles(model.graph)}
    assert {tensor: one.activated for tensor, one in found.items()} == {"r0": True, "middle": False}
    rng = np.random.default_rng(2)
    factors = {"r0": np.exp(rng.standard_normal(16)), "middle": np.exp(rng.standard_normal(24))}
    inputs = rng.standard_normal((1, 3, 12, 12)).astype(np.float32)
    wanted = answers(model, inputs)
    assert answers(balanced(model, factors), inputs) == pytest.approx(wanted, rel=1e-3, abs=1e-4)
    for read in ("r0", "c0"):
        other = falling_chain()
        other.graph.node.append(helper.make_node("Relu", [read], ["other"], "other"))
        assert "r0" not in {one.tensor for one in middles(other.graph)}


def test_a_balance_says_what_it_is() -> None:
    assert str(NAIVE) == "as the quantiser does it"
    assert str(Balance(1 / 3, 3 / 4)) == "channels balanced by 0.33 (links 0.75)"


def test_searches_model_what_networks_are_balanced_by() -> None:
    assert USUAL.links == POWER
