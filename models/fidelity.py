"""Measures of how close outputs are to the original network's. Numbers in, numbers out.

Fidelity is no accuracy: accuracy needs labels or a ground truth.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from .compared import Compared
from .network import Outputs
from .network_error import NetworkError

Array = NDArray[Any]


def relative_error(reference: Array, outputs: Array) -> float:
    """Return ||outputs - reference|| / ||reference||, over all pictures together.

    Infinite if `outputs` holds a number that is not finite, or the reference is all zero and
    `outputs` is not. Raises `UsageError` if the shapes differ.
    """
    first, second = _pair(reference, outputs)
    difference = float(np.linalg.norm(second - first))
    if difference == 0:
        return 0.0
    norm = float(np.linalg.norm(first))
    return difference / norm if norm and math.isfinite(difference) else math.inf


def psnr(reference: Array, outputs: Array, peak: float = 1.0) -> float:
    """Return the peak signal-to-noise ratio in dB: 10 log10(peak^2 / mean squared error).

    `peak` is the largest value that a signal can take. Infinite for equal arrays, minus
    infinite where `outputs` holds a number that is not finite.
    """
    first, second = _pair(reference, outputs)
    error = float(np.mean((second - first) ** 2))
    if error == 0:
        return math.inf
    return 10 * math.log10(peak**2 / error) if math.isfinite(error) else -math.inf


def top1_agreement(reference: Array, outputs: Array) -> float:
    """Return the share of rows of (pictures, classes) whose largest column is the same."""
    first, second = _pair(reference, outputs)
    return float(np.mean(first.argmax(axis=1) == second.argmax(axis=1)))


def kl_divergence(reference: Array, outputs: Array) -> float:
    """Return the mean over pictures of KL(reference || outputs) in nats, for (pictures, classes).

    Rows of probabilities are taken as they are, all others as logits. Infinite where `outputs`
    holds a number that is not finite, or no probability where the reference has some.
    """
    first, second = _pair(reference, outputs)
    if not np.isfinite(second).all():
        return math.inf
    p, q = _log_probabilities(first), _log_probabilities(second)
    with np.errstate(invalid="ignore"):
        terms = np.where(np.isneginf(p), 0.0, np.exp(p) * (p - q))
    return max(float(terms.sum(axis=1).mean()), 0.0)


def _log_probabilities(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    if (rows >= 0).all() and np.allclose(rows.sum(axis=1), 1, atol=1e-3):
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(rows))
    shifted = rows - rows.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def fidelity(compared: Compared, reference: Outputs, outputs: Outputs) -> dict[str, Any]:
    """Return the network error as `relative_error`, and the other measures of what is compared:
    beside it for a single part, under `parts` by name for several."""
    wanted, given = compared.select(reference), compared.select(outputs)
    found = {name: measures(wanted[name], given[name]) for name in compared.names}
    if len(found) == 1:
        return dict(next(iter(found.values())))
    return {
        "relative_error": NetworkError.of(compared, reference, outputs).value,
        "parts": found,
    }


def measures(reference: Array, outputs: Array) -> dict[str, float]:
    """Return every measure that outputs alone allow; `psnr`'s peak is the reference's range.

    `top1_agreement` and `kl_divergence` only where outputs are (pictures, classes) with more
    than one class. What is infinite is left out (JSON knows no infinity): the PSNR of equal
    outputs, the divergence from outputs that exclude what the reference holds possible.
    """
    first, second = _pair(reference, outputs)
    result = {
        "relative_error": relative_error(first, second),
        "max_abs_error": float(np.abs(second - first).max(initial=0.0)),
    }
    peak = float(first.max() - first.min())
    ratio = psnr(first, second, peak) if peak > 0 else math.inf
    if math.isfinite(ratio):
        result["psnr"] = ratio
    if first.ndim == 2 and first.shape[1] > 1:
        result["top1_agreement"] = top1_agreement(first, second)
        divergence = kl_divergence(first, second)
        if math.isfinite(divergence):
            result["kl_divergence"] = divergence
    return result


def _pair(reference: Array, outputs: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if reference.shape != outputs.shape:
        raise UsageError(
            f"outputs of shape {outputs.shape} cannot be compared with {reference.shape}"
        )
    if not reference.size:
        raise UsageError("there are no outputs to compare")
    return reference.astype(np.float64), outputs.astype(np.float64)
