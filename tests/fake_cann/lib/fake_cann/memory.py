"""The table of allocations: what each pointer is, how far it reaches, whether it still lives.

Device memory has addresses that no process can have (bit 56 is set), so whoever follows one
dies as he would elsewhere. Host memory that `acl` did not allocate is reached through
/proc/self/mem, which answers with an error where a pointer would kill.
"""

from __future__ import annotations

import bisect
import ctypes
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from .calls import Failed

FIRST_ADDRESS = 1 << 56
ALIGNMENT, GRANULE, EXTRA = 64, 32, 32
"""Start of a block; the driver rounds up to 32 bytes and adds 32 (R 11-01)."""
FRESH = 0xCD
_FILLED = 64 << 20
_PAGE = 4096


@dataclass(slots=True, eq=False)
class Block:
    """`size` was asked for, `capacity` is there. `device` is None for page-locked host memory."""

    base: int
    size: int
    capacity: int
    data: memoryview
    device: int | None

    @property
    def kind(self) -> str:
        return "host memory" if self.device is None else "device memory"


class Borrowed:
    """A bytes object whose address was given out. Only if somebody else still holds the object
    is the pointer good (H 0055; behaviour 19)."""

    def __init__(self, source: bytes) -> None:
        self.base, self.size = address_of(source), len(source)
        self.source: bytes | None = source

    @property
    def is_alive(self) -> bool:
        # 2: this attribute, and the argument of getrefcount
        if self.source is not None and sys.getrefcount(self.source) <= 2:
            self.source = None
        return self.source is not None


def address_of(source: bytes) -> int:
    return ctypes.cast(ctypes.c_char_p(source), ctypes.c_void_p).value or 0


class Memory:
    """All blocks of a process, by address."""

    def __init__(self) -> None:
        self._bases: list[int] = []
        self.blocks: dict[int, Block] = {}
        self._next = FIRST_ADDRESS
        self._borrowed: dict[int, Borrowed] = {}
        self._freed_host: dict[int, int] = {}

    def clear(self) -> None:
        self._bases.clear()
        self.blocks.clear()

    def used(self, device: int) -> int:
        return sum(block.capacity for block in self.blocks.values() if block.device == device)

    def allocate(self, size: int, device: int) -> int:
        """Contents are not initialised, and look so."""
        capacity = -(-size // GRANULE) * GRANULE + EXTRA
        data = memoryview(bytearray(capacity))
        data[: min(capacity, _FILLED)] = bytes([FRESH]) * min(capacity, _FILLED)
        base = self._next
        self._next += -(-capacity // _PAGE) * _PAGE + _PAGE  # a gap: neighbours never touch
        return self._add(Block(base, size, capacity, data, device))

    def allocate_host(self, size: int) -> int:
        buffer = ctypes.create_string_buffer(size)
        ctypes.memset(buffer, FRESH, size)
        base = ctypes.addressof(buffer)
        self._freed_host.pop(base, None)
        return self._add(Block(base, size, size, memoryview(buffer).cast("B"), None))

    def _add(self, block: Block) -> int:
        bisect.insort(self._bases, block.base)
        self.blocks[block.base] = block
        return block.base

    def release(self, pointer: int, host: bool) -> None:
        """Behaviour 14 (policy: the closed driver's code is not known)."""
        block = self.blocks.get(pointer)
        if block is None or (block.device is None) != host:
            what = self.describe(pointer)
            raise Failed(107000, f"{what} is not what this call frees")
        if host:
            self._freed_host[pointer] = block.size
        del self.blocks[pointer]
        self._bases.remove(pointer)

    def find(self, pointer: int) -> Block | None:
        """The block that holds the byte at `pointer`."""
        index = bisect.bisect_right(self._bases, pointer) - 1
        if index < 0:
            return None
        block = self.blocks[self._bases[index]]
        return block if pointer < block.base + block.capacity else None

    def is_device(self, pointer: int) -> bool:
        return pointer >= FIRST_ADDRESS

    def describe(self, pointer: int) -> str:
        block = self.find(pointer)
        if block is not None:
            inside = "" if block.base == pointer else f", {pointer - block.base} bytes into it,"
            return f"a {block.kind} block of {block.size} bytes{inside}"
        if self.is_device(pointer):
            return "device memory that is not allocated (any more)"
        return "host memory that acl did not allocate"

    def borrow(self, source: bytes) -> int:
        borrowed = Borrowed(source)
        self._borrowed[borrowed.base] = borrowed
        for other in self._borrowed.values():  # lets go of what nobody else holds
            _ = other.is_alive
        return borrowed.base

    def stale(self, pointer: int) -> bool:
        """Whether `pointer` came from bytes that are gone, or from freed host memory."""
        if self.find(pointer) is not None:
            return False
        # A new object may lie where a dead one lay: whoever lives there now counts.
        lay_here = [
            borrowed
            for borrowed in self._borrowed.values()
            if borrowed.base <= pointer < borrowed.base + max(borrowed.size, 1)
        ]
        if lay_here:
            return not any(borrowed.is_alive for borrowed in lay_here)
        return any(b <= pointer < b + size for b, size in self._freed_host.items())

    def read(self, pointer: int, count: int) -> bytes:
        """Raises `Failed` (107000) for bytes that are not there."""
        block = self.find(pointer)
        if block is not None:
            start = self._offset(block, pointer, count)
            return bytes(block.data[start : start + count])
        self._refuse(pointer)
        return _read_own(pointer, count)

    def write(self, pointer: int, data: bytes) -> None:
        """Raises `Failed` (107000) for bytes that are not there."""
        block = self.find(pointer)
        if block is not None:
            start = self._offset(block, pointer, len(data))
            block.data[start : start + len(data)] = data
            return
        self._refuse(pointer)
        _write_own(pointer, data)

    def require(self, pointer: int, count: int) -> None:
        """Behaviour 18: the bytes asked for have to lie in the size that was asked for."""
        block = self.find(pointer)
        if block is None:
            self._refuse(pointer)
            borrowed = self._borrowed.get(pointer)
            if borrowed is not None and count > borrowed.size:
                raise Failed(107000, f"{count} bytes of a bytes object of {borrowed.size}")
        elif pointer - block.base + count > block.size:
            raise Failed(107000, f"{count} bytes at {self.describe(pointer)}")

    def _offset(self, block: Block, pointer: int, count: int) -> int:
        start = pointer - block.base
        if start + count > block.capacity:
            raise Failed(107000, f"{count} bytes at {self.describe(pointer)}")
        return start

    def _refuse(self, pointer: int) -> None:
        if self.is_device(pointer) or self.stale(pointer):
            raise Failed(107000, f"0x{pointer:x} points to nothing that lives")


def _read_own(pointer: int, count: int) -> bytes:
    try:
        with Path("/proc/self/mem").open("rb", buffering=0) as memory:
            data = os.pread(memory.fileno(), count, pointer)
    except OSError as error:
        raise Failed(107000, f"0x{pointer:x} points to nothing") from error
    if len(data) != count:
        raise Failed(107000, f"{count} bytes at 0x{pointer:x} are not all there")
    return data


def _write_own(pointer: int, data: bytes) -> None:
    _read_own(pointer, len(data))
    ctypes.memmove(pointer, data, len(data))
