"""Cotangents and output metrics, against closed forms and Jacobians."""

from __future__ import annotations

import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rankwise.errors import ModelError
from rankwise.factors import output_metrics as metrics_module
from rankwise.factors.cotangents import Cotangents
from rankwise.factors.output_metrics import output_metrics
from rankwise.models.compared import Compared, ComparedPart
from rankwise.models.onnx_network import OnnxNetwork
from rankwise.models.torch_network import TorchNetwork
from rankwise.models.torch_outputs import compared_tensors

ALL = 10_000
"""More directions than any output here has values: they are a basis, and nothing is left to
chance."""


def inputs_of(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


def outputs_of(module: nn.Module, inputs: np.ndarray) -> dict[str, np.ndarray]:
    with torch.no_grad():
        found = compared_tensors(module, torch.from_numpy(inputs))
    return {name: tensor.numpy() for name, tensor in found.items()}


def metrics_of(module, inputs, *names, batch=1, count=ALL, compared=None, seed=0):
    outputs = outputs_of(module.eval(), inputs)
    cotangents = Cotangents.of(compared or Compared.whole(outputs), outputs, count, seed)
    network = TorchNetwork(module, "test", (batch, *inputs.shape[1:]))
    return output_metrics(network.differentiable(), inputs, names, cotangents)


def linear_chain(*widths: int, bias: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Linear(a, b, bias=bias) for a, b in pairwise(widths))).eval()


def test_directions_have_the_identity_as_their_second_moment():
    outputs = {"output": inputs_of(3000, 6)}
    cotangents = Cotangents.of(Compared.whole(outputs), outputs, 3, 0)
    parts = {"output": torch.zeros(1, 6)}
    second = np.zeros((6, 6))
    for number in range(3000):
        for direction in cotangents.directions(parts, {0: number}):
            second += np.outer(direction["output"], direction["output"])
    expected = np.eye(6) / np.linalg.norm(outputs["output"]) ** 2
    np.testing.assert_allclose(second / 3000, expected, atol=0.05 * expected.max())


def test_as_many_directions_as_values_are_exact_and_no_more_are_made():
    outputs = {"a": inputs_of(2, 3), "b": 100 * inputs_of(2, 2, 2)}
    cotangents = Cotangents.of(Compared.whole(outputs), outputs, 50, 0)
    parts = {"a": torch.zeros(2, 3), "b": torch.zeros(2, 2, 2)}
    found = list(cotangents.directions(parts, {1: 0}))
    assert len(found) == 7
    rows = np.stack([np.concatenate([d[name][1].flatten() for name in "ab"]) for d in found])
    norms = [np.linalg.norm(outputs[name]) for name in "ab"]
    expected = np.diag([0.5 / norms[0] ** 2] * 3 + [0.5 / norms[1] ** 2] * 4)
    np.testing.assert_allclose(rows.T @ rows, expected, atol=1e-7)
    assert all((d[name][0] == 0).all() for d in found for name in "ab")


def test_examples_that_lose_more_have_more_directions():
    outputs = {"output": inputs_of(4, 6)}
    losses = np.array([0.0, 1.0, 2.0, 5.0])
    cotangents = Cotangents.of(Compared.whole(outputs), outputs, 4, 0, losses)
    assert cotangents.counts.tolist() == [1, 2, 4, 10]
    found = list(cotangents.directions({"output": torch.zeros(3, 6)}, {0: 1, 2: 3}))
    rows = np.stack([direction["output"].numpy() for direction in found])
    assert [np.count_nonzero(rows[:, row].any(axis=1)) for row in range(3)] == [2, 0, 6]
    # two directions make up for four that are missing, and six are a basis
    norm = np.linalg.norm(outputs["output"])
    squares = np.square(rows).sum(axis=(0, 2)) * norm**2
    np.testing.assert_allclose(squares, [6, 0, 6], rtol=1e-5)
    without = Cotangents.of(Compared.whole(outputs), outputs, 4, 0, np.zeros(4))
    assert without.counts.tolist() == [4] * 4


def test_the_metric_of_one_layer_gives_the_exact_error():
    module, inputs = linear_chain(5, 4), inputs_of(7, 5)
    change = 0.1 * inputs_of(4, 5)
    second = inputs.T @ inputs / 7
    metric = metrics_of(module, inputs, "0")["0"]
    changed = copy.deepcopy(module)
    with torch.no_grad():
        changed[0].weight += torch.from_numpy(change)
    before, after = (outputs_of(m, inputs)["output"] for m in (module, changed))
    error_sq = np.sum((after - before) ** 2) / np.sum(before**2)
    assert np.trace(metric @ change @ second @ change.T) == pytest.approx(error_sq, rel=1e-5)


