"""What a torch network is: a hash that is equal wherever, and however often, it is made.

Two hashes are kept. `state_hash` is what rankwise gave until 0.1: parts, their settings as torch
prints them, and the state. Networks that differ in anything else share it. `identity` adds what
else decides what a network computes: buffers that are not saved, plain attributes, and the code of
classes and functions outside torch, with what that calls in its own package.

It does not take in what the network answers. Answers follow from all that; and they differ in
their last bits between processors, so that no rounding would give every machine the same hash:
wherever it rounds, some number lies on the border.

A module may keep things of a call: a grid of positions, the last attention. What is there after a
call on noise and after one on zeros, and is not equal, is of the call and not of the network.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn

from .code import Codes
from .places import OURS, is_trusted
from .values import Values, attributes_of, said_array

Facts = dict[str, str]


def state_hash(module: nn.Module) -> str:
    """SHA-256 of the modules' names, types and settings, and of the state's bytes."""
    digest = hashlib.sha256()
    for name, part in module.named_modules():
        settings = re.sub(r" at 0x[0-9a-f]+", "", part.extra_repr())
        digest.update(f"{name}|{type(part).__name__}|{settings}\n".encode())
    for name, value in module.state_dict().items():
        _digest(digest, name, value)
    return digest.hexdigest()


def identity(module: nn.Module, state: str, call: Callable[[bool], object]) -> str:
    """SHA-256 of all that decides what the module computes. `state`: its `state_hash`.

    `call` runs it once, on noise or (True) on zeros. A network of ours, as in the zoo, is what its
    state says: no code of it is anybody else's.
    """
    if type(module).__module__.partition(".")[0] == OURS:
        return state
    if all(is_trusted(type(part).__module__) for part in module.modules()):
        facts = facts_of(module)  # torch's modules keep nothing of a call
    else:
        call(False)
        before = facts_of(module)
        call(True)
        after = facts_of(module)
        facts = {name: one for name, one in after.items() if before.get(name) == one}
    text = "\n".join(f"{name}: {one}" for name, one in sorted(facts.items()))
    return hashlib.sha256(f"{state}\n{text}".encode()).hexdigest()


def facts_of(module: nn.Module) -> Facts:
    """Return what is to be said of each part beside its state, by its name and what it is."""
    names = {id(part): name for name, part in module.named_modules()}
    codes = Codes()
    values = Values(codes, lambda part: names.get(id(part)))
    return {
        f"{name}|{what}": said
        for name, part in module.named_modules(remove_duplicate=False)
        for what, said in _said(part, codes, values)
    }


def _said(part: nn.Module, codes: Codes, values: Values) -> Iterator[tuple[str, str]]:
    yield "code", codes.of(type(part))
    if isinstance(part, fx.GraphModule):
        yield "graph", part.code
    saved = part.state_dict()
    for name, tensor in part.named_buffers(recurse=False):
        if name not in saved:
            yield f"buffer {name}", said_array(tensor)
    for name, value in attributes_of(part).items():
        yield f"attribute {name}", values.said(value)
    for kind in ("_forward_hooks", "_forward_pre_hooks"):
        for number, hook in enumerate(getattr(part, kind).values()):
            yield f"{kind} {number}", values.said(hook)


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
