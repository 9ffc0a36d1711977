"""A network that is an ONNX graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import NDArray
from onnx import ModelProto, TensorProto

from ..errors import ModelError
from ..inputs.examples import AskedInput, Given, Takes, inputs_of
from ..inputs.onnx_inputs import inputs_of_graph
from ..integrity.checked_files import Checked
from ..integrity.onnx_files import by_name, run_onnx, run_weights, write_weights
from ..layering.parameter_accounts import ParameterAccounts
from ..layering.shared_parameters import shared_notes
from ..records import LayerUse
from .batching import outputs_of, results
from .differentiable import Differentiable
from .files import write_by_suffix, write_whole
from .moment_sums import Gathered, MomentSums, Wanted, gather
from .network import (
    Outputs,
    Replacements,
    check_replacements,
    choose_workload,
    file_name,
    layer_named,
)
from .onnx_accounts import onnx_accounts, with_shared
from .onnx_behaviour import check_same_each_time
from .onnx_file import read_model
from .onnx_layers import OnnxLayer, find_layers, layer_use, layer_weights
from .onnx_macs import layer_macs
from .onnx_outputs import OutputOrigins, with_outputs
from .onnx_precision import as_read, in_float32
from .onnx_products import Parts, restored, with_plain_products
from .onnx_rewrite import replace_layers
from .onnx_session import TensorSession
from .onnx_storage import check_model, sha256_of, write_model
from .output_rules import OutputNames

if TYPE_CHECKING:
    from .onnx_to_torch.conversion import Converted


class OnnxNetwork:
    """A normalised `ModelProto` (see `onnx_file.normalised`), never changed."""

    framework: Literal["onnx"] = "onnx"

    def __init__(self, model: ModelProto, source: str, takes: Takes, sha256: str = "") -> None:
        self.model = model
        self.source = source
        self.inputs = inputs_of(takes)
        self._sha256 = sha256
        self.replacements: Replacements = {}
        self.loading_notes: tuple[str, ...] = ()
        self._plain: tuple[Parts, ...] = ()
        self._loaded: OnnxNetwork | None = None

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        input_shape: Sequence[int] | None = None,
        batch: int | None = None,
        inputs: Sequence[AskedInput] = (),
    ) -> OnnxNetwork:
        """Read a file, one in half precision in float32. Runs it once, so that its layers' shapes
        are known.

        Raises `ModelError` if the file cannot be read or does not run on such an input.
        """
        read, sha256 = read_model(path)
        single, notes = in_float32(read)
        model, plain = with_plain_products(single)
        asked = as_read(inputs) if notes else inputs
        network = cls(model, str(path), inputs_of_graph(model, input_shape, batch, asked), sha256)
        network._plain, network.loading_notes = plain, notes
        check_same_each_time(model, network.inputs)
        _ = network.layers
        return network

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.inputs.shape

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file it was read from, or of itself if it was made here."""
        if self._sha256:
            return self._sha256
        return sha256_of(self.model)

    @property
    def earlier_sha256(self) -> str:
        return self.sha256

    def as_earlier(self) -> OnnxNetwork:
        return self

    @cached_property
    def _nodes(self) -> dict[str, OnnxLayer]:
        return {layer.name: layer for layer in find_layers(self.model.graph)}

    @cached_property
    def _constants(self) -> dict[str, TensorProto]:
        return {tensor.name: tensor for tensor in self.model.graph.initializer}

    @cached_property
    def layers(self) -> tuple[LayerUse, ...]:
        nodes = list(self._nodes.values())
        names = [*dict.fromkeys(layer.input for layer in nodes if not layer.reason)]
        # Without a name the runtime answers all outputs.
        tensors = TensorSession(self.model, names).run(self.inputs.example)
        shapes = {name: tensor.shape for name, tensor in zip(names, tensors, strict=False)}
        weights = {name: tuple(tensor.dims) for name, tensor in self._constants.items()}
        uses = [layer_use(layer, weights, shapes, self.inputs.batch) for layer in nodes]
        return tuple(
            with_shared(uses, {layer.name: layer.node for layer in nodes}, self.model.graph)
        )

    @cached_property
    def accounts(self) -> ParameterAccounts:
        def shapes_of(names: list[str]) -> list[tuple[int, ...]]:
            tensors = TensorSession(self.model, names).run(self.inputs.example)
            return [tensor.shape for tensor in tensors]

        nodes = {name: layer.node for name, layer in self._nodes.items()}
        macs = layer_macs(self.model.graph, nodes, self.layers, shapes_of, self.input_shape[0])
        return onnx_accounts(self.model.graph, nodes, self.layers, macs)

    @property
    def nodes(self) -> Sequence[OnnxLayer]:
        """The nodes that are layers, under the layers' names."""
        return tuple(self._nodes.values())

    @property
    def original(self) -> OnnxNetwork:
        return self._loaded or self

    @property
    def notes(self) -> Mapping[str, str]:
        """Nodes that share a weight are layers of their own."""
        return shared_notes(self.layers)

    @cached_property
    def compared(self) -> tuple[OutputNames, dict[str, str]]:
        """Which outputs are compared, and the tensors that stand for them, by name."""
        if self._loaded is not None:
            return self._loaded.compared  # chains compute the same tensors
        origins = OutputOrigins(self.model)
        names = origins.candidates
        values = TensorSession(self.model, names).run(self.inputs.example)
        return origins.compared(dict(zip(names, values, strict=False)), self.inputs.batch)

    @property
    def output_names(self) -> OutputNames:
        return self.compared[0]

    def weights(self, name: str) -> tuple[NDArray[Any], NDArray[Any] | None]:
        use = layer_named(self.layers, name)
        if use.spec is None:
            raise ModelError(f"layer {name!r} has no weights to read: {use.reason}")
        return layer_weights(self._nodes[name], self._constants)

    @cached_property
    def _session(self) -> TensorSession:
        return TensorSession(self.model, list(self.compared[1].values()))

    def outputs(self, inputs: Given | Mapping[str, NDArray[Any]]) -> Outputs:
        names, tensors = self.compared
        names.check()

        def run(part: Given) -> Outputs:
            return dict(zip(tensors, self._session.run(part), strict=True))

        return outputs_of(run, self.inputs.taken(inputs), self.inputs.batch)

    def moments(self, inputs: Given, wanted: Wanted) -> Gathered:
        """See `Network.moments`. Holds the named layers' values for a few batches at a time."""

        def add_all(sums: MomentSums) -> None:
            outputs = [self._nodes[name] for name in sums.names("outputs")]
            seen = [self._nodes[name] for name in sums.names("patches")]
            tensors = [*(layer.output for layer in outputs), *(layer.input for layer in seen)]
            session = TensorSession(self.model, tensors)
            size = self.inputs.batch
            for computed, counted in results(session.run, inputs, size):
                rows, values = sums.batch(size, counted), iter(computed)
                for layer in outputs:
                    rows.add_output(layer.name, next(values))
                for layer in seen:
                    rows.add_input(layer.name, next(values))
                sums.add(rows)

        return gather(self.layers, wanted, add_all)

    def replaced(self, replacements: Replacements) -> OnnxNetwork:
        """A copy with chains for the named layers, between the same tensors.

        Raises `ModelError` if the result is no valid ONNX model.
        """
        check_replacements(self.layers, replacements)
        model = replace_layers(self.model, self._nodes.values(), replacements)
        check_model(model)
        made = OnnxNetwork(model, self.source, self.inputs)
        made._plain = self._plain
        made.replacements = {**self.replacements, **replacements}
        made._loaded = self.original
        return made

    def in_graph(self, model: ModelProto) -> OnnxNetwork:
        """The same network as another graph, in which what is compared has the same names."""
        made = OnnxNetwork(model, self.source, self.inputs)
        made._loaded = self.original
        return made

    def answering_compared(self) -> OnnxNetwork:
        """The same network with what is compared in the place of its outputs, in that order."""
        names, tensors = self.compared
        names.check()
        return self.in_graph(with_outputs(self.model, list(tensors.values())))

    def workload(self, key: str, backend_accepts: Sequence[type], folder: Path) -> Any:
        """As an ONNX file in `folder`, or as a module where the backend takes no file.

        Raises `BackendError` if it takes neither, `ModelError` if torch has no counterpart of
        an operator.
        """
        path, shapes = Path(folder) / f"{file_name(key)}.onnx", self.inputs.for_workload
        return choose_workload(
            backend_accepts,
            {
                "FileWorkload": lambda kind: kind(key, self.to_onnx(path), *shapes),
                "ModuleWorkload": lambda kind: kind(key, self.to_torch().module, *shapes),
            },
        )

    def to_torch(self, *, compared: bool = False) -> Converted:
        """As a new torch module; with `compared` it answers what is compared in the place of the
        outputs. Raises `ModelError` that names an operator, or says that the module does not
        answer as the file does."""
        from .onnx_to_torch.conversion import check_answers, to_torch_module

        names, tensors = self.compared
        if not compared:
            return to_torch_module(self.model, self.inputs)
        names.check()
        converted = to_torch_module(self.model, self.inputs, tensors)
        check_answers(converted.module, self.outputs, self.inputs)
        return converted

    def differentiable(self) -> Differentiable:
        """See `Network.differentiable`. Every call makes a new module."""
        converted = self.to_torch(compared=True)
        module = converted.module.requires_grad_(False)
        return Differentiable(module, self.layers, converted.names, self.inputs)

    def with_state(self, converted: Converted, state: Mapping[str, Any]) -> OnnxNetwork:
        """A copy with the weights that the module `converted` from this network has by now."""
        from .onnx_to_torch.conversion import with_state

        model = with_state(self.model, converted.origins, state)
        return OnnxNetwork(model, self.source, self.inputs)

    def to_onnx(self, path: Path) -> Path:
        return write_model(restored(self.model, self._plain), path)

    def save(self, path: Path) -> Path:
        checked = Checked(self._answers, self.inputs)

        def to_pt2(path: Path) -> Path:
            from ..integrity.torch_files import run_pt2
            from .convert import export_pt2
            from .torch_outputs import all_answers

            write = partial(export_pt2, self.to_torch().module, self.inputs)
            return write_whole(path, checked.writing(write, run_pt2(all_answers)))

        def to_onnx(path: Path) -> Path:
            model = restored(self.model, self._plain)
            return write_model(model, path, partial(checked.check, run=run_onnx))

        def to_tensors(path: Path) -> Path:
            model = restored(self.model, self._plain)
            write, run = partial(write_weights, model), partial(run_weights, model)
            return write_whole(path, checked.writing(write, run))

        return write_by_suffix(path, to_onnx, to_pt2, to_tensors)

    def _answers(self, inputs: Given) -> dict[str, NDArray[Any]]:
        """Every output by name."""
        names = [output.name for output in self.model.graph.output]
        return by_name(names, TensorSession(self.model, names).run(inputs))
