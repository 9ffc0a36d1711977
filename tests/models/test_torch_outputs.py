"""What of a torch module's answer is compared, and under which names."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rankwise.errors import ModelError
from rankwise.models.source import network_of_module
from rankwise.models.torch_batches import fitting_batch
from rankwise.models.torch_outputs import compared_tensors


class Both(NamedTuple):
    boxes: Any
    scores: Any


@dataclass
class Fields:
    boxes: Any
    scores: Any = None


class Answering(nn.Module):
    """A convolution, of whose output `answer` makes what the module answers."""

    def __init__(self, answer: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.conv, self.answer = nn.Conv2d(3, 4, 1), answer

    def forward(self, x: Tensor) -> Any:
        return self.answer(self.conv(x))


def found(answer: Callable[[Tensor], Any], batch: int = 2) -> tuple[dict[str, Tensor], Tensor]:
    """The tensors that are compared, and the convolution's output."""
    torch.manual_seed(0)
    module, x = Answering(answer), torch.randn(batch, 3, 5, 5)
    return compared_tensors(module, x), module.conv(x)


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        (lambda y: y, ["output"]),
        (lambda y: (y, 2 * y), ["output0", "output1"]),
        (lambda y: [y, None, 2 * y], ["output0", "output2"]),
        (lambda y: {"boxes": y, "scores": 2 * y}, ["boxes", "scores"]),
        (lambda y: OrderedDict(b=y, a=2 * y), ["b", "a"]),
        (lambda y: Both(y, 2 * y), ["boxes", "scores"]),
        (lambda y: Fields(y), ["boxes"]),
        (lambda y: Fields(y, 2 * y), ["boxes", "scores"]),
        (lambda y: {"a": (y, 2 * y), "b": {"c": 3 * y}, 7: 4 * y}, ["a0", "a1", "b.c", "7"]),
        (lambda y: [{"boxes": y}, Both(2 * y, [3 * y])], ["output0.boxes", "output1.boxes"]),
        (lambda y: (y, "text", 3, y[:, :2]), ["output0", "output3"]),
        (lambda y: {"a": (y,), "a0": 2 * y}, ["a0", "a0_"]),
    ],
)
def test_names(answer: Callable[[Tensor], Any], names: list[str]) -> None:
    tensors, _ = found(answer)
    assert list(tensors)[: len(names)] == names


@pytest.mark.parametrize(
    "end",
    [
        lambda y: y.softmax(1),
        lambda y: nn.functional.softmax(y, dim=1),
        lambda y: nn.Softmax(1)(y),
        lambda y: torch.log_softmax(y, 1),
        torch.sigmoid,
        lambda y: nn.Sigmoid()(y).flatten(1),
        lambda y: y.softmax(1).permute(0, 2, 3, 1).contiguous().view(len(y), -1),
        lambda y: y.argmax(1),
        lambda y: y.argmax(1).float(),
        lambda y: (y > 0).long() + 1,
        lambda y: (y.topk(2, dim=1).values, y.topk(2, dim=1).indices),
        lambda y: y.sigmoid().topk(2, dim=1),
        lambda y: (y, y.argmax(1)),
        lambda y: {"scores": y.softmax(1), "mask": y.sigmoid() > 0.5},
        lambda y: y.sort(1, descending=True),
        lambda y: torch.where(y > 0, 1, 2),
        lambda y: y.clone().sigmoid_(),
    ],
)
def test_what_ends_hide_is_compared(end: Callable[[Tensor], Any]) -> None:
    tensors, y = found(end)
    assert len(tensors) == 1
    torch.testing.assert_close(next(iter(tensors.values())), y)


def test_largest_values_are_compared_beside_where_they_are() -> None:
    tensors, y = found(lambda y: y.max(dim=1))
    torch.testing.assert_close(tensors["output0"], y.amax(1))
    torch.testing.assert_close(tensors["output1"], y)


def test_a_floating_output_lends_its_name() -> None:
    tensors, y = found(lambda y: {"label": y.argmax(1), "boxes": 2 * y, "scores": y.sigmoid()})
    assert list(tensors) == ["scores", "boxes"]
    torch.testing.assert_close(tensors["scores"], y)


