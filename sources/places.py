"""Where a module's numbers are."""

from __future__ import annotations

from torch import nn

from ..errors import ModelError


def on_cpu(module: nn.Module) -> nn.Module:
    """Return the module with its parameters and buffers on the processor, which changes it.

    Raises `ModelError` where some have no numbers (torch's device `meta`).
    """
    state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    missing = [name for name, one in state.items() if one.is_meta and not nn.parameter.is_lazy(one)]
    if missing:
        raise ModelError(
            f"{len(missing)} of the network's {len(state)} parameters and buffers have no numbers, "
            f"only shapes (device meta): {missing[0]}{', ...' if missing[1:] else ''}; load its "
            "weights before"
        )
    return module.cpu()
