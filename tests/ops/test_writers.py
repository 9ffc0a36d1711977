"""Both writers against each other, against NumPy, and against ONNX's own checker."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rankwise.errors import LayerError
from rankwise.ops.chain import Chain, LinkWeights, random_weights
from rankwise.ops.onnx_writer import chain_model, chain_nodes
from rankwise.ops.reference import reference
from rankwise.ops.torch_writer import to_torch
from rankwise.records import LayerSpec

SMALL = st.integers(1, 4)


@st.composite
def convolutions(draw: st.DrawFn, input_shape: tuple[int, ...]) -> LayerSpec:
    """Any convolution on this input, transposed ones too, whose output is not empty."""
    channels, *sizes = input_shape
    axes = len(sizes)

    def numbers(least: int, most: int) -> tuple[int, ...]:
        return draw(st.tuples(*[st.integers(least, most)] * axes))

    transposed = draw(st.booleans())
    groups = draw(st.sampled_from([g for g in range(1, channels + 1) if channels % g == 0]))
    stride, dilation, kernel = numbers(1, 3), numbers(1, 3), numbers(1, 3)
    padding = numbers(0, 2) + numbers(0, 2)
    if not transposed:
        room = [n + padding[i] + padding[i + axes] for i, n in enumerate(sizes)]
        fitting = [(n - 1) // d + 1 for n, d in zip(room, dilation, strict=True)]
        kernel = tuple(map(min, kernel, fitting))
    spec = LayerSpec(
        f"conv_transpose{axes}d" if transposed else f"conv{axes}d",
        channels,
        groups * draw(SMALL),
        input_shape,
        kernel,
        stride,
        padding,
        dilation,
        groups,
        draw(st.booleans()),
    )
    if transposed:
        added = numbers(0, 2)
        added = tuple(min(n, s - 1) for n, s in zip(added, stride, strict=True))
        spec = replace(spec, output_padding=added)
    return spec if min(spec.output_shape) > 0 else replace(spec, padding=(0,) * (2 * axes))


@st.composite
def convolution_chains(draw: st.DrawFn) -> Chain:
    sizes = st.lists(st.integers(3, 9), min_size=1, max_size=2) | st.just([3, 4, 5])
    shape = (draw(st.integers(1, 6)), *draw(sizes))
    links = []
    for _ in range(draw(st.integers(1, 3))):
        links.append(draw(convolutions(shape)))
        shape = links[-1].output_shape
        if np.prod(shape) > 5000:
            break
    return Chain(tuple(links))


@st.composite
def linear_chains(draw: st.DrawFn) -> Chain:
    shape = (*draw(st.lists(SMALL, max_size=2)), draw(SMALL))
    links = []
    for _ in range(draw(st.integers(1, 3))):
        spec = LayerSpec("linear", shape[-1], draw(SMALL), shape, bias=draw(st.booleans()))
        links.append(spec)
        shape = spec.output_shape
    return Chain(tuple(links))


CHAINS = st.one_of(convolution_chains(), linear_chains())


def computed(chain: Chain, weights: tuple[LinkWeights, ...], images: np.ndarray) -> list:
    """By torch, by ONNX Runtime, by definition."""
    with torch.inference_mode():
        by_torch = to_torch(chain, weights)(torch.from_numpy(images)).numpy()
    model = chain_model(chain, weights, len(images))
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (by_onnx,) = session.run(None, {"input": images})
    return [by_torch, by_onnx, reference(chain, weights, images)]


def inputs(chain: Chain, batch: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((batch, *chain.input_shape), dtype=np.float32)


@settings(max_examples=60)
@given(CHAINS, st.integers(1, 2), st.integers(0, 2**32 - 1))
def test_writers_agree(chain: Chain, batch: int, seed: int) -> None:
    images = inputs(chain, batch, seed)
    by_torch, by_onnx, wanted = computed(chain, random_weights(chain, seed), images)
    scale = 1e-5 * max(1.0, np.abs(wanted).max())
    for found in (by_torch, by_onnx):
        assert found.shape == (batch, *chain.output_shape)
        assert np.abs(found - wanted).max() <= scale
    assert np.abs(by_torch - by_onnx).max() <= scale


@settings(max_examples=25)
@given(CHAINS)
def test_onnx_infers_the_shapes_that_the_chain_has(chain: Chain) -> None:
    """Of every link, from the nodes alone: the declared output is taken out first."""
    model = chain_model(chain, random_weights(chain), 2)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    values = {v.name: v for v in (*inferred.graph.value_info, *inferred.graph.output)}
    names = [f"link.{number}.out" for number in range(len(chain.links) - 1)] + ["output"]
    for name, link in zip(names, chain.links, strict=True):
        dims = values[name].type.tensor_type.shape.dim
        assert tuple(d.dim_value for d in dims) == (2, *link.output_shape)


CONV = LayerSpec("conv2d", 4, 6, (4, 8, 8), (3, 3), padding=(1, 1, 1, 1))
VECTOR = LayerSpec("linear", 4, 6, (4,))


def test_equal_padding_needs_no_layer_of_its_own() -> None:
    def kinds(spec: LayerSpec) -> list[str]:
        chain = Chain((spec,))
        return [type(part).__name__ for part in to_torch(chain, random_weights(chain))]

    assert kinds(CONV) == ["Conv2d"]
    assert kinds(replace(CONV, padding=(1, 2, 1, 2))) == ["Conv2d"]
    assert kinds(replace(CONV, padding=(1, 1, 1, 2))) == ["ZeroPad2d", "Conv2d"]


def test_torch_modules_are_ready_to_run() -> None:
    chain = Chain((CONV,))
    module = to_torch(chain, random_weights(chain))
    assert not any(part.training for part in module.modules())
    assert all(p.dtype == torch.float32 for p in module.parameters())


@pytest.mark.parametrize(
    ("spec", "operators"),
    [
        (CONV, ["Conv"]),
        (VECTOR, ["Gemm"]),
        (replace(VECTOR, bias=False), ["Gemm"]),
        (replace(VECTOR, input_shape=(3, 4)), ["MatMul", "Add"]),
        (replace(VECTOR, input_shape=(3, 4), bias=False), ["MatMul"]),
    ],
)
def test_operators(spec: LayerSpec, operators: list[str]) -> None:
    chain = Chain((spec,))
    nodes, _ = chain_nodes(chain, random_weights(chain), "in", "out", "p")
    assert [node.op_type for node in nodes] == operators
    assert (nodes[0].input[0], nodes[-1].output[0]) == ("in", "out")


def test_vectors_without_gemm() -> None:
    """As files want it that are older than opset 7."""
    chain = Chain((VECTOR,))
    nodes, _ = chain_nodes(chain, random_weights(chain), "in", "out", "p", gemm=False)
    assert [node.op_type for node in nodes] == ["MatMul", "Add"]


@given(CHAINS)
def test_names_begin_with_the_prefix_and_are_unique(chain: Chain) -> None:
    nodes, tensors = chain_nodes(chain, random_weights(chain), "in", "out", "layer1/conv")
    made = [name for node in nodes for name in (node.name, *node.output)]
    made += [tensor.name for tensor in tensors]
    assert len(set(made)) == len(made)
    assert all(name.startswith("layer1/conv.") for name in made if name != "out")


def test_weights_may_be_views_and_of_another_dtype() -> None:
    """Factors come out of an SVD as float64, transposed or reversed."""
    chain = Chain((VECTOR,))
    (one,) = random_weights(chain)
    odd = LinkWeights(one.weight.astype(np.float64)[::-1, ::-1], one.bias[::-1])
    plain = LinkWeights(one.weight[::-1, ::-1].copy(), one.bias[::-1].copy())
    images = inputs(chain, 2)
    by_torch, by_onnx, _ = computed(chain, (odd,), images)
    wanted_of_torch, wanted_of_onnx, _ = computed(chain, (plain,), images)
    assert np.array_equal(by_torch, wanted_of_torch)
    assert np.array_equal(by_onnx, wanted_of_onnx)


@pytest.mark.parametrize("opset", [13, 17, 21])
def test_opset_is_the_one_asked_for(opset: int) -> None:
    chain = Chain((CONV,))
    model = chain_model(chain, random_weights(chain), 1, opset)
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", opset)]


BAD_WEIGHTS = {
    "too few": (),
    "another shape": (LinkWeights(np.zeros((6, 4, 1, 1), np.float32), np.zeros(6, np.float32)),),
    "no bias": (LinkWeights(np.zeros((6, 4, 3, 3), np.float32)),),
    "another bias": (LinkWeights(np.zeros((6, 4, 3, 3), np.float32), np.zeros(1, np.float32)),),
}


@pytest.mark.parametrize("weights", BAD_WEIGHTS.values(), ids=BAD_WEIGHTS)
def test_weights_of_another_chain_are_refused(weights: tuple[LinkWeights, ...]) -> None:
    chain = Chain((CONV,))
    for write in (
        lambda: to_torch(chain, weights),
        lambda: chain_nodes(chain, weights, "in", "out", "p"),
    ):
        with pytest.raises(LayerError, match=r"need|must"):
            write()


def test_a_bias_that_is_not_wanted_is_refused() -> None:
    chain = Chain((CONV,))
    bare = Chain((replace(CONV, bias=False),))
    with pytest.raises(LayerError, match="bias"):
        to_torch(bare, random_weights(chain))
    with pytest.raises(LayerError, match="bias"):
        chain_model(bare, random_weights(chain), 1)
