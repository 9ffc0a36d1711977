"""The test cases that the `onnx` package ships, their layers replaced at full rank.

    python tests/models/lib/onnx_node_suite.py

says what came of them.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, numpy_helper

from rankwise.models.network import Network
from rankwise.models.onnx_network import OnnxNetwork

if str(Path(__file__).parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parent))

from full_rank import Tally

LAYERS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
TOLERANCE = 1e-3
"""Of a whole output, relative to its largest value."""


class Case(NamedTuple):
    name: str
    model: ModelProto
    inputs: Sequence[Any]
    outputs: Sequence[Any]


def cases() -> Iterator[Case]:
    """Those with a layer among their nodes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests

        found = load_model_tests(kind="node")
        found += load_model_tests(kind="pytorch-converted")
        found += load_model_tests(kind="pytorch-operator")
    for case in found:
        model = case.model or onnx.load(Path(case.model_dir) / "model.onnx")
        if LAYERS & {node.op_type for node in model.graph.node}:
            inputs, outputs = (case.data_sets or [_read(Path(case.model_dir))])[0]
            yield Case(case.name, model, inputs, outputs)


def _read(folder: Path) -> tuple[list[Any], list[Any]]:
    data = folder / "test_data_set_0"
    both = []
    for what in ("input", "output"):
        paths = sorted(data.glob(f"{what}_*.pb"), key=lambda path: int(path.stem.split("_")[1]))
        tensors = [onnx.TensorProto.FromString(path.read_bytes()) for path in paths]
        both.append([numpy_helper.to_array(tensor) for tensor in tensors])
    return both[0], both[1]


def with_constant_weights(case: Case) -> tuple[ModelProto, dict[str, Any]]:
    """The model with its layers' weights and biases as initializers, and its other inputs."""
    model = ModelProto()
    model.CopyFrom(case.model)
    model.ir_version = max(model.ir_version, 4)  # before, initializers had to be inputs, too
    given = dict(zip([value.name for value in model.graph.input], case.inputs, strict=False))
    layers = [node for node in model.graph.node if node.op_type in LAYERS]
    constant = {name for node in layers for name in node.input[1:] if name in given}
    kept = [value for value in model.graph.input if value.name not in constant]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    for name in sorted(constant):
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(given[name]), name))
    left = {value.name for value in kept} - {tensor.name for tensor in model.graph.initializer}
    return model, {name: value for name, value in given.items() if name in left}


def tallied(chosen: Iterator[Case]) -> Tally:
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        for case in chosen:
            tally.cases += 1
            with tally.watched(case.name):
                model, given = with_constant_weights(case)
                path = Path(folder) / "case.onnx"
                onnx.save(model, path)
                wanted = dict(
                    zip([one.name for one in model.graph.output], case.outputs, strict=False)
                )

                def answers_right(
                    network: Network, given: Any = given, wanted: Any = wanted
                ) -> bool:
                    return _answers(network, given, wanted)

                tally.add(case.name, OnnxNetwork.load(path), answers_right)
    return tally


def _answers(network: Network, given: dict[str, Any], wanted: dict[str, Any]) -> bool:
    assert isinstance(network, OnnxNetwork)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        network.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    found = session.run(list(wanted), given)
    return all(
        one.shape == np.shape(want)
        and np.abs(one - want).max(initial=0) <= TOLERANCE * max(1, np.abs(want).max(initial=0))
        for one, want in zip(found, wanted.values(), strict=True)
    )


if __name__ == "__main__":
    print(tallied(cases()))
