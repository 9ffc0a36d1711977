"""What a processor's instruction sets mean for those who read of them."""

from __future__ import annotations

INTEGER_KERNELS = {
    "amx_int8": "AMX int8",
    "avx512_vnni": "AVX-512 VNNI",
    "avx_vnni": "AVX VNNI",
    "i8mm": "Arm int8 matrix products",
    "asimddp": "Arm dot product",
}
"""An instruction set, as a fingerprint's `isa` names it -> what it multiplies int8 by."""


def integer_kernels(isa: str) -> str:
    """Return what a processor of that `isa` multiplies int8 by; nothing where it has no instruction
    of its own for it, and widens to 16 bits first, at little more than the speed of float32."""
    found = [name for flag, name in INTEGER_KERNELS.items() if flag in isa.split()]
    return ", ".join(found)
