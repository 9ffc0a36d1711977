"""Measuring processes keep their memory, unless the user has said otherwise."""

import pytest

from rankwise.backends import malloc_env
from rankwise.backends.torch_cpu import TorchCpuBackend


def test_a_process_that_measures_keeps_its_heap_and_the_rest_of_its_environment() -> None:
    made = malloc_env.keeping({"HOME": "/h"})
    assert made == {"HOME": "/h", **malloc_env.KEPT}


@pytest.mark.parametrize("name", ["LD_PRELOAD", "GLIBC_TUNABLES", "MALLOC_ARENA_MAX"])
def test_what_the_user_set_stays(name: str) -> None:
    own = {name: "x"}
    assert malloc_env.keeping(own) == own
    assert malloc_env.described(own) == f"{name}=x"


def test_parent_and_measuring_process_describe_the_same() -> None:
    assert malloc_env.described({}) == malloc_env.described(malloc_env.keeping({}))


def test_the_fingerprint_names_it() -> None:
    assert TorchCpuBackend().device.software()["heap"] == malloc_env.described()
