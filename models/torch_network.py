"""A network that is a `torch.nn.Module`."""

from __future__ import annotations

import copy
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..inputs.examples import Given, NetworkInputs, Takes, inputs_of
from ..integrity.checked_files import Checked
from ..integrity.identity import identity, state_hash
from ..integrity.onnx_files import run_onnx
from ..integrity.torch_files import precision_of, run_pt2, run_state
from ..layering.hooks import copy_hooks
from ..layering.layered_form import layered, opened
from ..layering.parameter_accounts import ParameterAccounts
from ..layering.replaced_layer import leave_fast_paths, replaced_layer
from ..layering.torch_convolutions import TRANSPOSED, spec_input
from ..ops.layouts import turned
from ..records import LayerUse
from ..sources.callables import seeded
from ..sources.module_copies import copied, folded
from ..sources.places import on_cpu
from ..sources.precision import in_float32
from ..sources.wrappers import bare, unwrapped
from .batching import batches, workers_for
from .chain_files import write_state
from .convert import export_onnx, export_pt2, in_order
from .differentiable import Differentiable
from .files import write_by_suffix, write_whole
from .moment_sums import BatchRows, Gathered, MomentSums, Wanted, gather
from .network import (
    Outputs,
    Replacements,
    check_replacements,
    choose_workload,
    file_name,
    layer_named,
)
from .onnx_storage import copy_model
from .output_rules import OutputNames
from .torch_accounts import torch_accounts
from .torch_batches import batch_for_outputs, frozen, in_replicas, outputs
from .torch_behaviour import Behaviour
from .torch_layers import TorchLayers, read_layers
from .torch_outputs import all_answers, answer_of

SEED = 0
"""Of the weights that lazy layers draw."""


