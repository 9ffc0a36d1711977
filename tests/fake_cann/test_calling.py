"""How calls come in and go out. The number in a test's name is the behaviour's."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

MISSING = ["", "rt", "mdl", "util", "op", "prof"]
INVENTED = {
    "": ["ACL_SUCCESS", "ACL_MEM_MALLOC_HUGE_FIRST", "ACL_FLOAT", "memcpy", "create_tensor"],
    "rt": ["get_soc_name", "ACL_MEM_MALLOC_HUGE_FIRST", "MEMCPY_HOST_TO_DEVICE", "MEMCPY_D2H"],
    "mdl": ["load", "get_input_size", "ACL_MDL_PRIORITY_INT32"],
    "util": ["ptr_to_array", "vector_to_ptr"],
    "op": ["create_attr", "execute"],
    "prof": ["init", "start"],
}


@pytest.mark.parametrize(
    ("call", "arguments", "keywords"),
    [
        ("rt.malloc", (64,), {"policy": 0}),
        ("rt.malloc", (), {"size": 64, "policy": 0}),
        ("rt.malloc", (64,), {}),
        ("rt.malloc", (64, 0, 0), {}),
        ("rt.malloc", ("64", 0), {}),
        ("rt.malloc", (64.0, 0), {}),
        ("rt.malloc", (None, 0), {}),
        ("rt.malloc", (np.int64(64), 0), {}),
        ("rt.set_device", ("0",), {}),
        ("rt.set_device", (2**31,), {}),
        ("rt.memcpy", (1, 2, 3, 4), {}),
        ("mdl.execute", ("1", 2, 3), {}),
        ("mdl.execute", ((1, 0), 2, 3), {}),
        ("mdl.load_from_file", (b"x.om",), {}),
        ("mdl.load_from_file", (1,), {}),
        ("init", (1,), {}),
        ("finalize", (0,), {}),
    ],
)
def test_behaviour_01_wrong_arguments(
    acl: Any, call: str, arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> None:
    module, _, name = call.rpartition(".")
    function = getattr(getattr(acl, module) if module else acl, name)
    with pytest.raises(TypeError):
        function(*arguments, **keywords)


def test_behaviour_01_ids_take_what_has_an_index(device: Any) -> None:
    assert device.rt.get_device_utilization_rate(np.int64(0))[1] == 0


@pytest.mark.parametrize("module", INVENTED)
def test_behaviour_02_nothing_but_functions_of_the_documents(acl: Any, module: str) -> None:
    where = getattr(acl, module) if module else acl
    for name in INVENTED[module]:
        with pytest.raises(AttributeError):
            getattr(where, name)


def test_behaviour_02_no_constants_at_all(acl: Any) -> None:
    for module in (acl, acl.rt, acl.mdl, acl.util):
        public = {name: getattr(module, name) for name in dir(module) if name[0] != "_"}
        assert public
        for name, value in public.items():
            assert callable(value) or type(value).__name__ == "module", name


@pytest.mark.usefixtures("acl")
def test_behaviour_02_sub_modules_are_attributes_only() -> None:
    with pytest.raises(ModuleNotFoundError, match="not a package"):
        importlib.import_module("acl.rt")


def test_behaviour_02_new_calls_are_missing_in_old_versions(fake_cann: Any) -> None:
    for name in ("get_cann_version", "finalize_reference"):
        assert not hasattr(fake_cann.acl, name)


def test_new_calls_of_new_versions(fake_cann: Any) -> None:
    fake_cann.configure(version="8.5.1")
    acl = fake_cann.acl
    version, code = acl.get_cann_version(0)
    assert (version["version"], version["minor_version"], code) == ("8.5.1", 5, 0)
    assert acl.get_cann_version(1) == ({}, 100000)
    assert acl.init() == 0
    assert acl.init() == 100002
    assert acl.finalize_reference() == (1, 0)
    assert acl.finalize_reference() == (0, 0)
    assert acl.finalize() == 100037


def test_three_shapes_of_results(device: Any) -> None:
    assert device.rt.malloc(0, 0) == (0, 100000)
    assert device.rt.get_mem_info(99) == (0, 0, 0)
    assert device.get_version() == (1, 14, 0, 0)
    assert device.rt.free(0) == 100000
    assert device.mdl.get_num_inputs(0) == 0
    assert device.data_type_size(1) == 2


def test_the_last_error_is_text_and_no_tuple(device: Any) -> None:
    assert device.get_recent_err_msg() is None
    device.rt.free(0)
    message = device.get_recent_err_msg()
    assert isinstance(message, str)
    assert "acl.rt.free" in message
    assert "100000" in message
    assert device.get_recent_err_msg() is None


def test_behaviour_36_no_soc_name(fake_cann: Any) -> None:
    fake_cann.configure(soc="none")
    assert fake_cann.acl.get_soc_name() is None
    assert fake_cann.acl.init() == 500000


def test_behaviour_36_the_soc_name_needs_no_init(fake_cann: Any) -> None:
    fake_cann.configure(soc="Ascend310P3")
    assert fake_cann.acl.get_soc_name() == "Ascend310P3"


def test_behaviour_37_no_module(fake_cann: Any) -> None:
    assert fake_cann.acl
    fake_cann.off()
    with pytest.raises(ModuleNotFoundError, match="acl"):
        importlib.import_module("acl")
    code = "import acl"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert "ModuleNotFoundError" in done.stderr
    assert "toolkit" not in os.environ.get("PATH", "")


def test_behaviour_37_no_library(fake_cann: Any) -> None:
    fake_cann.configure(**{"import": "missing_library"})
    with pytest.raises(ImportError, match="libascendcl") as caught:
        importlib.import_module("acl")
    assert not isinstance(caught.value, ModuleNotFoundError)
