"""A network's layers, read in a process of its own: `python -m rankwise.jobs.describe_network`.

A file that came over the network is opened where it can do no harm: with bounded memory and
time, and at the lowest priority, because a measurement may be running. The process reads one
JSON document (a `NetworkEntry`) and writes one: the entry described, or an error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..errors import ModelError, RankwiseError
from .artifacts import NetworkEntry

MEMORY_BYTES = 6 << 30
TIMEOUT_S = 180.0


def described(entry: NetworkEntry) -> NetworkEntry:
    """The entry with its hash, input shape, layers and their graph; run in the artifacts's
    folder."""
    from ..inputs.examples import AskedInput
    from ..models.layer_graph import layer_graph
    from ..models.source import load_network
    from ..workflow.inspect import layers

    network = load_network(
        entry.model,
        weights=entry.weights,
        input_shape=entry.input_shape,
        inputs=[AskedInput(*one) for one in entry.inputs],
    )
    document, graph = layers(network), layer_graph(network)
    model = document.model
    return replace(
        entry,
        id=entry.id if entry.format == "zoo" else model.sha256,
        sha256=model.sha256,
        input_shape=None if model.inputs else model.input_shape,
        layers=document.model_dump(mode="json"),
        graph=asdict(graph) if graph else {},
    )


def describe_apart(entry: NetworkEntry, folder: Path) -> NetworkEntry:
    """`described` in another process. Raises `ModelError` with what that process says."""
    command = [sys.executable, "-P", "-m", "rankwise.jobs.describe_network"]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(asdict(entry)),
            capture_output=True,
            text=True,
            cwd=folder,
            timeout=TIMEOUT_S,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        answer: dict[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise ModelError(f"reading the network took more than {TIMEOUT_S:.0f} s") from None
    except ValueError:
        needed = "reading the network needed more memory than is allowed, or ended its process"
        raise ModelError(needed) from None
    if "error" in answer:
        raise ModelError(str(answer["error"]))
    return NetworkEntry.from_json(answer)


def _limit() -> None:
    with suppress(ImportError, OSError, ValueError):  # not on every system
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(AttributeError, OSError):
        os.nice(10)


def main() -> None:
    """Whatever libraries print goes to standard error."""
    entry = NetworkEntry.from_json(json.load(sys.stdin))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _limit()
    try:
        answer = asdict(described(entry))
    except RankwiseError as error:
        answer = {"error": str(error)}
    except MemoryError:
        answer = {"error": "reading the network needs more memory than is allowed"}
    json.dump(answer, answers)
    answers.close()


if __name__ == "__main__":
    main()
