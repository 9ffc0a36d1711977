"""Calling pyACL: every return code is looked at, and unpacked by the shape the call has.

pyACL exports functions only, takes positional arguments only, and raises nothing when the
device fails. What comes back has one of three shapes, and so there are three ways to call:

- `done`: a code alone;
- `value`: one value or more, and the code last;
- `handle`: a bare number, of which 0 means failure.

Constants and codes are CANN's (`acl_base.h`, "aclError"), because the module has none.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from ..errors import MeasurementError

SUCCESS = 0
REPEAT_INITIALIZE = 100002
MALLOC_HUGE_FIRST = 0
HOST_TO_DEVICE, DEVICE_TO_HOST = 1, 2
RUN_MODE_HOST = 1
MEMORY_HBM = 1
INFO_AI_CORES = 101

NUMPY_TYPES = {
    0: "float32",
    1: "float16",
    2: "int8",
    3: "int32",
    4: "uint8",
    6: "int16",
    7: "uint16",
    8: "uint32",
    9: "int64",
    10: "uint64",
    11: "float64",
    12: "bool",
}
BF16 = 27

NAMES = {
    100000: "INVALID_PARAM",
    100001: "UNINITIALIZE",
    100002: "REPEAT_INITIALIZE",
    100003: "INVALID_FILE",
    100037: "REPEAT_FINALIZE",
    100039: "COMPILING_STUB_MODE: LD_LIBRARY_PATH names a devlib folder",
    107000: "PARAM_INVALID",
    107001: "INVALID_DEVICEID",
    107002: "CONTEXT_NULL",
    107003: "STREAM_CONTEXT",
    107004: "MODEL_CONTEXT",
    107006: "EVENT_TIMESTAMP_INVALID",
    107017: "INVALID_HANDLE",
    107020: "TASK_TIMEOUT",
    145001: "EXEC_NOT_INIT",
    145002: "MODEL_PATH_INVALID",
    145003: "MODEL_ID_INVALID",
    145006: "MODEL_DATA_SIZE_INVALID",
    148049: "INVALID_OPP_PATH: source CANN's set_env.sh",
    200000: "BAD_ALLOC",
    207001: "MEMORY_ALLOCATION: the device is out of memory",
    207004: "NO_DEVICE",
    207018: "the device is out of memory",
    500000: "INTERNAL",
    500002: "GE_FAILURE",
    507007: "CONTEXT_RELEASE",
    507010: "LOST_HEARTBEAT",
    507011: "MODEL_EXECUTE",
    507014: "AICORE_TIMEOUT",
    507015: "AICORE_EXCEPTION",
    507017: "AICPU_TIMEOUT",
    507018: "AICPU_EXCEPTION",
    507033: "DEV_SETUP_ERROR",
    507046: "STREAM_SYNC_TIMEOUT",
    545601: "EXECUTE_TIMEOUT",
}


class AclError(MeasurementError):
    """A call of pyACL that failed. `code` is CANN's; 0 where a call has none."""

    def __init__(self, call: str, code: int, said: str, stage: str) -> None:
        name = f" ({NAMES[code]})" if code in NAMES else ""
        with_code = f" with {code}{name}" if code else ""
        also = f": {said}" if said else ""
        super().__init__(f"acl.{call} failed{with_code}{also}", stage)
        self.code = code


def is_fatal(code: int) -> bool:
    """Runtime-internal errors (507xxx) leave the context unusable until the device is reset."""
    return 507000 <= code <= 507999


def is_bad_model(code: int) -> bool:
    """Codes of a file that is not, or no longer, a model that this CANN can load."""
    return code in (145002, 145006, 545001) or 100012 <= code <= 100016


class Acl:
    """pyACL with its codes checked. `stage` is what errors are said to belong to."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.stage = "prepare"

    def call(self, name: str, *arguments: object) -> Any:
        """A call without a code: its result as it is."""
        function = self.module
        for part in name.split("."):
            function = getattr(function, part)
        return function(*arguments)

    def done(self, name: str, *arguments: object) -> None:
        self.check(name, self.call(name, *arguments))

    def value(self, name: str, *arguments: object) -> Any:
        """The value; a tuple of them where the call has several."""
        *values, code = self.call(name, *arguments)
        self.check(name, code)
        return values[0] if len(values) == 1 else tuple(values)

    def found(self, name: str, *arguments: object) -> Any:
        """A bare result that is empty (0, None) if the call failed."""
        found = self.call(name, *arguments)
        if not found:
            raise AclError(name, 0, self._said(), self.stage)
        return found

    def handle(self, name: str, *arguments: object) -> int:
        return int(self.found(name, *arguments))

    def check(self, name: str, code: int) -> None:
        """`AclError` unless the code is success; stage `crash` if the device is lost."""
        if code != SUCCESS:
            stage = "crash" if is_fatal(code) else self.stage
            raise AclError(name, code, self._said(), stage)

    def _said(self) -> str:
        """The thread's last error in CANN's words, on one line."""
        with suppress(Exception):  # not every version has it
            return " ".join(str(self.module.get_recent_err_msg() or "").split())[:200]
        return ""