def test_metrics_of_a_linear_chain_are_its_jacobians():
    module, inputs = linear_chain(5, 4, 6, 3), inputs_of(7, 5)
    found = metrics_of(module, inputs, "0", "1", "2")
    norm = np.linalg.norm(outputs_of(module, inputs)["output"])
    jacobian = np.eye(3)
    for name in ("2", "1", "0"):
        np.testing.assert_allclose(found[name], 7 / norm**2 * jacobian.T @ jacobian, atol=1e-5)
        jacobian = jacobian @ module[int(name)].weight.detach().numpy()


class Convolutions(nn.Module):
    """A grouped one with stride, padding and dilation behind one that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.twice = nn.Conv2d(4, 4, 3, padding=1)
        self.odd = nn.Conv2d(4, 6, 3, stride=2, padding=(1, 2), dilation=(2, 1), groups=2)
        self.norm = nn.BatchNorm2d(6)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.odd(torch.tanh(self.twice(torch.tanh(self.twice(x))))))


def jacobian_metric(module: nn.Module, inputs: np.ndarray, name: str) -> np.ndarray:
    """Each call's output is moved by a variable, by which torch's Jacobian is taken."""
    part = module.get_submodule(name)
    total: np.ndarray | float = 0.0
    for one in torch.from_numpy(inputs):
        shapes: list[torch.Size] = []
        note = part.register_forward_hook(lambda _p, _a, out, to=shapes: to.append(out.shape))
        module(one[None])
        note.remove()

        def moved(*shifts: Tensor, given: Tensor = one) -> Tensor:
            left = list(shifts)
            hook = part.register_forward_hook(lambda _p, _a, out: out + left.pop(0))
            try:
                return module(given[None]).flatten()
            finally:
                hook.remove()

        zeros = tuple(torch.zeros(shape) for shape in shapes)
        for jacobian in torch.autograd.functional.jacobian(moved, zeros):
            rows = jacobian.moveaxis(2, -1).reshape(-1, shapes[0][1]).numpy()
            total = total + rows.T @ rows
    return total / np.sum(outputs_of(module, inputs)["output"] ** 2)


def test_metrics_of_convolutions_are_sums_over_positions_and_calls():
    torch.manual_seed(0)
    module, inputs = Convolutions().eval(), inputs_of(3, 4, 6, 7)
    found = metrics_of(module, inputs, "twice", "odd")
    for name in found:
        np.testing.assert_allclose(
            found[name], jacobian_metric(module, inputs, name), rtol=1e-4, atol=1e-7
        )


def test_positions_that_are_left_out_are_made_up_for():
    """Where all positions are alike in what follows, a sample stands for all exactly."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(2, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    small, large = (metrics_of(module, inputs_of(2, 2, s, s), "0", count=3)["0"] for s in (4, 64))
    norms = [np.linalg.norm(outputs_of(module, inputs_of(2, 2, s, s))["output"]) for s in (4, 64)]
    # a position's share falls as their number, and so does the sum of its squares
    np.testing.assert_allclose(large * (64 * norms[1]) ** 2, small * (4 * norms[0]) ** 2, atol=1e-5)


def test_batches_make_no_difference(monkeypatch):
    """The network's own batch is 3: five examples leave one place to fill."""
    torch.manual_seed(0)
    module, inputs = Convolutions().eval(), inputs_of(5, 4, 6, 7)
    names = ("twice", "odd")
    expected = metrics_of(module, inputs, *names, count=4)
    assert not np.allclose(
        expected["odd"], metrics_of(module, inputs, *names, count=4, seed=1)["odd"], rtol=1e-2
    )
    for batch, together in [(1, 1), (1, 2), (3, 1)]:
        monkeypatch.setattr(metrics_module, "BATCH", together)
        found = metrics_of(module, inputs, *names, batch=batch, count=4)
        for name in names:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-7)


