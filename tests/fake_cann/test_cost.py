"""Virtual times: the staircase of 16 and 32, against counting tiles one by one."""

from __future__ import annotations

import numpy as np
import pytest
from fake_cann.cost import BYTES_PER_S, NODE_S, TILE_S, Work, device_seconds
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper, shape_inference

sides = st.integers(1, 70)


@given(m=sides, n=sides, channels=sides, area=st.integers(1, 9), groups=st.integers(1, 3))
def test_tiles_are_counted(m: int, n: int, channels: int, area: int, groups: int) -> None:
    for is_int8, k_tile in ((False, 16), (True, 32)):
        work = Work(m, n, channels, area, groups, is_int8)
        one_by_one = sum(
            1
            for _ in range(groups)
            for _ in range(0, m, 16)
            for _ in range(0, n, 16)
            for _ in range(area)
            for _ in range(0, channels, k_tile)
        )
        assert work.tiles() == one_by_one
        assert work.macs == groups * m * n * channels * area


def _seconds(rank: int, precision: str = "float16", op: str = "MatMul") -> float:
    """A product of 16 x 256 by 256 x rank by rank x 256."""
    int8 = op == "MatMulInteger"
    kind = TensorProto.INT8 if int8 else TensorProto.FLOAT
    weights = [np.zeros((256, rank)), np.zeros((rank, 256))]
    arrays = [
        numpy_helper.from_array(w.astype("i1" if int8 else "f4"), n)
        for w, n in zip(weights, "ab", strict=True)
    ]
    cast = [helper.make_node("Cast", ["h"], ["c"], to=kind)] if int8 else []
    nodes = [
        helper.make_node(op, ["x", "a"], ["h"]),
        *cast,
        helper.make_node(op, ["c" if int8 else "h", "b"], ["y"]),
    ]
    out = TensorProto.INT32 if int8 else TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, [16, 256])],
        [helper.make_tensor_value_info("y", out, [16, 256])],
        arrays,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    seconds, _ = device_seconds(shape_inference.infer_shapes(model).graph, precision, 0)
    return seconds


@pytest.mark.parametrize("first", [1, 17, 33, 49])
def test_sixteen_ranks_cost_the_same(first: int) -> None:
    assert len({_seconds(rank) for rank in range(first, first + 16)}) == 1
    assert _seconds(first) < _seconds(first + 16)


def test_half_precision_exactly() -> None:
    """Rank 17 is 2 tiles wide: 16 x 2 of the first product, 2 x 16 of the second."""
    assert _seconds(17) == pytest.approx(2 * NODE_S + (16 * 2 + 2 * 16) * TILE_S)
    assert _seconds(32) == _seconds(17)


def test_full_precision_is_slower() -> None:
    wide, half = (_seconds(64, precision) - 2 * NODE_S for precision in ("float32", "float16"))
    assert wide == pytest.approx(4 * half)


@pytest.mark.parametrize(
    ("rank", "tiles"), [(16, 24), (17, 32), (32, 32), (33, 56), (48, 56), (49, 64), (64, 64)]
)
def test_int8_has_steps_of_32_where_the_rank_is_summed_over(rank: int, tiles: int) -> None:
    """As the output of the first product (8 tiles of K) it steps at 16, as K of the second (16
    tiles of N) at 32. Between the two is a Cast, of 2 bytes an element."""
    cast_s = NODE_S + 16 * rank * 2 / BYTES_PER_S
    wanted = 2 * NODE_S + tiles * TILE_S + cast_s
    assert _seconds(rank, op="MatMulInteger") == pytest.approx(wanted)
