"""What is said where nobody has said how pictures become a network's input."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from rankwise.inputs.onnx_inputs import picture_shape
from rankwise.models.preprocess import preprocess_wanted


@pytest.mark.parametrize(
    ("shape", "usual"),
    [((3, 224, 224), "imagenet"), ((1, 28, 28), "unit"), ((3, 32, 32), "unit")],
)
def test_what_inputs_mostly_want_is_proposed(shape: tuple[int, ...], usual: str) -> None:
    assert f"mostly want --preprocess {usual};" in preprocess_wanted(shape)


@pytest.mark.parametrize("shape", [(224, 224, 3), (4, 64, 64), (10,)])
def test_nothing_is_proposed_where_there_are_several_ways(shape: tuple[int, ...]) -> None:
    assert "network's input: --preprocess imagenet, caffe-bgr, unit, a" in preprocess_wanted(shape)


@pytest.mark.parametrize(
    ("sizes", "shape"),
    [
        (("N", 3, 8, 8), (3, 8, 8)),
        ((1, 3, 8, 8), (3, 8, 8)),
        ((1, 3, "H", 8), None),
        ((), None),
    ],
)
def test_the_shape_is_the_file_s(
    sizes: tuple[object, ...], shape: tuple[int, ...] | None, tmp_path: Path
) -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, sizes)
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, sizes)
    node = helper.make_node("Relu", ["x"], ["y"])
    model = helper.make_model(helper.make_graph([node], "one", [value], [made]))
    onnx.save(model, tmp_path / "net.onnx")
    assert picture_shape(tmp_path / "net.onnx") == shape


def test_what_cannot_be_read_is_said_by_others(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_text("not a network")
    assert picture_shape(tmp_path / "net.onnx") is None
    assert picture_shape(tmp_path / "nosuch.onnx") is None