class TwoHeads(nn.Module):
    def __init__(self, size: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.left, self.right = nn.Linear(5, 4), nn.Linear(4, 3), nn.Linear(4, 2)
        with torch.no_grad():
            self.right.weight *= size
            self.right.bias *= size

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.tanh(self.body(x))
        return self.left(x), self.right(x)


def test_outputs_of_any_size_count_alike():
    inputs = inputs_of(6, 5)
    small, large = (metrics_of(TwoHeads(size), inputs, "body")["body"] for size in (1.0, 1000.0))
    np.testing.assert_allclose(small, large, rtol=1e-4)


def test_weights_and_selections_of_outputs_count():
    inputs = inputs_of(6, 5)
    whole = [
        metrics_of(TwoHeads(), inputs, "body", compared=Compared.whole([name]))["body"]
        for name in ("output0", "output1")
    ]
    parts = (ComparedPart("output0", weight=3.0), ComparedPart("output1"))
    weighted = metrics_of(TwoHeads(), inputs, "body", compared=Compared(parts))["body"]
    np.testing.assert_allclose(weighted, 0.75 * whole[0] + 0.25 * whole[1], rtol=1e-4)
    part = Compared((ComparedPart("output0", "[:,1:]"),))
    metric = metrics_of(TwoHeads(), inputs, "left", compared=part)["left"]
    assert np.abs(metric[0]).max() < 1e-9 < metric[1, 1]


def test_layers_without_influence_have_no_metric():
    one = Compared.whole(["output0"])
    found = metrics_of(TwoHeads(), inputs_of(6, 5), "body", "right", compared=one)
    assert found["body"].any()
    assert found["right"].shape == (2, 2)
    assert not found["right"].any()


class InPlace(nn.Module):
    """What is written over would be needed by the backward pass."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.last = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
        self.in_place = in_place

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.relu(self.first(x), inplace=self.in_place)
        z = torch.sigmoid(self.second(y))
        if self.in_place:
            y += z
            z *= y
            return self.last(z).mul_(2)
        y = y + z
        return self.last(z * y) * 2


def test_in_place_operations_change_nothing():
    names = ("first", "second", "last")
    inputs = inputs_of(2, 3, 5, 5)
    plain, in_place = (metrics_of(InPlace(way), inputs, *names) for way in (False, True))
    for name in names:
        np.testing.assert_allclose(in_place[name], plain[name], rtol=1e-5)


def test_the_module_is_left_as_it_was():
    module = linear_chain(5, 4, 3)
    metrics_of(module, inputs_of(2, 5), "0", "1")
    assert all(p.requires_grad and p.grad is None for p in module.parameters())
    shared = TorchNetwork(module, "test", (1, 5)).differentiable().module
    for mine, others in zip(module.parameters(), shared.parameters(), strict=True):
        assert mine.data_ptr() == others.data_ptr()


class Detached(nn.Module):
    def __init__(self, inner: bool) -> None:
        super().__init__()
        self.layer, self.inner = nn.Linear(5, 3), inner

    def forward(self, x: Tensor) -> Tensor:
        with torch.set_grad_enabled(not self.inner):
            return self.layer(x) if self.inner else torch.round(self.layer(x)).detach()


@pytest.mark.parametrize("inner", [True, False])
def test_a_network_that_gives_no_gradient_is_refused(inner):
    with pytest.raises(ModelError, match=r"switches gradients off|no gradient"):
        metrics_of(Detached(inner), inputs_of(2, 5), "layer")


def test_an_onnx_file_has_the_metrics_of_the_module_it_was_made_of(tmp_path):
    torch.manual_seed(0)
    module, inputs = Convolutions().eval(), inputs_of(3, 4, 6, 7)
    expected = metrics_of(module, inputs, "odd")["odd"]
    network = TorchNetwork(module, "test", (1, 4, 6, 7))
    onnx = OnnxNetwork.load(network.to_onnx(tmp_path / "net.onnx"))
    outputs = onnx.outputs(inputs)
    cotangents = Cotangents.of(Compared.whole(outputs), outputs, ALL, 0)
    name = onnx.layers[-1].name
    found = output_metrics(onnx.differentiable(), inputs, [name], cotangents)[name]
    # The exporter folds the normalisation into the layer before it.
    scale = (module.norm.weight / torch.sqrt(module.norm.running_var + module.norm.eps)).detach()
    np.testing.assert_allclose(found * np.outer(scale, scale), expected, rtol=1e-3, atol=1e-6)


def test_an_onnx_operator_that_torch_lacks_is_named(network_file):
    network = OnnxNetwork.load(network_file)
    next(node for node in network.model.graph.node if node.op_type == "Relu").op_type = "Celu"
    with pytest.raises(ModelError, match="Celu"):
        network.differentiable()
