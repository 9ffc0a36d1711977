"""Chains in a `.safetensors` file: which layers they replace, and what their links are.

The file's metadata has, under `chains`, JSON: by layer name the links in their order, each as the
name of a class of `torch.nn` and its keywords. `docs/networks.md` has a loader of ten lines.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..errors import ModelError, first_line
from ..integrity import torch_files
from ..layering.attention import PACKED, SEPARATE, SHARED, LayeredAttention
from ..layering.functional_calls import put_for_parameter
from ..layering.hooks import give_hooks
from ..layering.layered_form import with_parts
from ..layering.replaced_layer import ReplacedLayer, called_chain, leave_fast_paths
from ..sources.checkpoint import read_state
from ..sources.module_copies import copied
from ..sources.weights import load_state
from ..sources.wrappers import bare, unwrapped

CHAINS = "chains"
SETTINGS = (
    *("in_channels", "out_channels", "kernel_size", "stride", "padding", "output_padding"),
    *("dilation", "groups", "in_features", "out_features"),
    *("start_dim", "end_dim", "dim", "unflattened_size"),
)
"""Keywords of the links' classes that are attributes, too."""

FORMS = (PACKED, SHARED, SEPARATE)
Links = Sequence[tuple[str, Mapping[str, Any]]]


def write_state(module: nn.Module, path: Path) -> None:
    """Write the module's state, and what its chains are made of. Raises `ModelError` as
    `torch_files.write_state` does."""
    torch_files.write_state(module, path, {CHAINS: json.dumps(chains_of(module))})


def chains_of(module: nn.Module) -> dict[str, Links]:
    """Return the links of every replaced layer, under all of its names."""
    return {
        name: [(type(link).__name__, _keywords(link)) for link in part]
        for name, part in module.named_modules(remove_duplicate=False)
        if isinstance(part, ReplacedLayer)
    }


def _keywords(link: nn.Module) -> dict[str, Any]:
    kept = {name: getattr(link, name) for name in SETTINGS if hasattr(link, name)}
    if isinstance(getattr(link, "weight", None), Tensor):
        kept["bias"] = link.bias is not None
    if not any(kept.get("output_padding", ())):
        kept.pop("output_padding", None)  # which convolutions have, and do not take
    return kept


def load(path: Path, module: nn.Module) -> nn.Module:
    """Return a copy of the module with the chains and the weights of a `.safetensors` file."""
    path = Path(path)
    chains, state, made = _read_chains(path), read_state(path), unwrapped(copied(bare(module)))
    made = with_parts(made, _attentions(made, state.tensors))
    for name, links in chains.items():
        made = _with_chain(made, name, links, path)
    leave_fast_paths(made)
    load_state(made, state, path)
    return made


def _attentions(module: nn.Module, state: Iterable[str]) -> dict[int, nn.Module]:
    """Return the attentions of which the file has the projections as layers, in that form."""
    names = set(state)
    return {
        id(part): LayeredAttention(part, form)
        for name, part in module.named_modules()
        if isinstance(part, nn.MultiheadAttention)
        for form in FORMS
        if all(_holds(names, f"{name}.{one}" if name else one) for one in form)
    }


def _holds(state: Iterable[str], layer: str) -> bool:
    """Whether a state has that layer, as it is or as a chain."""
    return not {f"{layer}.weight", f"{layer}.0.weight"}.isdisjoint(state)


def _read_chains(path: Path) -> dict[str, Links]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            found: dict[str, Links] = json.loads((file.metadata() or {}).get(CHAINS, "{}"))
            return found
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path} is no safetensors file: {first_line(error)}") from error


def _with_chain(module: nn.Module, name: str, links: Links, path: Path) -> nn.Module:
    """The module with a chain in a layer's place: itself, or the chain where it is the layer."""
    parameter = dict(module.named_parameters()).get(name)
    try:
        made = [getattr(nn, kind)(**given) for kind, given in links]
        if parameter is not None:
            put_for_parameter(module, name, called_chain(parameter, made))
            return module
        layer = module.get_submodule(name)
        chain = ReplacedLayer(layer, made)
    except (AttributeError, TypeError, ValueError) as error:
        raise ModelError(
            f"the chains in {path} are for another network: {first_line(error)}"
        ) from error
    if None not in _widths([layer]) and _widths([layer]) != _widths(chain):
        raise ModelError(
            f"the chains in {path} are for another network: layer {name!r} is {_widths(chain)} "
            f"wide there, and {_widths([layer])} here"
        )
    first = next(layer.parameters(), None)
    if first is not None:
        chain.to(first.device, first.dtype)
    chain.train(layer.training)
    give_hooks(layer, chain)
    if not name:
        return chain
    parent, _, own = name.rpartition(".")
    setattr(module.get_submodule(parent), own, chain)
    return module


def _widths(parts: Iterable[nn.Module]) -> tuple[int | None, int | None]:
    """How many channels or features go in and come out."""
    said = [_keywords(part) for part in parts]
    into = [one.get("in_channels", one.get("in_features")) for one in said]
    out = [one.get("out_channels", one.get("out_features")) for one in said]
    return next(filter(None, into), None), next(filter(None, reversed(out)), None)