def test_an_integer_of_two_tensors_stands_for_both() -> None:
    tensors, y = found(lambda y: {"kept": 2 * y[:, :1] > 3 * y[:, 1:]})
    assert list(tensors) == ["kept0", "kept1"]
    torch.testing.assert_close(tensors["kept0"], 2 * y[:, :1])


def test_a_tensor_that_changes_afterwards_is_compared_itself() -> None:
    def end(y: Tensor) -> Tensor:
        scores = y.sigmoid()
        scores[:, 0] = 0
        return scores

    tensors, y = found(end)
    assert not tensors["output"][:, 0].any()
    torch.testing.assert_close(tensors["output"][:, 1:], y.sigmoid()[:, 1:])


def test_the_batch_comes_first() -> None:
    tensors, y = found(lambda y: y.transpose(0, 1).softmax(0).transpose(0, 1))
    torch.testing.assert_close(tensors["output"], y.softmax(1))


@pytest.mark.parametrize("batch", [1, 2])
def test_what_cannot_be_compared_is_left_out(batch: int) -> None:
    network = network_of_module(
        Answering(
            lambda y: {"y": y, "mean": y.mean(), "anchors": y[0, 0], "count": torch.tensor(3)}
        ),
        (batch, 3, 5, 5),
    )
    assert network.output_names.compared == ("y",)
    assert set(network.output_names.left_out) == {"mean", "anchors", "count"}
    assert list(network.outputs(np.zeros((3, 3, 5, 5), np.float32))) == ["y"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda _y: {"found": torch.arange(4)}, "found is of type int64"),
        (lambda y: y.mean(), "output is one number for the whole batch"),
        (lambda y: y.sum(0), r"output has the shape \(4, 5, 5\)"),
    ],
)
def test_nothing_to_compare(answer: Callable[[Tensor], Any], reason: str) -> None:
    network = network_of_module(Answering(answer), (2, 3, 5, 5))
    with pytest.raises(ModelError, match=reason):
        network.outputs(np.zeros((2, 3, 5, 5), np.float32))


def test_one_example_may_lack_its_batch() -> None:
    network = network_of_module(Answering(lambda y: y.squeeze(0)), (1, 3, 5, 5))
    assert network.outputs(np.zeros((3, 3, 5, 5), np.float32))["output"].shape == (3, 4, 5, 5)


def test_no_tensor() -> None:
    with pytest.raises(ModelError, match="is a NoneType, not a tensor"):
        network_of_module(Answering(lambda _y: None), (1, 3, 5, 5))


def test_other_shapes_for_other_pictures() -> None:
    network = network_of_module(
        Answering(lambda y: (y, y.flatten(1)[:, y.sum(0).flatten() > 0])), (1, 3, 5, 5)
    )
    noise = np.random.default_rng(0).standard_normal((3, 3, 5, 5)).astype(np.float32)
    with pytest.raises(ModelError, match="output1 has another shape for other pictures"):
        network.outputs(noise)


def test_gradients_go_through() -> None:
    tensors, _ = found(lambda y: (y.softmax(1), y.argmax(1)))
    assert all(tensor.requires_grad for tensor in tensors.values())
    with torch.no_grad():
        tensors, _ = found(lambda y: y.softmax(1))
    assert not tensors["output"].requires_grad


def test_the_batch_that_all_outputs_take() -> None:
    assert fitting_batch(Answering(lambda y: (y, y.mean((2, 3)))), (1, 3, 5, 5), 4) == 4
    assert fitting_batch(Answering(lambda y: (y, y[:1])), (1, 3, 5, 5), 4) == 1


def test_nothing_is_held_while_a_network_runs() -> None:
    """Notes of tensors that have gone are gone, too: attention's scores of every layer, for one."""
    gone: list[bool] = []

    def end(y: Tensor) -> Tensor:
        for _ in range(3):
            scores = y.flatten(1)
            before, weight = weakref.ref(scores), scores.softmax(1)
            del scores
            y = y * weight.view_as(y)
            del weight
            gone.append(before() is None)
        return y

    with torch.no_grad():
        found(end)
    assert gone == [True, True, True]
