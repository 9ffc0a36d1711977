"""The program `atc`: behaviour 38."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import time
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from fake_cann.atc_flags import CHOICES, AtcError, parse
from fake_cann.om import Om, rounded

from .conftest import save_network

SOC = "Ascend910B4"


def run(*flags: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["atc", *flags], capture_output=True, text=True, timeout=60, **more)


def conversion(network: Path, prefix: str = "out", **flags: str) -> list[str]:
    """`-` for a flag leaves it away."""
    given = {"model": str(network), "framework": "5", "output": prefix, "soc_version": SOC, **flags}
    return [f"--{name}={value}" for name, value in given.items() if value != "-"]


def test_behaviour_38_success(fake_cann: Any, onnx_file: Path, tmp_path: Path) -> None:
    done = run(*conversion(onnx_file))
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert done.stderr == ""
    assert lines[0].startswith("ATC start working now")
    assert lines[-1] == "ATC run success, welcome to the next use."
    assert (tmp_path / "out.om").is_file()
    assert list((tmp_path / "kernel_meta").glob("*.o")), "compiling litters the working directory"
    (told,) = fake_cann.atc_runs()
    assert told["argv"] == conversion(onnx_file)
    assert told["cwd"] == str(tmp_path)
    assert told["om"] == "out.om"
    assert told["returncode"] == 0


def test_behaviour_38_the_other_name(fake_cann: Any, onnx_file: Path, tmp_path: Path) -> None:
    fake_cann.configure(om_name="os_arch")
    assert run(*conversion(onnx_file)).returncode == 0
    assert [path.name for path in tmp_path.glob("*.om")] == ["out_linux_aarch64.om"]


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        ({"framework": "-"}, "E10007"),
        ({"soc_version": "Ascend910C"}, "E10001"),
        ({"soc_version": "-"}, "E10001"),
        ({"model": "none.onnx"}, "E10001"),
        ({"input_shape": "z:1,3,12,12"}, "E10011"),
    ],
)
@pytest.mark.usefixtures("fake_cann")
def test_behaviour_38_errors_are_on_standard_output(
    onnx_file: Path, tmp_path: Path, flags: dict[str, str], code: str
) -> None:
    done = run(*conversion(onnx_file, **flags))
    assert done.returncode == 255
    assert done.stderr == ""
    start, failed, error = done.stdout.splitlines()[:3]
    assert start.startswith("ATC start working now")
    assert failed.startswith("ATC run failed, Please check the detail log")
    assert error.startswith(f"{code}: ")
    assert not list(tmp_path.glob("*.om"))


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        ({"output": "-"}, "E10004"),
        ({"model": "-"}, "E10004"),
        ({"framework": "7"}, "E10001"),
        ({"framework": "3"}, "E10001"),
        ({"log": "loud"}, "E10010"),
        ({"precision_mode": "fp16"}, "E10001"),
        ({"precision_mode_v2": "force_fp16"}, "E10001"),
        ({"precision_mode": "force_fp16", "precision_mode_v2": "fp16"}, "E10001"),
        ({"input_shape": "x"}, "E10002"),
        ({"input_shape": "x:1,3,0,12"}, "E10002"),
        ({"input_shape": "x:1,3,-1,12"}, "E10002"),
        ({"output": "a b"}, "E10001"),
        ({"output": "a[0]"}, "E10001"),
        ({"is_input_adjust_hw_layout": "maybe"}, "E10005"),
        ({"op_select_implmode": "fast"}, "E10001"),
        ({"rank": "7"}, "E10001"),
        ({"mode": "1"}, "E10004"),
        ({"soc_version": "Ascend310P3", "precision_mode_v2": "mixed_bfloat16"}, "E10001"),
    ],
)
def test_behaviour_38_flags_that_are_refused(
    onnx_file: Path, flags: dict[str, str], code: str
) -> None:
    with pytest.raises(AtcError) as caught:
        parse(conversion(onnx_file, **flags))
    assert caught.value.code == code


def test_flags_may_be_given_in_two_words(onnx_file: Path) -> None:
    words = [w for flag in conversion(onnx_file) for w in flag.split("=")]
    assert parse(words).given == parse(conversion(onnx_file)).given
    assert parse(conversion(onnx_file)).precision == "float16", "unless told otherwise"


def test_every_choice_of_a_flag_is_taken(onnx_file: Path) -> None:
    for name in set(CHOICES) - {"framework", "mode"}:
        for value in CHOICES[name]:
            assert parse(conversion(onnx_file, **{name: value})).get(name) == value


@pytest.mark.usefixtures("fake_cann")
def test_help() -> None:
    assert run("--help").returncode == 0


@pytest.mark.parametrize("opset", [11, 18, 10, 19])
@pytest.mark.usefixtures("onnx_file")
def test_opsets(compile_om: Any, tmp_path: Path, opset: int) -> None:
    model = save_network(tmp_path / "x.onnx", opset=opset)
    if opset in (11, 18):
        assert compile_om(f"opset{opset}", model=model).is_file()
    else:
        with pytest.raises(AtcError, match="opset"):
            compile_om("no", model=model)


def test_dynamic_inputs_need_their_shape(compile_om: Any, tmp_path: Path) -> None:
    model = save_network(tmp_path / "x.onnx", batch="n")
    with pytest.raises(AtcError, match="dynamic"):
        compile_om("no", model=model)
    with pytest.raises(AtcError, match="the model's"):
        compile_om("no", model=model, input_shape="x:4,3,13,12")
    om = Om.from_bytes(compile_om("four", model=model, input_shape="x:4,3,12,12").read_bytes())
    assert om.inputs[0].dims == (4, 3, 12, 12)
    assert om.outputs[0].dims == (4, 8, 10, 10)
    assert om.macs == 4 * 100 * 8 * 27


def test_no_onnx(compile_om: Any, tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"no network")
    with pytest.raises(AtcError) as caught:
        compile_om("no", model=tmp_path / "x.onnx")
    assert caught.value.code == "E11001"


@pytest.mark.usefixtures("onnx_file")
def test_types_of_inputs_and_outputs(compile_om: Any) -> None:
    plain = Om.from_bytes(compile_om("plain").read_bytes())
    half = compile_om("half", input_fp16_nodes="x", output_type="FP16")
    om = Om.from_bytes(half.read_bytes())
    assert (om.inputs[0].data_type, om.outputs[0].data_type) == (1, 1)
    assert om.inputs[0].size_bytes * 2 == plain.inputs[0].size_bytes
    assert om.device_s < plain.device_s, "no Cast at the edges"


@pytest.mark.usefixtures("fake_cann")
def test_the_compilers_cache(onnx_file: Path, tmp_path: Path) -> None:
    flags = conversion(onnx_file, op_compiler_cache_mode="enable")
    assert run(*flags, env={**os.environ, "HOME": str(tmp_path / "home")}).returncode == 0
    assert (tmp_path / "home" / "atc_data" / "kernel_cache").is_dir()
    flags.append(f"--op_compiler_cache_dir={tmp_path}/cache")
    assert run(*flags, env={**os.environ, "ASCEND_CACHE_PATH": "/nowhere"}).returncode == 0
    assert (tmp_path / "cache" / "kernel_cache").is_dir()


@pytest.mark.usefixtures("fake_cann")
def test_showing_a_model(om: Path, tmp_path: Path) -> None:
    shown = run("--mode=6", f"--om={om}")
    assert shown.returncode == 0
    assert SOC in shown.stdout
    assert run("--mode=1", f"--om={om}", "--json=x.json").returncode == 0
    assert SOC in (tmp_path / "x.json").read_text()
    assert "E13026" in run("--mode=6", "--om=none.om").stdout


@pytest.mark.usefixtures("fake_cann")
def test_without_its_environment(onnx_file: Path) -> None:
    stripped = {k: v for k, v in os.environ.items() if k != "ASCEND_OPP_PATH"}
    done = run(*conversion(onnx_file), env=stripped)
    assert done.returncode == 255
    assert "set_env.sh" in done.stdout
    done = run(*conversion(onnx_file), env={**os.environ, "TE_PARALLEL_COMPILER": "64"})
    assert "TE_PARALLEL_COMPILER" in done.stdout


@pytest.mark.parametrize("fault", ["E40001", "no_om", "truncated_om", "crash"])
def test_planned_faults(
    fake_cann: Any, device: Any, onnx_file: Path, tmp_path: Path, fault: str
) -> None:
    """The second of all compilations, in whichever process."""
    fake_cann.configure(faults=f"atc:2={fault}")
    assert run(*conversion(onnx_file, "first")).returncode == 0
    done = run(*conversion(onnx_file, "second"))
    assert fake_cann.faults_fired() == [("atc", 2, fault)]
    made = tmp_path / "second.om"
    if fault == "E40001":
        assert done.returncode == 255
        assert "E40001" in done.stdout
    elif fault == "crash":
        assert done.returncode in (-signal.SIGSEGV, 128 + signal.SIGSEGV)
    else:
        assert done.returncode == 0
        assert "success" in done.stdout
    assert made.exists() == (fault == "truncated_om")
    if made.exists():
        assert device.mdl.load_from_file(str(made)) == (0, 145006)


def _start(model: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        ["atc", *conversion(model)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("ATC start")
    return process


def _wait_for(fake_cann: Any, event: str) -> None:
    while not any(record["event"] == event for record in fake_cann.reports()):
        time.sleep(0.01)


def test_behaviour_38_hanging(fake_cann: Any, onnx_file: Path, tmp_path: Path) -> None:
    """Whoever waits needs a time-out, and has to kill the program, not only its wrapper."""
    fake_cann.configure(faults="atc:1=hang")
    process = _start(onnx_file)
    _wait_for(fake_cann, "atc_hangs")
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert fake_cann.violations() == []
    assert not (tmp_path / "out.om").exists()


def test_killing_the_wrapper_alone_is_told(fake_cann: Any, onnx_file: Path) -> None:
    fake_cann.configure(faults="atc:1=hang")
    process = _start(onnx_file)
    _wait_for(fake_cann, "atc_hangs")
    process.kill()
    process.communicate()  # ends only when the compiler has let go of the pipe
    _wait_for(fake_cann, "atc_orphan")
    assert "process group" in fake_cann.violations()[0]


def test_two_in_one_folder(fake_cann: Any, onnx_file: Path, tmp_path: Path) -> None:
    """They would overwrite each other's kernels; each needs a folder of its own."""
    fake_cann.configure(atc_s=60)
    process = _start(onnx_file)
    while not (tmp_path / "out.om").exists():
        time.sleep(0.01)
    fake_cann.configure(atc_s=0)
    done = run(*conversion(onnx_file, "other"))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert done.returncode == 255
    assert "in use by another" in done.stdout
    assert run(*conversion(onnx_file, "other")).returncode == 0


def test_rounding_against_independent_types() -> None:
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32) * 1e3
    bfloat16 = values.astype(ml_dtypes.bfloat16).astype(np.float32)
    assert (rounded(values, "bfloat16") == bfloat16).all()
    float16 = [struct.unpack("<e", struct.pack("<e", one))[0] for one in values.tolist()]
    assert (rounded(values, "float16") == np.float32(float16)).all()
    assert (rounded(values, "float32") == values).all()
