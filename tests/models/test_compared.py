"""Parts of outputs: how they are written, what they take, how they count."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rankwise.errors import ModelError, UsageError
from rankwise.models.compared import Compared, ComparedPart
from rankwise.models.network_error import NetworkError
from rankwise.models.output_groups import size_groups


def test_how_it_is_written() -> None:
    compared = Compared.parse("boxes=2, output0[:,4:],output0[:, :4]=0.5,/model/Concat_3")
    assert compared.parts == (
        ComparedPart("boxes", "", 2.0),
        ComparedPart("output0", "[:,4:]"),
        ComparedPart("output0", "[:,:4]", 0.5),
        ComparedPart("/model/Concat_3"),
    )
    assert compared.shares == pytest.approx([2 / 4.5, 1 / 4.5, 0.5 / 4.5, 1 / 4.5])


@pytest.mark.parametrize(
    "text",
    [
        *("", "a,,b", "a=", "a=x", "a=0", "a=-1", "a=nan", "a=inf", "a[4:]", "a[:,4]", "a[:,::2]"),
        *("a[:,4:", "a]", "a[:,a:]", "a,a", "a[...]", "=2", "a[:,1:][:,2:]", "a[]"),
    ],
)
def test_what_cannot_be_read(text: str) -> None:
    with pytest.raises(UsageError):
        Compared.parse(text)


@pytest.mark.parametrize("kind", [np.array, torch.tensor])
def test_arrays_and_tensors(kind) -> None:
    values = np.arange(24.0).reshape(2, 3, 4)
    compared = Compared.parse("y[:,1:],y[:,:,-2:],z")
    found = compared.select({"y": kind(values), "z": kind(values[:, 0]), "more": kind(1.0)})
    assert list(found) == ["y[:,1:]", "y[:,:,-2:]", "z"]
    np.testing.assert_array_equal(found["y[:,1:]"], values[:, 1:])
    np.testing.assert_array_equal(found["y[:,:,-2:]"], values[:, :, -2:])


def test_what_is_not_there() -> None:
    outputs = {"boxes": np.zeros((2, 4)), "scores": np.zeros((2, 3))}
    with pytest.raises(ModelError, match=r"no output 'y' to compare; it has boxes, scores"):
        Compared.parse("y").check(outputs)
    with pytest.raises(UsageError, match=r"\[:,4:\] takes nothing of scores, .* \(n, 3\)"):
        Compared.parse("boxes,scores[:,4:]").check(outputs)
    with pytest.raises(UsageError, match="takes nothing"):
        Compared.parse("boxes[:,:,:2]").check(outputs)


def test_the_error_is_what_a_script_computes() -> None:
    rng = np.random.default_rng(0)
    wanted = {"a": rng.normal(size=(6, 5)), "b": 100 * rng.normal(size=(6, 2, 3))}
    given = {name: one + 0.1 * rng.normal(size=one.shape) for name, one in wanted.items()}
    error = NetworkError.of(Compared.parse("a=3,b"), wanted, given, 3)
    parts = [np.linalg.norm(given[n] - wanted[n]) / np.linalg.norm(wanted[n]) for n in "ab"]
    assert list(error.by_part.values()) == pytest.approx(parts)
    assert error.value == pytest.approx(np.sqrt(0.75 * parts[0] ** 2 + 0.25 * parts[1] ** 2))
    assert error.contributions.sum() == pytest.approx(error.value**2)
    last = [
        np.linalg.norm((given[n] - wanted[n])[4:]) / np.linalg.norm(wanted[n][4:]) for n in "ab"
    ]
    assert error.by_picture[2] == pytest.approx(np.sqrt(0.75 * last[0] ** 2 + 0.25 * last[1] ** 2))
    assert len(error.by_picture) == 3


def test_errors_without_bounds() -> None:
    whole, ones = Compared.whole(["y"]), np.ones((2, 3))
    assert NetworkError.of(whole, {"y": ones}, {"y": ones * np.nan}).value == np.inf
    assert NetworkError.of(whole, {"y": 0 * ones}, {"y": ones}).value == np.inf
    assert NetworkError.of(whole, {"y": 0 * ones}, {"y": 0 * ones}).value == 0
    half = NetworkError.of(whole, {"y": ones * [[0], [1]]}, {"y": ones})
    assert (half.value, half.by_picture.tolist()) == (1, [pytest.approx(2**0.5), 0])
    with pytest.raises(UsageError, match="cannot be compared"):
        NetworkError.of(whole, {"y": ones}, {"y": ones[:, :2]})


def sized(sizes: list[float], shape=(8, -1)) -> np.ndarray:
    """An output whose channels, on the axis that is -1, have these sizes."""
    axis = shape.index(-1)
    full = [len(sizes) if n == -1 else n for n in shape]
    noise = np.random.default_rng(0).normal(size=full)
    across = tuple(one for one in range(len(full)) if one != axis)
    noise /= np.sqrt(np.mean(noise**2, axis=across, keepdims=True))
    return noise * np.reshape(sizes, [-1 if one == axis else 1 for one in range(len(full))])


BOXES = [300.0, 200, 90, 80]


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ([*BOXES, 0.5, 0.001, 0.2], ["[:,:4]", "[:,4:]"]),
        ([0.5, 0.001, 0.2, *BOXES], ["[:,:3]", "[:,3:]"]),
        ([*BOXES, 0.5, 0.2, 0.01, 0.012], ["[:,:4]", "[:,4:6]", "[:,6:]"]),
        ([3.0, 100, 200, 0.1], ["[:,:1]", "[:,1:3]", "[:,3:]"]),
        ([1.0, 100, 1, 100], []),
        ([1.0, 9, 1, 9], []),
        ([100.0, 0, 90, 1e-9, 0.1], ["[:,:4]", "[:,4:]"]),
        ([0.0, 0], []),
        ([5.0], []),
    ],
)
@pytest.mark.parametrize("shape", [(8, -1), (2, -1, 40), (2, -1, 6, 7)])
def test_groups_of_channels(sizes: list[float], groups: list[str], shape) -> None:
    assert size_groups(sized(sizes, shape)) == groups


def test_channels_on_the_last_axis() -> None:
    assert size_groups(sized([*BOXES, 0.5, 0.1], (2, 40, -1))) == ["[:,:,:4]", "[:,:,4:]"]
    assert size_groups(sized([*BOXES, 0.5, 0.1], (2, 4, 4, -1))) == []


def test_few_numbers_say_nothing() -> None:
    assert size_groups(sized([100.0, 0.1], (4, -1))) == []
