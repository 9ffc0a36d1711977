"""Numbers that the documents fix (R 25-01, R 25-02; H 0911), and the chips' figures.

They are here for the fake and its tests only: `acl` itself exports none of them (B).
"""

from __future__ import annotations

from dataclasses import dataclass

NAMES: dict[int, str] = {
    100000: "INVALID_PARAM",
    100001: "UNINITIALIZE",
    100002: "REPEAT_INITIALIZE",
    100003: "INVALID_FILE",
    100006: "PARSE_FILE",
    100037: "REPEAT_FINALIZE",
    100039: "COMPILING_STUB_MODE",
    107000: "PARAM_INVALID",
    107001: "INVALID_DEVICEID",
    107002: "CONTEXT_NULL",
    107003: "STREAM_CONTEXT",
    107004: "MODEL_CONTEXT",
    107006: "EVENT_TIMESTAMP_INVALID",
    107017: "INVALID_HANDLE",
    145000: "GE_PARAM_INVALID",
    145001: "GE_EXEC_NOT_INIT",
    145002: "GE_MODEL_PATH_INVALID",
    145003: "GE_MODEL_ID_INVALID",
    145006: "GE_MODEL_DATA_SIZE_INVALID",
    200000: "BAD_ALLOC",
    207000: "FEATURE_NOT_SUPPORT",
    207001: "MEMORY_ALLOCATION",
    207004: "NO_DEVICE",
    207005: "RESOURCE_ALLOC_FAIL",
    207007: "NO_EVENT_RESOURCE",
    207008: "NO_STREAM_RESOURCE",
    207018: "DEVICE_OOM",
    245000: "GE_MEMORY_ALLOCATION",
    500000: "INTERNAL_ERROR",
    507000: "RT_INTERNAL_ERROR",
    507007: "CONTEXT_RELEASE_ERROR",
    507010: "LOST_HEARTBEAT",
    507011: "MODEL_EXECUTE",
    507014: "AICORE_TIMEOUT",
    507015: "AICORE_EXCEPTION",
    507033: "DEV_SETUP_ERROR",
    507046: "STREAM_SYNC_TIMEOUT",
    507047: "EVENT_SYNC_TIMEOUT",
    507899: "DRV_INTERNAL_ERROR",
    545000: "GE_INTERNAL_ERROR",
    545001: "GE_LOAD_MODEL",
    545005: "GE_LOAD_KERNEL",
    545009: "GE_UNLOAD_MODEL",
    545601: "GE_EXECUTE_TIMEOUT",
}

UNUSABLE = frozenset({507010, 507014, 507015})
"""After these the device refuses work until it is reset (inferred; policy)."""

DATA_TYPES: dict[str, int] = {
    "float32": 0,
    "float16": 1,
    "int8": 2,
    "int32": 3,
    "uint8": 4,
    "int16": 6,
    "uint16": 7,
    "uint32": 8,
    "int64": 9,
    "uint64": 10,
    "float64": 11,
    "bool": 12,
    "bfloat16": 27,
}
SIZES: dict[int, int] = {
    **{0: 4, 1: 2, 2: 1, 3: 4, 4: 1, 6: 2, 7: 2, 8: 4, 9: 8, 10: 8, 11: 8, 12: 1, 27: 2},
}
NCHW, ND = 0, 2

H2H, H2D, D2H, D2D, BY_ADDRESS, H2BUF2D = range(6)
"""Kinds of a copy."""

TIME_LINE = 0x8
EVENT_FLAGS = 0x1 | 0x2 | TIME_LINE | 0x40
DEFAULT_EVENT_FLAGS = TIME_LINE
"""An event without flags of its own carries time stamps (RS event.h)."""


@dataclass(frozen=True, slots=True)
class Chip:
    """`cores` and `mhz` are from RS `platform_config/*.ini`; `gib` where the table has none is
    a guess. `family` decides on ticks, limits and bfloat16."""

    family: str
    cores: int
    mhz: int
    gib: int = 32

    @property
    def tick_ns(self) -> float:
        """Of an event's time stamp (RS `dev_info_reg.cc`)."""
        return {"910b": 20.0, "a3": 20.0, "310b": 1000 / 48}.get(self.family, 1.0)

    @property
    def streams(self) -> int:
        limits = {"910b": 1984, "a3": 1984, "310b": 512, "310p": 1024, "910": 2048}
        return limits[self.family]

    @property
    def events(self) -> int:
        return 1023 if self.family == "310p" else 65536

    @property
    def has_bfloat16(self) -> bool:
        return self.family in ("910b", "a3", "310b")


CHIPS: dict[str, Chip] = {
    "Ascend910A": Chip("910", 32, 1000),
    # Not one of Ascend910B1 to B4, whatever the name suggests (G soc_version).
    "Ascend910B": Chip("910", 30, 900),
    "Ascend910ProA": Chip("910", 32, 1100),
    "Ascend910ProB": Chip("910", 30, 1000),
    "Ascend910PremiumA": Chip("910", 32, 1000),
    "Ascend910B1": Chip("910b", 24, 1850, 64),
    "Ascend910B2": Chip("910b", 24, 1800, 64),
    "Ascend910B2C": Chip("910b", 24, 1800, 64),
    "Ascend910B3": Chip("910b", 20, 1800, 64),
    "Ascend910B4": Chip("910b", 20, 1500, 32),
    "Ascend910B4-1": Chip("910b", 20, 1500, 64),
    **{
        f"Ascend910_{n}": Chip("a3", 24, 1850, 64)
        for n in (9362, 9363, 9372, 9381, 9382, 9391, 9392)
    },
    "Ascend310P1": Chip("310p", 10, 1060, 24),
    "Ascend310P3": Chip("310p", 8, 1060, 24),
    "Ascend310P5": Chip("310p", 8, 1060, 24),
    "Ascend310P7": Chip("310p", 8, 1060, 24),
    "Ascend310B1": Chip("310b", 1, 1224, 16),
    "Ascend310B2": Chip("310b", 1, 1224, 16),
    "Ascend310B3": Chip("310b", 1, 1224, 16),
    "Ascend310B4": Chip("310b", 1, 500, 8),
}
