"""Quantised networks: as accurate as the quantiser's own, honest for every output, refused in one
sentence where they must be."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, helper, numpy_helper

from rankwise.errors import CalibrationError, ModelError
from rankwise.inputs.examples import Given
from rankwise.models.compared import Compared
from rankwise.models.network import Network
from rankwise.models.network_error import NetworkError
from rankwise.models.onnx_network import OnnxNetwork
from rankwise.models.output_groups import size_groups
from rankwise.models.source import network_of_module
from rankwise.quantization.calibration import Ready
from rankwise.quantization.choice import MARGINS, balanced_by, quantised_network
from rankwise.quantization.integer_kernels import integer_products, left_in_float
from rankwise.quantization.recipe import PLAIN, Recipe
from rankwise.quantization.static_quantiser import calibrated

from .graphs import SHAPE, detector, falling_chain, model_of, network_of, pictures


def error(original: Network, other: Network, inputs: Given) -> float:
    compared = Compared.whole(original.output_names.compared)
    return NetworkError.of(compared, original.outputs(inputs), other.outputs(inputs)).value


def by_the_quantiser(network: OnnxNetwork, inputs: np.ndarray, folder: Path) -> OnnxNetwork:
    """What somebody gets who calls ONNX Runtime's quantiser alone."""
    from onnxruntime.quantization import QuantType, quantize_static

    rows = iter([{"input": row[None]} for row in inputs])

    class Reader:
        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(rows, None)

    path, written = network.to_onnx(folder / "float.onnx"), folder / "theirs.onnx"
    quantize_static(
        path,
        written,
        Reader(),
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return OnnxNetwork.load(written)


def test_as_it_is_it_loses_what_the_quantisers_own_file_loses(tmp_path: Path) -> None:
    network, seen = network_of(falling_chain(), tmp_path), pictures(tmp_path)
    ours = Ready.of(network, seen).quantised(PLAIN)
    theirs = by_the_quantiser(network, np.asarray(seen.fit), tmp_path)
    own, other = (error(network, one, seen.report) for one in (ours, theirs))
    assert 0 < own == pytest.approx(other, rel=0.1)
    assert integer_products(ours.model) == 3
    assert not left_in_float(ours.model)


def test_balancing_takes_most_of_the_error_away_where_ranges_fall(tmp_path: Path) -> None:
    network, seen = network_of(falling_chain(), tmp_path), pictures(tmp_path)
    ready = Ready.of(network, seen)
    plain, chosen = ready.quantised(PLAIN), ready.quantised(balanced_by(ready))
    assert error(network, chosen, seen.report) < 0.5 * error(network, plain, seen.report)
    best = quantised_network(network, network, seen, Compared.whole(["output"]))
    assert best.recipe.balanced == 2
    assert best.error <= error(network, plain, seen.select)


def test_a_margin_widens_every_range_but_the_inputs(tmp_path: Path) -> None:
    network, seen = network_of(falling_chain(), tmp_path), pictures(tmp_path)
    ready = Ready.of(network, seen)
    as_seen, wider = (scales(ready.quantised(PLAIN.with_margin(m))) for m in (1.0, 1.5))
    assert as_seen.keys() == wider.keys()
    assert {name for name in wider if wider[name] == as_seen[name]} == {"input"}
    for name in wider.keys() - {"input"}:
        assert wider[name] == pytest.approx(1.5 * as_seen[name], rel=1e-5)


def scales(network: OnnxNetwork) -> dict[str, float]:
    """Of the activations that are quantised."""
    arrays = {t.name: numpy_helper.to_array(t) for t in network.model.graph.initializer}
    return {
        node.input[0]: float(arrays[node.input[1]])
        for node in network.model.graph.node
        if node.op_type == "QuantizeLinear" and node.input[0] not in arrays
    }


def test_ranges_are_as_wide_as_held_out_pictures_want_them(tmp_path: Path) -> None:
    """Pictures whose contrast differs much: those that ranges are taken from have not seen all."""
    network, seen = network_of(falling_chain(fall=0.1), tmp_path), pictures(tmp_path, 15, 0.5)
    compared = Compared.whole(["output"])
    best = quantised_network(network, network, seen, compared)
    assert best.recipe.margin in MARGINS[1:]
    assert best.recipe.name.endswith(f"ranges {best.recipe.margin:g} times as wide")
    ready = Ready.of(network, seen)
    for margin in MARGINS:
        other = ready.quantised(replace(best.recipe, margin=margin))
        assert best.error <= error(network, other, seen.select) * (1 + 1e-6)


def test_an_older_opset_is_converted(tmp_path: Path) -> None:
    network, seen = network_of(falling_chain(opset=9, fall=0.1), tmp_path), pictures(tmp_path)
    made = Ready.of(network, seen).quantised(PLAIN)
    assert made.model.opset_import[0].version >= 13
    assert error(network, made, seen.report) < 0.1


def test_layers_may_stay_in_float_by_name(tmp_path: Path) -> None:
    network, seen = network_of(falling_chain(), tmp_path), pictures(tmp_path)
    ready = Ready.of(network, seen)
    made = ready.quantised(Recipe(in_float=frozenset(["second"])))
    assert integer_products(made.model) == 2
    assert error(network, made, seen.report) < error(network, ready.quantised(PLAIN), seen.report)
    everything = Recipe(in_float=frozenset(use.name for use in network.layers))
    with pytest.raises(ModelError, match="nothing in this network"):
        ready.quantised(everything)


@pytest.mark.parametrize("with_sigmoid", [True, False])
def test_scores_do_not_become_zero_beside_boxes(tmp_path: Path, with_sigmoid: bool) -> None:
    network, seen = network_of(detector(with_sigmoid), tmp_path), pictures(tmp_path)
    inputs = seen.report
    groups = size_groups(network.outputs(inputs)["all"])
    assert groups == ["[:,:4]", "[:,4:]"]
    theirs = by_the_quantiser(network, np.asarray(seen.fit), tmp_path)
    ours = Ready.of(network, seen).quantised(PLAIN)
    compared = Compared.parse(",".join(f"all{group}" for group in groups))

    def by_part(other: Network) -> dict[str, float]:
        wanted = network.outputs(inputs)
        return NetworkError.of(compared, wanted, other.outputs(inputs)).by_part

    assert by_part(theirs)["all[:,4:]"] > 0.5  # one scale for pixels and scores
    assert max(by_part(ours).values()) < 0.1


def test_boxes_and_scores_of_one_convolution_stay_in_float(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sizes = np.repeat([100.0, 0.1], 4)
    weights = {
        "w0": rng.standard_normal((16, 3, 3, 3)) / 5,
        "w1": rng.standard_normal((8, 16, 1, 1)) * sizes[:, None, None, None],
    }
    nodes = [
        helper.make_node("Conv", ["input", "w0"], ["c0"], "stem", pads=[1] * 4),
        helper.make_node("Relu", ["c0"], ["r0"], "relu"),
        helper.make_node("Conv", ["r0", "w1"], ["all"], "both"),
    ]
    network, seen = network_of(model_of(nodes, weights, ["all"]), tmp_path), pictures(tmp_path)
    made = Ready.of(network, seen).quantised(PLAIN)
    wanted, given = (one.outputs(seen.report)["all"][:, 4:] for one in (network, made))
    assert np.linalg.norm(wanted - given) < 0.1 * np.linalg.norm(wanted)


def test_a_product_without_an_integer_kernel_stays_in_float(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = {
        "w0": rng.standard_normal((8, 3, 3, 3)) / 5,
        "w1": rng.standard_normal((8, 4, 2, 2)) / 5,
    }
    nodes = [
        helper.make_node("Conv", ["input", "w0"], ["c0"], "stem", pads=[1] * 4),
        helper.make_node("Relu", ["c0"], ["r0"], "relu"),
        helper.make_node("ConvTranspose", ["r0", "w1"], ["output"], "up", strides=[2, 2]),
    ]
    network, seen = network_of(model_of(nodes, weights, ["output"]), tmp_path), pictures(tmp_path)
    made = Ready.of(network, seen).quantised(PLAIN)
    (up,) = (node for node in made.model.graph.node if node.op_type == "ConvTranspose")
    assert up.input[1] == "w1"
    assert not left_in_float(made.model)


def test_a_torch_network_keeps_the_names_of_its_outputs(tmp_path: Path) -> None:
    torch.manual_seed(0)

    class Two(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = torch.nn.Conv2d(3, 16, 3, padding=1)
            self.norm = torch.nn.BatchNorm2d(16)
            self.head = torch.nn.Linear(16, 5)

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            features = torch.relu(self.norm(self.stem(x)))
            return {"scores": self.head(features.mean((2, 3))).softmax(1), "features": features}

    network, seen = network_of_module(Two().eval(), SHAPE), pictures(tmp_path)
    ready = Ready.of(network, seen)
    made = ready.quantised(PLAIN)
    assert list(made.outputs(seen.report)) == ["scores", "features"]
    assert 0 < error(network, made, seen.report) < 0.1
    kept = ready.quantised(Recipe(in_float=frozenset(["stem"])))
    assert integer_products(kept.model) == integer_products(made.model) - 1


def refused(model: ModelProto, folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        Ready.of(network_of(model, folder), pictures(folder)).quantised(PLAIN)
    return str(caught.value)


def test_a_quantised_network_is_refused(tmp_path: Path) -> None:
    network, seen = network_of(falling_chain(), tmp_path), pictures(tmp_path)
    made = Ready.of(network, seen).quantised(PLAIN)
    assert "quantised already" in refused(made.model, tmp_path)


def test_a_network_without_products_is_refused(tmp_path: Path) -> None:
    model = model_of([helper.make_node("Relu", ["input"], ["output"], "relu")], {}, ["output"])
    assert "nothing in this network" in refused(model, tmp_path)


def test_no_pictures_are_refused_in_one_sentence() -> None:
    with pytest.raises(CalibrationError, match="give --calibration"):
        calibrated(falling_chain(), np.zeros((0, 3, 12, 12), np.float32), 1)


def test_the_file_is_read_and_answers_the_same(tmp_path: Path) -> None:
    network, seen = network_of(falling_chain(), tmp_path), pictures(tmp_path)
    made = Ready.of(network, seen).quantised(PLAIN)
    file = made.save(tmp_path / "net.int8.onnx")
    onnx.checker.check_model(file)
    again = OnnxNetwork.load(file)
    assert [output.name for output in again.model.graph.output] == ["output"]
    assert re.search("int8", again.layers[0].reason)
    assert again.outputs(seen.report)["output"] == pytest.approx(
        made.outputs(seen.report)["output"], abs=1e-5
    )


def raising(*_args: object, **_keywords: object) -> None:
    raise RuntimeError("no rule for Frobnicate.\nTraceback of a library")


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("onnxruntime.quantization.quantize_static", "quantiser refuses this network"),
        ("onnxruntime.quantization.shape_inference.quant_pre_process", "cannot prepare"),
        ("onnxruntime.quantization.calibrate.create_calibrator", "cannot take this network's"),
        ("onnx.version_converter.convert_version", "in opset 9 and cannot be converted to 13"),
    ],
)
def test_what_a_library_refuses_is_one_sentence(
    place: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, raising)
    said = refused(falling_chain(opset=9), tmp_path)
    assert sentence in said
    assert said.endswith("no rule for Frobnicate")
