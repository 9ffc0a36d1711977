"""A network that is a `torch.nn.Module`."""

from __future__ import annotations

import copy
import hashlib
import re
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

from ..records import LayerUse
from ..sources.module_copies import copied, folded
from ..sources.precision import in_float32
from ..sources.wrappers import bare, unwrapped
from .batching import batches, workers_for
from .chain_files import write_state
from .convert import export_onnx, export_pt2
from .differentiable import Differentiable
from .files import write_by_suffix
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
from .replaced_layer import ReplacedLayer, leave_fast_paths
from .torch_batches import batch_for_outputs, frozen, in_replicas, outputs
from .torch_layers import TorchLayers, read_layers
from .torch_outputs import answer_of

SEED = 0
"""Of the weights that lazy layers draw."""


class TorchNetwork:
    """Owns its module: nobody else changes it. The module is in eval mode, on the CPU."""

    framework: Literal["torch"] = "torch"

    def __init__(self, module: nn.Module, source: str, input_shape: Sequence[int]) -> None:
        self.module = module.eval()
        self.source = source
        self.input_shape = tuple(input_shape)
        self.replacements: Replacements = {}
        self.loading_notes: tuple[str, ...] = ()
        self._loaded: TorchNetwork | None = None

    @classmethod
    def of(cls, module: nn.Module, source: str, input_shape: Sequence[int]) -> TorchNetwork:
        """Make a network of a copy of somebody else's module. Reads the layers at once.

        Raises `ModelError` if the module cannot be copied or does not run on such an input.
        """
        return cls.owning(unwrapped(copied(bare(module))).cpu(), source, input_shape)

    @classmethod
    def owning(cls, module: nn.Module, source: str, input_shape: Sequence[int]) -> TorchNetwork:
        """Make a network of a module that nobody else has; as `of` otherwise."""
        module, notes = in_float32(module)
        _make_lazy_parts(module, input_shape)
        network = cls(module, source, input_shape)
        network.loading_notes = notes
        _ = network.layers
        return network

    @cached_property
    def _read(self) -> TorchLayers:
        return read_layers(self.module, self.input_shape)

    @cached_property
    def outputs_batch(self) -> int:
        """How many examples go through the module at once to see its outputs."""
        return batch_for_outputs(self.module, self.input_shape)

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
    def sha256(self) -> str:
        """SHA-256 of the modules' names, types and settings, and of the state's bytes."""
        digest = hashlib.sha256()
        for name, part in self.module.named_modules():
            settings = re.sub(r" at 0x[0-9a-f]+", "", part.extra_repr())
            digest.update(f"{name}|{type(part).__name__}|{settings}\n".encode())
        for name, value in self.module.state_dict().items():
            _digest(digest, name, value)
        return digest.hexdigest()

    def weights(self, name: str) -> tuple[NDArray[Any], NDArray[Any] | None]:
        layer_named(self.layers, name)
        part = self.module.get_submodule(name)
        weight, bias = part.weight, part.bias
        assert isinstance(weight, Tensor)
        return _array(weight), _array(bias) if isinstance(bias, Tensor) else None

    def outputs(self, inputs: NDArray[Any]) -> Outputs:
        own = self.input_shape[0]
        batch = own if len(inputs) <= own else self.original.outputs_batch
        return outputs(self.module, inputs, batch)

    def moments(self, inputs: NDArray[Any], wanted: Wanted) -> Gathered:
        """See `Network.moments`. Holds what the named layers see of a few batches at a time."""

        def add_all(sums: MomentSums) -> None:
            def seen(module: nn.Module, part: tuple[NDArray[np.float32], int]) -> BatchRows:
                pictures, counted = part
                rows = sums.batch(len(pictures), counted)
                with torch.no_grad(), _noted(module, sums, rows):
                    answer_of(module, torch.from_numpy(pictures))
                return rows

            size = self.input_shape[0]
            workers = workers_for(len(inputs), size)
            for rows in in_replicas(self.module, seen, batches(inputs, size), workers):
                sums.add(rows)

        return gather(self.layers, wanted, add_all)

    def differentiable(self) -> Differentiable:
        """See `Network.differentiable`. It shares the module's weights."""
        paths = {use.name: use.name for use in self.layers}
        return Differentiable(frozen(self.module), self.layers, paths, self.input_shape)

    def replaced(self, replacements: Replacements) -> TorchNetwork:
        """Return a copy with chains for the named layers, wherever the network uses them."""
        from ..ops.torch_writer import to_torch

        check_replacements(self.layers, replacements)
        # Whoever refers to a replaced layer in the copy gets the chain: deepcopy's memo says so.
        memo: dict[int, Any] = {
            id(self._part(name)): ReplacedLayer(self._part(name), to_torch(chain, weights)).eval()
            for name, (chain, weights) in replacements.items()
        }
        module = copied(self.module, memo)
        leave_fast_paths(module)
        for name in replacements:
            _move_hooks(self._part(name), memo)
        network = TorchNetwork(module, self.source, self.input_shape)
        network.replacements = {**self.replacements, **replacements}
        network._loaded = self.original
        return network

    def _part(self, name: str) -> nn.Module:
        return self.module.get_submodule(name)

    def workload(self, key: str, backend_accepts: Sequence[type], folder: Path) -> Any:
        """Return a module workload if the backend takes one, else an ONNX file in `folder`."""
        path = Path(folder) / f"{file_name(key)}.onnx"
        return choose_workload(
            backend_accepts,
            {
                "ModuleWorkload": lambda kind: kind(key, folded(self.module), self.input_shape),
                "FileWorkload": lambda kind: kind(key, self.to_onnx(path), self.input_shape),
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
        return export_onnx(self.module, self.input_shape, Path(folder) / "network.onnx")

    def save(self, path: Path) -> Path:
        def to_pt2(path: Path) -> Path:
            return export_pt2(self.module, self.input_shape, path)

        return write_by_suffix(path, self.to_onnx, to_pt2, partial(write_state, self.module))


def _make_lazy_parts(module: nn.Module, input_shape: Sequence[int]) -> None:
    """Let lazy layers draw their weights, the same ones everywhere, so that the network keeps its
    hash."""
    state = [*module.parameters(), *module.buffers()]
    if any(nn.parameter.is_lazy(one) for one in state):
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(SEED)
            answer_of(module.eval(), torch.zeros(tuple(input_shape)))


HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
)


def _move_hooks(layer: nn.Module, memo: dict[int, Any]) -> None:
    """Give the layer's forward hooks to the chain that `memo` has for it.

    torch's own (weight norm) are left out: they compute the weights that have gone.
    """
    chain = memo[id(layer)]
    for kind in HOOKS:
        for key, hook in getattr(layer, kind).items():
            if not type(hook).__module__.startswith("torch.nn.utils"):
                getattr(chain, kind)[key] = copy.deepcopy(hook, memo)


@contextmanager
def _noted(module: nn.Module, sums: MomentSums, rows: BatchRows) -> Iterator[None]:
    """What the layers that `sums` asks for see and compute inside is added to `rows`."""

    def on_output(name: str) -> Callable[..., None]:
        return lambda _part, _args, output: rows.add_output(name, output.numpy())

    def on_input(name: str) -> Callable[..., None]:
        def hook(_part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            given = args[0] if args else next(iter(kwargs.values()))
            rows.add_input(name, given.numpy())

        return hook

    with ExitStack() as hooks:
        for name in sums.names("outputs"):
            part = module.get_submodule(name)
            hooks.enter_context(part.register_forward_hook(on_output(name)))
        for name in sums.names("patches"):
            part = module.get_submodule(name)
            hooks.enter_context(part.register_forward_pre_hook(on_input(name), with_kwargs=True))
        yield


def _digest(digest: Any, name: str, value: Any) -> None:
    """Add one entry of a state: a tensor, or what int8 modules keep there (tuples, types)."""
    if isinstance(value, (tuple, list)):
        for part in value:
            _digest(digest, name, part)
        return
    if not isinstance(value, Tensor):
        digest.update(f"{name}|{value!r}\n".encode())
        return
    if value.is_quantized:
        digest.update(f"{name}|{value.qscheme()}\n".encode())
        value = value.dequantize()
    digest.update(f"{name}|{value.dtype}|{tuple(value.shape)}\n".encode())
    digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())


def _array(tensor: Tensor) -> NDArray[Any]:
    return np.array(tensor.detach().cpu().numpy())
