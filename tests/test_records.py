"""Values: shapes, costs, keys, and the way through JSON."""

import json

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from rankwise.lowrank import lower
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
    axes = draw(st.integers(1, 3))

    def numbers(least: int, most: int) -> tuple[int, ...]:
        return draw(st.tuples(*[st.integers(least, most)] * axes))

    transposed = draw(st.booleans())
    return LayerSpec(
        f"conv_transpose{axes}d" if transposed else f"conv{axes}d",
        channels := 2 * draw(st.integers(1, 3)),
        2 * draw(st.integers(1, 3)),
        (channels, *numbers(8, 9)),
        numbers(1, 4),
        numbers(2, 3) if transposed else numbers(1, 3),
        numbers(0, 2) * 2 if transposed else numbers(0, 2) + numbers(0, 2),
        numbers(1, 2),
        draw(st.sampled_from([1, 2])),
        draw(st.booleans()),
        output_padding=numbers(0, 1) if transposed else (),
    )


@given(conv_specs())
def test_output_shape_and_costs_are_those_of_torch(spec: LayerSpec) -> None:
    axes = spec.dimensions
    kind = f"ConvTranspose{axes}d" if spec.is_transposed else f"Conv{axes}d"
    padding = {"padding": spec.padding[:axes], "output_padding": spec.output_padding}
    layer = getattr(torch.nn, kind)(
        spec.in_channels,
        spec.out_channels,
        spec.kernel_size,
        spec.stride,
        dilation=spec.dilation,
        groups=spec.groups,
        bias=spec.bias,
        **padding if spec.is_transposed else {},
    )
    image = torch.zeros(1, *spec.input_shape)
    if not spec.is_transposed:
        sides = [side for pair in reversed(spec.padding_by_axis) for side in pair]
        image = torch.nn.functional.pad(image, sides)
    output = layer(image)
    assert tuple(output.shape[1:]) == spec.output_shape
    assert layer.weight.numel() == torch.Size(spec.weight_shape).numel()
    assert sum(p.numel() for p in layer.parameters()) == spec.params
    met = image if spec.is_transposed else output
    assert spec.macs == layer.weight.numel() * met[0, 0].numel()


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


def test_keys_from_before_layers_had_other_axes_stay() -> None:
    """They were computed when every kernel had two axes and nothing was transposed."""
    uneven = LayerSpec("conv2d", 5, 6, (5, 13, 12), (3, 2), (2, 1), (1, 0, 2, 3), (1, 2))
    grouped = LayerSpec("conv2d", 6, 9, (6, 6, 6), groups=3, bias=False)
    vector = LayerSpec("linear", 9, 7, (9,))
    sequence = LayerSpec("linear", 6, 8, (3, 6), bias=False, dtype="float16")
    assert uneven.key == "0cec1cc1085daba45de59b82fd9ba565"
    assert grouped.key == "d35cccf842ab374ab29355eedbe2db44"
    assert vector.key == "886ed8e53d80a6f04e04958a10c847c7"
    assert sequence.key == "61c9ea1927846c3276bfec471a20d4bb"
    of_vector = Candidate(vector, Decomposition("svd", (4,)))
    assert of_vector.key == "cc4c8f75c487ef79ed1655e2a1500e32"
    chains = {"spatial_svd": "a91ded435d67ce263c86a8b30f6c37cd"}
    chains["cp"] = "fd1ed1fc9bb59ed8009df463b32e176f"
    for kind, key in chains.items():
        assert lower(uneven, Decomposition(kind, (4,))).key == key


def test_only_transposed_layers_say_an_output_padding() -> None:
    plain, transposed = (LayerSpec(op, 3, 4, (3, 9)) for op in ("conv1d", "conv_transpose1d"))
    assert "output_padding" not in plain.to_json()
    assert transposed.to_json()["output_padding"] == (0,)
    assert LayerSpec.from_json(json.loads(canonical_json(transposed.to_json()))) == transposed


def test_a_layer_has_as_many_numbers_as_axes() -> None:
    assert LayerSpec("conv3d", 3, 4, (3, 9, 9, 9)).padding == (0,) * 6
    with pytest.raises(ValueError, match="conv1d has 1 numbers as its kernel_size"):
        LayerSpec("conv1d", 3, 4, (3, 9), (3, 3))


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
