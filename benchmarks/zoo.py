"""Every family of networks from reading to the files that are written: right, refused, or wrong?

    python benchmarks/zoo.py zoo.jsonl --budget 30m --no-doctor

Each network of `zoo_networks` is profiled on the fake backend, planned for, and applied in every
format; what is written is opened by what reads it (ONNX Runtime, `torch.export.load`, a state of
the compressed module) and must answer as the network in memory does. Anything else has to be one
sentence of rankwise's own. No clock is read.
"""

from __future__ import annotations

import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import harness
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from zoo_networks import Inputs, Member, members

import rankwise as rw
from rankwise.errors import GoalNotReached, RankwiseError
from rankwise.models.source import load_network

FAKE = "fake:step=4,launch_us=0.0001"
LIMIT = 0.9
"""Of the network error: random weights have no small singular values, and a plan there must be."""
ALIKE = 2e-3
"""Relative difference up to which two answers are the same: float32, by other kernels."""
Arrays = list[NDArray[Any]]


class Different(Exception):
    """A file answers otherwise than the network that it was written from."""


def main() -> None:
    options = harness.arguments(__doc__.partition("\n")[0], only="", again=False)
    log, budget = harness.begin(options)
    for member in members():
        wanted = options.only in member.name and (options.again or not log.of(name=member.name))
        if wanted and budget.left:
            found = judged(member)
            log.add(name=member.name, **found)
            print(f"{member.name}: {found['outcome']} {found['said']}", flush=True)
    summary(log)


def judged(member: Member) -> dict[str, Any]:
    """What became of a network, in a word, and what was said."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            return {"outcome": "right", **whole_way(member, Path(folder))}
    except RankwiseError as error:
        return {"outcome": "refused", "said": str(error)}
    except Different as error:
        return {"outcome": "wrong", "said": str(error)}
    except Exception:  # whatever escapes is what this looks for
        return {"outcome": "traceback", "said": traceback.format_exc()[-800:]}


def whole_way(member: Member, folder: Path) -> dict[str, Any]:
    """From the network to the files of its plan. Raises `Different` and what rankwise raises."""
    model, inputs = member.build()
    db = f"sqlite:///{folder / 'zoo.db'}"
    asked: dict[str, Any] = {"db": db}
    if inputs:
        asked["example_input"] = dict(inputs)
    check_accounts(model, asked.get("example_input"))
    rw.profile(model, backend=FAKE, **asked)
    try:
        plan = rw.plan(model, backend=FAKE, max_error=LIMIT, **asked)
    except GoalNotReached as error:
        plan = error.document
    replaced = sum(one.decomposition.kind != "original" for one in plan.layers)
    for suffix, reopened in FORMATS.items():
        if isinstance(model, nn.Module) or suffix == ".onnx":
            file = folder / f"smaller{suffix}"
            compressed = rw.apply(plan, model, output=file, **asked)
            compare(suffix, compressed, file, inputs, reopened)
    return {"said": f"{replaced} of {len(plan.layers)} layers replaced", "replaced": replaced}


def check_accounts(model: Any, example: Any) -> None:
    """Raise `Different` unless every parameter is accounted for."""
    document = rw.layers(model, example)
    counts = document.parameters
    others = sum(one.parameters for one in counts.others)
    if counts.decomposable + counts.other_layers + others != counts.total:
        raise Different(f"{counts.total} parameters, but not in {counts}")


Reopened = Callable[[Path, Any, Inputs], Arrays]


def of_onnx(file: Path, _compressed: Any, inputs: Inputs) -> Arrays:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    given = inputs if set(names) <= set(inputs) else dict(zip(names, inputs.values(), strict=True))
    return list(session.run(None, {name: given[name].numpy() for name in names}))


def of_pt2(file: Path, _compressed: Any, inputs: Inputs) -> Arrays:
    return arrays(torch.export.load(file).module()(**inputs))


def of_state(file: Path, compressed: nn.Module, inputs: Inputs) -> Arrays:
    from safetensors.torch import load_file

    for parameter in compressed.parameters():
        parameter.data.zero_()
    compressed.load_state_dict(load_file(file))
    return arrays(compressed(**inputs))


FORMATS: dict[str, Reopened] = {".onnx": of_onnx, ".pt2": of_pt2, ".safetensors": of_state}


def compare(suffix: str, compressed: Any, file: Path, inputs: Inputs, reopened: Reopened) -> None:
    """Raise `Different` unless the file answers as the network in memory."""
    with torch.no_grad():
        if isinstance(compressed, nn.Module):
            known, found = arrays(compressed(**inputs)), reopened(file, compressed, inputs)
        else:
            noise = np.random.default_rng(0).standard_normal(compressed.input_shape, np.float32)
            networks = compressed, load_network(file)
            known, found = ([*one.outputs(noise).values()] for one in networks)
    if len(known) != len(found):
        raise Different(f"{suffix}: {len(found)} outputs in place of {len(known)}")
    for number, (one, other) in enumerate(zip(known, found, strict=True)):
        if one.shape != other.shape or not np.allclose(
            one, other, atol=ALIKE * (1 + abs(one).max())
        ):
            raise Different(f"{suffix}: output {number} differs by {abs(one - other).max():.2g}")


def arrays(answer: Any) -> Arrays:
    return [one.detach().numpy() for one in tensors(answer)]


def tensors(answer: Any) -> Iterator[torch.Tensor]:
    """All tensors of an answer, in its order."""
    if isinstance(answer, torch.Tensor):
        yield answer
        return
    parts: Sequence[Any] = answer if isinstance(answer, (tuple, list)) else ()
    for part in answer.values() if isinstance(answer, dict) else parts:
        yield from tensors(part)


def summary(log: harness.Log) -> None:
    """How many networks came to which end, the last word on each."""
    last = {row["name"]: row for row in log.rows if "outcome" in row}
    counts = Counter(row["outcome"] for row in last.values())
    order = ("right", "refused", "wrong", "traceback")
    harness.show(["tried", *order], [[len(last), *(counts[one] for one in order)]])
    planned = sum(bool(row.get("replaced")) for row in last.values())
    harness.verdict(
        "planned and applied", planned / max(len(last), 1), planned >= 0.9 * len(last), ">= 0.9"
    )
    harness.verdict("wrong", counts["wrong"], not counts["wrong"], "0")
    harness.verdict("tracebacks", counts["traceback"], not counts["traceback"], "0")


if __name__ == "__main__":
    main()
