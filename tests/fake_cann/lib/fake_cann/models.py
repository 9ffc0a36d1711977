"""Loaded models, and outputs that are computed when somebody looks at them.

A model that has been executed a thousand times in a row on the same inputs has to be computed
once: what was carried out is written down, and made good before memory is next touched.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from .calls import Failed
from .memory import Memory
from .om import Om, Program


@dataclass(slots=True, eq=False)
class Model:
    """`context` is the one it was loaded in; `executions` counts what was carried out."""

    path: str
    om: Om
    context: Any
    device: int
    launched: int = 0
    executions: int = 0
    _program: Program | None = None
    _known: tuple[list[bytes], list[bytes]] | None = None

    def compute(self, inputs: list[bytes]) -> list[bytes]:
        """Outputs of the same inputs as last time are remembered."""
        if self._known is None or self._known[0] != inputs:
            self._program = self._program or Program(self.om)
            self._known = (inputs, self._program.run(inputs))
        return self._known[1]

    def told(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "sha256": hashlib.sha256(self.om.onnx).hexdigest(),
            "executions": self.executions,
            "device_s": self.om.device_s,
            "soc": self.om.soc,
            "precision": self.om.precision,
        }


Span = tuple[int, int]
"""Pointer and length of one buffer."""


@dataclass(frozen=True, slots=True)
class Execution:
    """One run that is over, as far as clocks are concerned."""

    model: Model
    inputs: tuple[Span, ...]
    outputs: tuple[Span, ...]

    def check(self, memory: Memory) -> None:
        """Behaviour 25: raises `Failed` (507015) unless all of it is live device memory."""
        for pointer, length in (*self.inputs, *self.outputs):
            block = memory.find(pointer)
            beyond = block is None or pointer + length > block.base + block.capacity
            if length and (beyond or block is None or block.device is None):
                where = memory.describe(pointer)
                raise Failed(507015, f"the core was given {length} bytes at {where}")

    def carry_out(self, memory: Memory) -> None:
        tensors = self.model.om.inputs
        inputs = [
            # an input of length 0 is skipped (GS): what is computed with is not defined
            memory.read(pointer, length) if length else bytes(tensor.size_bytes)
            for (pointer, length), tensor in zip(self.inputs, tensors, strict=True)
        ]
        for (pointer, _), data in zip(self.outputs, self.model.compute(inputs), strict=True):
            memory.write(pointer, data)


@dataclass
class Outputs:
    """Executions that are over but not computed. `settle` before memory is looked at."""

    memory: Memory
    owed: list[Execution] = field(default_factory=list)

    def add(self, execution: Execution) -> None:
        if execution in self.owed:
            if self._feeds_another():
                self.settle()
            else:
                self.owed.remove(execution)
        self.owed.append(execution)

    def settle(self) -> None:
        owed, self.owed = self.owed, []
        for execution in owed:
            execution.carry_out(self.memory)

    def clear(self) -> None:
        self.owed.clear()

    def _feeds_another(self) -> bool:
        """Whether running it again may give something else: an input may have been written."""
        written = [span for one in self.owed for span in one.outputs]
        read = [span for one in self.owed for span in one.inputs]
        return any(_overlap(a, b) for a in written for b in read)


def _overlap(a: Span, b: Span) -> bool:
    return a[0] < b[0] + b[1] and b[0] < a[0] + a[1]
