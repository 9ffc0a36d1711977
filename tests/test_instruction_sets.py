"""What a processor multiplies int8 by, read off its instruction sets."""

import pytest

from rankwise.instruction_sets import integer_kernels


@pytest.mark.parametrize(
    ("isa", "wanted"),
    [
        ("x86_64 avx512_vnni avx512f avx_vnni avx2 fma", "AVX-512 VNNI, AVX VNNI"),
        ("x86_64 amx_int8 amx_tile avx512_vnni avx512f", "AMX int8, AVX-512 VNNI"),
        ("aarch64 i8mm bf16 asimddp asimd", "Arm int8 matrix products, Arm dot product"),
        ("x86_64 avx512f avx2 fma", ""),
        ("", ""),
    ],
)
def test_kernels(isa: str, wanted: str) -> None:
    assert integer_kernels(isa) == wanted
