"""Values once more: what they are where nothing is said, and how they read."""

from __future__ import annotations

import json

import pytest

from rankwise.records import (
    ORIGINAL,
    Candidate,
    Decomposition,
    DeviceFingerprint,
    Effort,
    Failure,
    LayerSpec,
    LayerUse,
    Measurement,
    MeasurementPolicy,
    PairSummary,
    Sample,
    canonical_json,
    content_key,
    element_bytes,
)

PLAIN = LayerSpec("conv2d", 6, 4, (6, 9, 8))


def test_a_convolution_is_pointwise_where_nothing_is_said() -> None:
    written = PLAIN.to_json()
    assert written.pop("op") == "conv2d"
    assert written == {
        "in_channels": 6,
        "out_channels": 4,
        "input_shape": (6, 9, 8),
        "kernel_size": (1, 1),
        "stride": (1, 1),
        "padding": (0, 0, 0, 0),
        "dilation": (1, 1),
        "groups": 1,
        "bias": True,
        "dtype": "float32",
    }
    assert PLAIN.output_shape == (4, 9, 8)
    assert PLAIN.params == 6 * 4 + 4
    assert PLAIN.macs == 6 * 4 * 72


def test_a_policy_is_inference_of_one_example_where_nothing_is_said() -> None:
    """Rows of years have these: another default would never find them again."""
    assert MeasurementPolicy().to_json() == {
        "phase": "inference",
        "context": "isolated",
        "cache": "hot",
        "execution": "eager",
        "batch": 1,
        "dtype": "float32",
        "numeric_mode": "default",
        "threads": 1,
        "frozen": "",
    }


def test_an_effort_is_what_the_documents_promise() -> None:
    effort = Effort()
    assert (effort.interval, effort.preparations) == (0.02, 2)
    assert (effort.min_rounds, effort.max_rounds) == (10, 40)
    assert (effort.round_s, effort.timeout_s, effort.max_time_s) == (0.012, 120.0, None)


def test_what_is_left_out_is_one_or_nothing() -> None:
    assert Sample(0, "k", "wall", 1e-3).loops == 1
    assert (ORIGINAL.kind, ORIGINAL.ranks, ORIGINAL.groups) == ("original", (), 1)
    assert LayerUse("a", "LSTM", None).reason == ""
    fingerprint = DeviceFingerprint.of("fake", {}, {})
    measurement = Measurement("m", PLAIN, ORIGINAL, fingerprint, MeasurementPolicy(), (), "")
    assert measurement.failure is None
    assert measurement.layers == ()


def test_the_original_and_no_other_is_original() -> None:
    assert ORIGINAL.is_original
    for kind in ("svd", "aaa", "zzz"):  # on either side in the alphabet
        assert not Decomposition(kind, (4,)).is_original


@pytest.mark.parametrize(
    ("decomposition", "text"),
    [
        (Decomposition("cp", (8,), 1), "cp 8"),
        (Decomposition("cp", (8,), 2), "cp 8 g2"),
        (Decomposition("cp", (), 3), "cp g3"),
    ],
)
def test_groups_are_named_from_two_on(decomposition: Decomposition, text: str) -> None:
    assert str(decomposition) == text


def test_canonical_json_is_one_text() -> None:
    assert canonical_json({"b": [1, 2.5], "a": "\u00e9"}) == '{"a":"\\u00e9","b":[1,2.5]}'


def test_keys_are_short_and_of_all_fields() -> None:
    keys = {
        PLAIN.key,
        LayerSpec("conv2d", 6, 4, (6, 9, 8), bias=False).key,
        Candidate(PLAIN, ORIGINAL).key,
        Candidate(PLAIN, Decomposition("svd", (2,))).key,
        MeasurementPolicy(threads=2).key,
        MeasurementPolicy(batch=2).key,
        content_key([]),
    }
    assert len(keys) == 7
    assert {len(key) for key in keys} == {32}
    assert all(set(key) <= set("0123456789abcdef") for key in keys)


def test_fingerprints_are_told_by_both_keys() -> None:
    device = DeviceFingerprint.of("fake", {"chip": 7}, {"b": 2, "a": 1})
    assert device.hardware == (("chip", "7"),)
    assert device.software == (("a", "1"), ("b", "2"))
    assert len(device.hardware_key) == len(device.software_key) == 16
    assert len(device.key) == 32
    other = DeviceFingerprint.of("other", {"chip": 7}, {"b": 2, "a": 1})
    assert other.hardware_key != device.hardware_key
    assert other.software_key != device.software_key
    assert other.key != device.key
    # never to be found under another name: rows of years have these
    assert device.hardware_key == content_key(["fake", {"chip": "7"}])[:16]
    assert device.software_key == content_key(["fake", {"a": "1", "b": "2"}])[:16]


@pytest.mark.parametrize(
    "value",
    [
        PLAIN,
        Decomposition("tucker2", (4, 2), 2),
        MeasurementPolicy(batch=4),
        Sample(3, "k", "wall", 1e-3, 7),
        Failure("k", "run", "out of memory"),
        PairSummary(10, 0.1, 1e-6, 1e-4, 1e-12, 1e-3, 9e-4),
    ],
)
def test_values_come_back_whatever_else_a_document_says(value: object) -> None:
    document = json.loads(json.dumps(value.to_json()))  # type: ignore[attr-defined]
    again = type(value).from_json({**document, "of a later version": [1, 2]})  # type: ignore[attr-defined]
    assert again == value
    assert hash(again) == hash(value)


@pytest.mark.parametrize(
    ("dtype", "size"), [("uint16", 2), ("complex64", 8), ("float128", 16), ("int8", 1)]
)
def test_whole_bytes(dtype: str, size: int) -> None:
    assert element_bytes(dtype) == size


@pytest.mark.parametrize("dtype", ["int4", "int12", "float9", "float", "", "8int", "bool"])
def test_what_is_no_number_of_whole_bytes_is_refused(dtype: str) -> None:
    with pytest.raises(ValueError, match="no type of whole bytes"):
        element_bytes(dtype)
