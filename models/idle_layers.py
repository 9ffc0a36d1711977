"""Layers of an ONNX graph at which nothing can be saved that anybody would notice.

ONNX Runtime computes a node whose inputs are all constants once, when it reads the file. A node
that no output depends on it does run (as of 1.32): to leave it out saves all of its time, and any
decomposition only a part.
"""

from __future__ import annotations

from onnx import GraphProto, NodeProto

from .onnx_file import used_names

UNUSED = "no output depends on it: it can be left out of the file"
CONSTANT = "its input is constant, so that runtimes compute it once, when they read the file"

RANDOM = frozenset(
    {
        *("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"),
        *("Bernoulli", "Multinomial"),
    }
)
"""Operators that give something else each time, and so are never computed beforehand."""


def idle_nodes(graph: GraphProto) -> dict[str, str]:
    """Return why nodes are not worth replacing, by the name of their first output."""
    return {**_of_constants(graph), **_unused(graph)}


def _unused(graph: GraphProto) -> dict[str, str]:
    needed = {output.name for output in graph.output}
    unused: dict[str, str] = {}
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed |= used_names([node])
        else:
            unused[node.output[0]] = UNUSED
    return unused


def _of_constants(graph: GraphProto) -> dict[str, str]:
    known = {tensor.name for tensor in graph.initializer}
    found: dict[str, str] = {}
    for node in graph.node:
        if _is_constant(node, known):
            known.update(node.output)
            found[node.output[0]] = CONSTANT
    return found


def _is_constant(node: NodeProto, known: set[str]) -> bool:
    names = {name for name in used_names([node]) if name}
    # What reads nothing but has graphs inside (a Loop) may hold something random.
    plain = not any(one.HasField("g") or one.graphs for one in node.attribute)
    return plain and node.op_type not in RANDOM and names <= known
