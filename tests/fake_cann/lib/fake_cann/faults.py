"""Which call fails, and how: a list of `CALL:N=WHAT`, or `random:SEED:RATE`, or both.

Counting is by the call's name; `N` may be `*`. Behaviour 35.
"""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass, field

RELEASES = frozenset(
    {
        *("acl.finalize", "acl.finalize_reference", "acl.destroy_data_buffer"),
        *("acl.rt.reset_device", "acl.rt.reset_device_force", "acl.rt.destroy_context"),
        *("acl.rt.destroy_stream", "acl.rt.destroy_event", "acl.rt.free", "acl.rt.free_host"),
        *("acl.mdl.unload", "acl.mdl.destroy_desc", "acl.mdl.destroy_dataset"),
    }
)
"""Calls that give something back. One that fails by a fault has given it back all the same."""

_RELEASING = dict.fromkeys(RELEASES, (500000, 507000, 507899))
_SYNCHRONISING = dict.fromkeys(
    (
        "acl.rt.synchronize_stream",
        "acl.rt.synchronize_stream_with_timeout",
        "acl.rt.synchronize_device",
        "acl.rt.synchronize_event",
    ),
    (507015, 507014, 507010, 507000),
)
_ASKING = dict.fromkeys(
    (
        *("acl.get_soc_name", "acl.create_data_buffer", "acl.get_cann_version"),
        *("acl.mdl.create_desc", "acl.mdl.create_dataset", "acl.mdl.get_desc"),
        *("acl.mdl.get_num_inputs", "acl.mdl.get_num_outputs", "acl.mdl.query_size"),
        *("acl.mdl.get_input_size_by_index", "acl.mdl.get_output_size_by_index"),
        *("acl.mdl.get_input_dims", "acl.mdl.get_output_dims", "acl.rt.get_device_count"),
        *("acl.rt.get_context", "acl.rt.get_device", "acl.rt.get_run_mode"),
    ),
    (500000,),
)
FITTING: dict[str, tuple[int | str, ...]] = {
    **_RELEASING,
    **_SYNCHRONISING,
    **_ASKING,
    "acl.init": (500000,),
    "acl.rt.set_device": (507033, 207004),
    "acl.rt.create_context": (207005,),
    "acl.rt.set_context": (507000,),
    "acl.rt.create_stream": (207008, 207005),
    "acl.rt.create_event": (207007,),
    "acl.rt.create_event_with_flag": (207007,),
    "acl.rt.record_event": (507000,),
    "acl.rt.event_elapsed_time": (507000,),
    "acl.rt.malloc": (207001, 207018),
    "acl.rt.malloc_host": (207001,),
    "acl.rt.memcpy": (507000, 507899),
    "acl.rt.memcpy_async": (507000,),
    "acl.rt.memset": (507000,),
    "acl.rt.get_mem_info": (507000,),
    "acl.mdl.load_from_file": (545001, 245000, 545005),
    "acl.mdl.load_from_mem": (545001, 245000, 545005),
    "acl.mdl.add_dataset_buffer": (200000,),
    "acl.mdl.execute": (545000, 507011, 545601, 507015, 507014, 507010),
    "acl.mdl.execute_async": (545000, 507011, 545601, 507015, 507010),
    "atc": ("E40001", "E19999", "EZ9999"),
}
"""What a random fault of a call may be; a call that is not here never fails by chance."""


class BadFaults(ValueError):
    """The specification cannot be read."""


@dataclass
class Faults:
    """`planned`: (call, n or 0 for every call) -> what. `ordinal` tells processes apart."""

    planned: dict[tuple[str, int], int | str] = field(default_factory=dict)
    seed: str = ""
    rate: float = 0.0
    ordinal: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    fired: list[tuple[str, int, int | str]] = field(default_factory=list)

    @classmethod
    def parse(cls, text: str, ordinal: int = 0) -> Faults:
        """Raises `BadFaults`."""
        faults = cls(ordinal=ordinal)
        for part in filter(None, (piece.strip() for piece in text.split(","))):
            try:
                faults._add(part)
            except ValueError as error:
                raise BadFaults(f"{part!r} is no fault; write acl.rt.malloc:3=207001") from error
        return faults

    def _add(self, part: str) -> None:
        if part.startswith("random:"):
            _, self.seed, rate = part.split(":")
            self.rate = float(rate)
            return
        call, what = part.split("=")
        name, number = call.split(":")
        key = (name, 0 if number == "*" else int(number))
        self.planned[key] = int(what) if what.isdigit() else what

    def next(self, call: str, number: int | None = None) -> int | str | None:
        """Count this call (or take `number`, counted elsewhere) and say what happens to it."""
        if number is None:
            number = self.counts.get(call, 0) + 1
        self.counts[call] = number
        what = self.planned.get((call, number), self.planned.get((call, 0)))
        if what is None:
            what = self._by_chance(call, number)
        if what is not None:
            self.fired.append((call, number, what))
        return what

    def _by_chance(self, call: str, number: int) -> int | str | None:
        if not self.rate or call not in FITTING:
            return None
        draw = random.Random(f"{self.seed}/{self.ordinal}/{call}/{number}")
        return draw.choice(FITTING[call]) if draw.random() < self.rate else None


def hang(seconds: float) -> bool:
    """Not to return for `seconds`, unless the parent dies: nobody waits any more then.

    Whether it was so."""
    parent, end = os.getppid(), time.monotonic() + seconds
    while time.monotonic() < end:
        if os.getppid() != parent:
            return True
        time.sleep(0.02)
    return False


def crash() -> None:
    """Die as a fault in C would. (A core dump of an interpreter helps nobody.)"""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGSEGV)