class TorchNetwork:
    """Owns its module: nobody else changes it. The module is in eval mode, on the CPU."""

    framework: Literal["torch"] = "torch"

    def __init__(self, module: nn.Module, source: str, takes: Takes) -> None:
        self.module = module.eval()
        self.source = source
        self.inputs = inputs_of(takes)
        self.replacements: Replacements = {}
        self.loading_notes: tuple[str, ...] = ()
        self._loaded: TorchNetwork | None = None

    @classmethod
    def of(cls, module: nn.Module, source: str, takes: Takes) -> TorchNetwork:
        """Make a network of a copy of somebody else's module. Reads the layers at once.

        Raises `ModelError` if the module cannot be copied or does not run on such an input.
        """
        return cls.owning(on_cpu(unwrapped(copied(bare(module)))), source, takes)

    @classmethod
    def owning(cls, module: nn.Module, source: str, takes: Takes) -> TorchNetwork:
        """Make a network of a module that nobody else has; as `of` otherwise."""
        inputs = inputs_of(takes).in_float32
        module, notes = in_float32(module, lambda: answer_of(module, inputs.example))
        _make_lazy_parts(module, inputs)
        network = cls(module, source, inputs)
        network.loading_notes = notes
        _ = network.earlier_sha256  # before a run, which may count itself in a buffer
        with Behaviour(module, inputs) as seen:
            _ = network.layers
        seen.check()
        network.inputs = seen.inputs
        return network

    @cached_property
    def layered(self) -> nn.Module:
        """The module in the form that has all its layers by their names; shares its weights."""
        return layered(self.module, lambda one: answer_of(one, self.inputs.example))

    @cached_property
    def _read(self) -> TorchLayers:
        return read_layers(self.layered, self.inputs)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.inputs.shape

    @cached_property
    def outputs_batch(self) -> int:
        """How many examples go through the module at once to see its outputs."""
        return batch_for_outputs(self.module, self.inputs)

    @property
    def original(self) -> TorchNetwork:
        return self._loaded or self

    @property
    def layers(self) -> tuple[LayerUse, ...]:
        return self._read.uses

    @property
    def notes(self) -> Mapping[str, str]:
        return self._read.notes

    @property
    def output_names(self) -> OutputNames:
        return self._read.outputs

    @cached_property
    def accounts(self) -> ParameterAccounts:
        read = self._read
        return torch_accounts(self.layered, read.uses, read.products, self.inputs.batch)

    @cached_property
    def sha256(self) -> str:
        """See `integrity.identity`."""

        def call(zeros: bool) -> None:
            inputs = self.inputs
            all_answers(self.module, inputs.example if zeros else inputs.noise(inputs.batch, 0))

        return identity(self.module, self.earlier_sha256, call)

    @cached_property
    def earlier_sha256(self) -> str:
        return state_hash(self.module)

    def as_earlier(self) -> TorchNetwork:
        other = copy.copy(self)
        other.sha256 = self.earlier_sha256
        return other

    def weights(self, name: str) -> tuple[NDArray[Any], NDArray[Any] | None]:
        layer_named(self.layers, name)
        part = self.layered.get_submodule(name)
        weight, bias = part.weight, part.bias
        assert isinstance(weight, Tensor)
        array = _array(weight)
        if isinstance(part, TRANSPOSED):
            array = turned(array, part.groups)
        return array, _array(bias) if isinstance(bias, Tensor) else None

    def outputs(self, inputs: Given | Mapping[str, NDArray[Any]]) -> Outputs:
        given, own = self.inputs.taken(inputs), self.inputs.batch
        batch = own if len(given) <= own else self.original.outputs_batch
        return outputs(self.module, given, batch)

    def moments(self, inputs: Given, wanted: Wanted) -> Gathered:
        """See `Network.moments`. Holds what the named layers see of a few batches at a time."""

        def add_all(sums: MomentSums) -> None:
            def seen(module: nn.Module, part: tuple[Given, int]) -> BatchRows:
                pictures, counted = part
                rows = sums.batch(len(pictures), counted)
                with torch.no_grad(), _noted(module, sums, rows):
                    answer_of(module, pictures)
                return rows

            size = self.inputs.batch
            workers = workers_for(len(inputs), size)
            for rows in in_replicas(self.layered, seen, batches(inputs, size), workers):
                sums.add(rows)

        return gather(self.layers, wanted, add_all)

    def differentiable(self) -> Differentiable:
        """See `Network.differentiable`. It shares the module's weights."""
        paths = {use.name: use.name for use in self.layers}
        return Differentiable(frozen(self.layered), self.layers, paths, self.inputs)

    def replaced(self, replacements: Replacements) -> TorchNetwork:
        """Return a copy with chains for the named layers, wherever the network uses them."""
        from ..ops.torch_writer import to_torch

        check_replacements(self.layers, replacements)
        base = opened(self.module, self.layered, replacements)
        parts = {name: base.get_submodule(name) for name in replacements}
        # Whoever refers to a replaced layer in the copy gets the chain: deepcopy's memo says so.
        memo: dict[int, Any] = {
            id(parts[name]): replaced_layer(parts[name], to_torch(chain, weights))
            for name, (chain, weights) in replacements.items()
        }
        module = copied(base, memo)
        leave_fast_paths(module)
        for part in parts.values():
            copy_hooks(part, memo)
        network = TorchNetwork(module, self.source, self.inputs)
        network.replacements = {**self.replacements, **replacements}
        network._loaded = self.original
        return network

    def workload(self, key: str, backend_accepts: Sequence[type], folder: Path) -> Any:
        """Return a module workload if the backend takes one, else an ONNX file in `folder`."""
        path, shapes = Path(folder) / f"{file_name(key)}.onnx", self.inputs.for_workload
        return choose_workload(
            backend_accepts,
            {
                "ModuleWorkload": lambda kind: kind(
                    key, in_order(folded(self.module), self.inputs), *shapes
                ),
                "FileWorkload": lambda kind: kind(key, self.to_onnx(path), *shapes),
            },
        )

    def to_onnx(self, path: Path) -> Path:
        """Export with a fixed batch. Node names are the exporter's, not this network's.

        The exporter takes seconds, and a plan's search asks for the original again and again: all
        files but the first are copies of it.
        """
        return copy_model(self._exported, path)

    @cached_property
    def _exported(self) -> Path:
        """The network as an ONNX file in a folder that goes when the network does."""
        folder = tempfile.mkdtemp(prefix="rankwise-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        file = export_onnx(self.module, self.inputs, Path(folder) / "network.onnx")
        self._checked.check(file, run_onnx)
        return file

    @property
    def _checked(self) -> Checked:
        precision = precision_of(self.module)
        return Checked(partial(all_answers, self.module), self.inputs, precision)

    def save(self, path: Path) -> Path:
        def to_pt2(path: Path) -> Path:
            write = partial(export_pt2, self.module, self.inputs)
            return write_whole(path, self._checked.writing(write, run_pt2(all_answers)))

        def to_tensors(path: Path) -> Path:
            write, run = partial(write_state, self.module), run_state(self.module, all_answers)
            return write_whole(path, self._checked.writing(write, run))

        return write_by_suffix(path, self.to_onnx, to_pt2, to_tensors)


def _make_lazy_parts(module: nn.Module, inputs: NetworkInputs) -> None:
    """Let lazy layers draw their weights, the same ones everywhere, so that the network keeps its
    hash."""
    state = [*module.parameters(), *module.buffers()]
    if any(nn.parameter.is_lazy(one) for one in state):
        with seeded(SEED), torch.no_grad():
            answer_of(module.eval(), inputs.example)


@contextmanager
def _noted(module: nn.Module, sums: MomentSums, rows: BatchRows) -> Iterator[None]:
    """What the layers that `sums` asks for see and compute inside is added to `rows`."""

    def on_output(name: str) -> Callable[..., None]:
        return lambda _part, _args, output: rows.add_output(name, output.numpy())

    def on_input(name: str) -> Callable[..., None]:
        def hook(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            given = args[0] if args else next(iter(kwargs.values()))
            rows.add_input(name, spec_input(part, given).numpy())

        return hook

    with ExitStack() as hooks:
        for name in sums.names("outputs"):
            part = module.get_submodule(name)
            # First of the hooks: another may change what the layer itself computed.
            hook = part.register_forward_hook(on_output(name), prepend=True)
            hooks.enter_context(hook)
        for name in sums.names("patches"):
            part = module.get_submodule(name)
            hooks.enter_context(part.register_forward_pre_hook(on_input(name), with_kwargs=True))
        yield


def _array(tensor: Tensor) -> NDArray[Any]:
    return np.array(tensor.detach().cpu().numpy())
