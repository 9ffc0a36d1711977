"""Pictures through a network in batches of a size that it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..inputs.examples import Examples, Given, repeated_to
from .network import Outputs
from .workers import in_order, processors

Made = TypeVar("Made")


def spread(examples: Given, most: int) -> Given:
    """Return at most so many examples, evenly spread: those of one picture stand together."""
    places = np.linspace(0, len(examples) - 1, min(most, len(examples))).round().astype(int)
    return examples[places]


def batches(inputs: Given, size: int) -> Iterator[tuple[Given, int]]:
    """Yield slices of exactly `size` pictures, and how many of them count.

    The last slice is filled up with its last picture, because a network's batch may be fixed.
    Raises `ModelError` if there is no picture.
    """
    if not len(inputs):
        raise ModelError("there are no inputs to run the network on")
    for start in range(0, len(inputs), size):
        part = inputs[start : start + size]
        if not isinstance(part, Examples):
            part = np.ascontiguousarray(part, dtype=np.float32)
        yield repeated_to(part, size), len(part)


def workers_for(pictures: int, size: int) -> int:
    """Return how many threads so many pictures are shared out to, `size` at a time."""
    return max(1, min(processors(), -(-pictures // size)))


def results(run: Callable[[Given], Made], inputs: Given, size: int) -> Iterator[tuple[Made, int]]:
    """Yield what `run` makes of each batch (see `batches`), in order, and how many pictures count.

    More than one batch is shared out to threads, which call `run` at the same time as others. What
    comes out does not depend on how many threads there are.
    """

    def one(batch: tuple[Given, int]) -> tuple[Made, int]:
        part, counted = batch
        return run(part), counted

    parts = batches(inputs, size)
    if len(inputs) <= size:
        yield one(next(parts))
    else:
        yield from in_order(one, parts, workers_for(len(inputs), size))


def outputs_of(run: Callable[[Given], Outputs], inputs: Given, size: int) -> Outputs:
    """Return what `run` makes of all inputs, (n, ...) by output, as `results` does it."""
    return joined(results(run, inputs, size), size)


def joined(found: Iterable[tuple[Outputs, int]], size: int) -> Outputs:
    """Return the outputs of batches, each with how many pictures count, as one array by output."""
    parts = [
        {name: by_picture(name, output, size, counted) for name, output in of_batch.items()}
        for of_batch, counted in found
    ]
    return {name: _joined(name, [part.get(name) for part in parts]) for name in parts[0]}


def _joined(name: str, parts: list[NDArray[np.float32] | None]) -> NDArray[np.float32]:
    """Return the batches of one output as one array."""
    known = [part for part in parts if part is not None]
    if len(known) < len(parts) or len({part.shape[1:] for part in known}) > 1:
        raise ModelError(
            f"the network's output {name} has another shape for other pictures, so that it cannot "
            "be compared: choose others with --compare"
        )
    return np.concatenate(known)


def by_picture(name: str, output: NDArray[Any], batch: int, counted: int) -> NDArray[np.float32]:
    """Return the output of one batch, pictures first, without those that only filled it up."""
    if batch == 1 and (output.ndim == 0 or output.shape[0] != 1):
        output = output[None]
    if output.shape[0] != batch:
        raise ModelError(
            f"the network's output {name} of shape {output.shape} does not have its batch "
            f"({batch}) first"
        )
    return np.asarray(output[:counted], dtype=np.float32)
