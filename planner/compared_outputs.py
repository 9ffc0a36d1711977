"""What a plan compares of the network's outputs: what the user asked for, or every output.

It is decided once, on pictures of the fit split, and the plan records it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..factors.array_cache import ArrayCache
from ..inputs.examples import Given
from ..models.batching import spread
from ..models.compared import Compared, ComparedPart
from ..models.network import Network, Outputs
from ..models.output_groups import size_groups

EXAMPLES = 16
"""Examples that the sizes of outputs are taken from: they differ tenfold, or do not matter."""
VERSION = 1
"""Changes with how what is compared is chosen."""


@dataclass(frozen=True, slots=True)
class ComparedChoice:
    """What is compared, and what the reader should know of it, in sentences."""

    compared: Compared
    notes: tuple[str, ...] = ()


def choose_compared(
    network: Network,
    asked: str | None,
    inputs: Callable[[], Given],
    inputs_sha256: str,
    cache: ArrayCache,
) -> ComparedChoice:
    """Return what `asked` says (see `Compared.parse`), or every output whose values differ from
    example to example, in groups of channels of about one size.

    `inputs` makes examples, and is not called where the choice is in the cache. Raises
    `UsageError` for selections that take nothing, `ModelError` for outputs that are not there.
    """
    key = [VERSION, network.sha256, network.framework, inputs_sha256, asked]
    known = cache.read("compared", key)
    if known is not None:
        return _from_json(bytes(known["json"]).decode())
    chosen = _chosen(network, asked, network.outputs(spread(inputs(), EXAMPLES)))
    text = np.frombuffer(json.dumps(asdict(chosen)).encode(), np.uint8)
    cache.write("compared", key, {"json": text})
    return chosen


def _from_json(text: str) -> ComparedChoice:
    given = json.loads(text)
    parts = tuple(ComparedPart(**part) for part in given["compared"]["parts"])
    return ComparedChoice(Compared(parts), tuple(given["notes"]))


def _chosen(network: Network, asked: str | None, outputs: Outputs) -> ComparedChoice:
    if asked is not None:
        compared = Compared.parse(asked)
        compared.check(outputs)
        return ComparedChoice(compared)
    left_out = dict(network.output_names.left_out)
    left_out |= {name: why for name, one in outputs.items() if (why := _says_nothing(one))}
    notes = [f"the output {name} is not compared: it {why}" for name, why in left_out.items()]
    parts: list[ComparedPart] = []
    for name in (name for name in outputs if name not in left_out):
        groups = size_groups(outputs[name])
        parts += [ComparedPart(name, group) for group in groups or [""]]
        notes += _of_groups(name, groups)
    if not parts:
        raise ModelError(f"the network has nothing to compare: {'; '.join(notes)}")
    return ComparedChoice(Compared(tuple(parts)), tuple(notes))


def _says_nothing(output: NDArray[np.float32]) -> str:
    """Return why an output tells no network from another one; else nothing."""
    if not np.isfinite(output).all():
        return "holds numbers that are not finite"
    if not output.any():
        return "is 0 for all pictures"
    return "is the same for all pictures" if _is_constant(output) else ""


def _is_constant(output: NDArray[np.float32]) -> bool:
    return len(output) > 1 and bool((output == output[:1]).all())


def _of_groups(name: str, groups: list[str]) -> Iterator[str]:
    if groups:
        parts = ", ".join(f"{name}{group}" for group in groups)
        yield (
            f"the output {name} holds channels of very different sizes, each group of which is "
            f"compared by itself: {parts} (--compare {name} takes all together)"
        )
