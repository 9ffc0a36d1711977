"""Statistics of batch normalisation, estimated again for a network whose layers have changed."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..inputs.calls import ForCall, call_of


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """Return the batch normalisations that keep statistics."""
    norms = [part for part in model.modules() if isinstance(part, _BatchNorm)]
    return [part for part in norms if part.track_running_stats and part.running_mean is not None]


def reestimate(model: nn.Module, batches: Iterable[ForCall]) -> None:
    """Set the statistics to their plain averages over the batches; weights stay.

    The model is in eval mode before and afterwards. Without batches nothing changes, nor where
    torch raises `ValueError`: for one value per channel, as of one example after global pooling.
    """
    norms = batch_norms(model)
    inputs = list(batches)
    if not norms or not inputs:
        return
    momenta = [norm.momentum for norm in norms]
    before = [{name: one.clone() for name, one in norm.named_buffers()} for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's word for a cumulative average
        norm.train()
    try:
        with torch.no_grad():
            for one in inputs:
                call_of(one).on(model)
    except ValueError:
        for norm, buffers in zip(norms, before, strict=True):
            for name, one in norm.named_buffers():
                one.copy_(buffers[name])
        raise
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
