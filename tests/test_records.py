"""Values: shapes, costs, keys, and the way through JSON."""

import json

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from rankwise.records import (
    ORIGINAL,
    Candidate,
    Decomposition,
    DeviceFingerprint,
    LayerSpec,
    MeasurementPolicy,
    Sample,
    canonical_json,
    element_bytes,
)


@st.composite
def conv_specs(draw: st.DrawFn) -> LayerSpec:
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    groups = draw(st.sampled_from([1, 2]))
    return LayerSpec(
        "conv2d",
        2 * draw(st.integers(1, 3)),
        2 * draw(st.integers(1, 3)),
        (0, draw(st.integers(8, 12)), draw(st.integers(8, 12))),
        kernel,
        draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        draw(st.tuples(*[st.integers(0, 2)] * 4)),
        dilation,
        groups,
        draw(st.booleans()),
    )


@given(conv_specs())
def test_output_shape_and_costs_are_those_of_torch(spec: LayerSpec) -> None:
    top, left, bottom, right = spec.padding
    layer = torch.nn.Conv2d(
        spec.in_channels,
        spec.out_channels,
        spec.kernel_size,
        spec.stride,
        dilation=spec.dilation,
        groups=spec.groups,
        bias=spec.bias,
    )
    image = torch.zeros(1, spec.in_channels, *spec.input_shape[1:])
    output = layer(torch.nn.functional.pad(image, (left, right, top, bottom)))
    assert tuple(output.shape[1:]) == spec.output_shape
    assert tuple(layer.weight.shape) == spec.weight_shape
    assert sum(p.numel() for p in layer.parameters()) == spec.params
    assert spec.macs == layer.weight.numel() * output[0, 0].numel()


@given(conv_specs())
def test_values_survive_json_with_their_keys(spec: LayerSpec) -> None:
    again = LayerSpec.from_json(json.loads(canonical_json(spec.to_json())))
    assert again == spec
    assert again.key == spec.key


def test_keys_are_fixed_for_ever() -> None:
    """A store of years must find its rows again: a changed key is a lost measurement."""
    spec = LayerSpec("conv2d", 64, 128, (64, 56, 56), (3, 3), (2, 2), (1, 1, 1, 1))
    assert spec.key == "c573d4058e61b1b3af8ae98101338cd3"
    assert Decomposition("tucker2", (16, 32)).key == "a6f21e2855b8780ff8a9693a8cb93ed8"
    assert Candidate(spec, ORIGINAL).key == "9386d25f5b6207551ab46972cf77e40e"
    assert MeasurementPolicy().key == "7c0cb7af0800c43c0cf42b1ea7cdc740"


def test_linear_keeps_leading_axes() -> None:
    spec = LayerSpec("linear", 8, 4, (10, 8))
    assert spec.output_shape == (10, 4)
    assert spec.macs == 10 * 8 * 4


def test_fingerprint_keys_part_hardware_from_software() -> None:
    one = DeviceFingerprint.of("torch-cpu", {"chip": "a"}, {"torch": "1"})
    other = DeviceFingerprint.of("torch-cpu", {"chip": "a"}, {"torch": "2"})
    assert one.hardware_key == other.hardware_key
    assert one.software_key != other.software_key
    assert DeviceFingerprint.from_json(one.to_json()) == one


@pytest.mark.parametrize(
    ("decomposition", "text"),
    [
        (ORIGINAL, "original"),
        (Decomposition("svd", (64,)), "svd 64"),
        (Decomposition("branched_tucker", (32, 64), 4), "branched_tucker 32x64 g4"),
    ],
)
def test_decompositions_read_well(decomposition: Decomposition, text: str) -> None:
    assert str(decomposition) == text


def test_bytes_of_a_number() -> None:
    known = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int8": 1, "uint8": 1}
    assert {dtype: element_bytes(dtype) for dtype in known} == known
    for wrong in ("float", "int4", "", "bool"):
        with pytest.raises(ValueError, match="no type of whole bytes"):
            element_bytes(wrong)


def test_keys_are_of_plain_ascii() -> None:
    """So that a key depends on no encoding."""
    assert canonical_json({"b": "\u00e9", "a": 1}) == '{"a":1,"b":"\\u00e9"}'


def test_what_is_the_original() -> None:
    assert ORIGINAL.is_original
    assert not Decomposition("svd", (4,)).is_original


def test_a_sample_is_of_one_execution_if_nothing_else_is_said() -> None:
    assert Sample(0, "key", "wall", 0.5).loops == 1
