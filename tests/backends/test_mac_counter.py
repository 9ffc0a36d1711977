"""Counting a network's multiply-accumulates, in files and in modules."""

from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto, helper

from rankwise.backends.mac_counter import Operator, operators_in_file, operators_in_module
from rankwise.errors import MeasurementError
from rankwise.ops.made_up import InputSpec

FLOAT = TensorProto.FLOAT


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    shape: list[object],
    weights: dict[str, list[int]],
    inputs_too: bool = False,
) -> Path:
    """A network x -> y whose weights are all zero."""
    zeros = [
        helper.make_tensor(n, FLOAT, d, bytes(4 * _size(d)), raw=True) for n, d in weights.items()
    ]
    inputs = [helper.make_tensor_value_info(n, FLOAT, d) for n, d in weights.items() if inputs_too]
    inputs.append(helper.make_tensor_value_info("x", FLOAT, shape))
    output = helper.make_tensor_value_info("y", FLOAT, None)
    graph = helper.make_graph(nodes, "network", inputs, [output], zeros)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)
    return path


def picture(shape: tuple[int, ...]) -> list[InputSpec]:
    return [InputSpec("x", shape)]


def _size(dims: list[int]) -> int:
    return dims[0] * _size(dims[1:]) if dims else 1


def conv(**attributes: object) -> list[onnx.NodeProto]:
    return [helper.make_node("Conv", ["x", "w"], ["y"], **attributes)]


def test_a_convolution_by_hand(tmp_path: Path) -> None:
    nodes = conv(strides=[2, 2], pads=[1, 1, 0, 0], group=2)
    path = save(tmp_path / "n.onnx", nodes, ["batch", 4, 9, 11], {"w": [6, 2, 3, 3]})
    found = operators_in_file(path, picture((5, 4, 9, 11)))
    assert found == [Operator(4, 6, 6 * 2 * 9 * 5 * 4 * 5)]


def test_weights_that_are_inputs_too(tmp_path: Path) -> None:
    """As in files of IR version 3, where every initializer had to be listed."""
    path = save(tmp_path / "n.onnx", conv(), [1, 4, 5, 5], {"w": [6, 4, 1, 1]}, inputs_too=True)
    assert operators_in_file(path, picture((1, 4, 5, 5))) == [Operator(4, 6, 6 * 4 * 25)]


def test_one_spatial_axis(tmp_path: Path) -> None:
    path = save(tmp_path / "n.onnx", conv(), [1, 4, 7], {"w": [6, 4, 3]})
    assert operators_in_file(path, picture((1, 4, 7))) == [Operator(4, 6, 6 * 4 * 3 * 5)]


def test_a_transposed_convolution_by_hand(tmp_path: Path) -> None:
    """Each of the 5 x 6 positions of the input is spread by the whole kernel."""
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2], group=2)
    path = save(tmp_path / "n.onnx", [node], [3, 4, 5, 6], {"w": [4, 5, 3, 3]})
    wanted = [Operator(4, 10, 3 * (4 * 5 * 9) * 30)]
    assert operators_in_file(path, picture((3, 4, 5, 6))) == wanted
    module = torch.nn.ConvTranspose2d(4, 10, 3, 2, groups=2)
    assert operators_in_module(module, picture((3, 4, 5, 6))) == wanted


@pytest.mark.parametrize(("transposed", "dims"), [(0, [3, 5]), (1, [5, 3])])
def test_gemm_either_way_round(tmp_path: Path, transposed: int, dims: list[int]) -> None:
    node = helper.make_node("Gemm", ["x", "w"], ["y"], transB=transposed)
    path = save(tmp_path / "n.onnx", [node], [2, 3], {"w": dims})
    assert operators_in_file(path, picture((2, 3))) == [Operator(3, 5, 2 * 3 * 5)]


def test_products_of_two_activations(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["x", "t"], ["y"]),
    ]
    path = save(tmp_path / "n.onnx", nodes, [2, 3, 7], {})
    assert operators_in_file(path, picture((2, 3, 7))) == [Operator(7, 3, 2 * 3 * 3 * 7)]


@pytest.mark.parametrize("shape", [(1, 4, 5), (1, 5, 5, 5), (2, 4, 5, 5)], ids=str)
def test_another_input_than_the_file_says(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = save(tmp_path / "n.onnx", conv(), [1, 4, 5, 5], {"w": [6, 4, 1, 1]})
    with pytest.raises(MeasurementError, match="does not fit input 'x'") as caught:
        operators_in_file(path, picture(shape))
    assert caught.value.stage == "prepare"


def test_a_shape_that_only_the_data_tells(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["where"]),
        helper.make_node("Cast", ["where"], ["numbers"], to=FLOAT),
        helper.make_node("MatMul", ["w", "numbers"], ["y"]),
    ]
    path = save(tmp_path / "n.onnx", nodes, [3, 4], {"w": [6, 2]})
    with pytest.raises(MeasurementError, match="cannot be inferred"):
        operators_in_file(path, picture((3, 4)))


class Shared(torch.nn.Module):
    """One layer called twice, another never."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.unused = torch.nn.Linear(7, 7)
        self.head = torch.nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.conv(self.conv(x)).mean((2, 3)))


def test_a_module_counts_by_calls() -> None:
    conv_macs, head_macs = 2 * (4 * 2 * 9) * 30, 2 * 4 * 3
    found = operators_in_module(Shared(), picture((2, 4, 5, 6)))
    assert found == [
        Operator(4, 4, conv_macs),
        Operator(4, 4, conv_macs),
        Operator(4, 3, head_macs),
    ]


def test_a_module_that_fails() -> None:
    with pytest.raises(MeasurementError, match="the module failed") as caught:
        operators_in_module(Shared(), picture((2, 5, 5, 6)))
    assert caught.value.stage == "prepare"
