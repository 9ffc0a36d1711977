"""The program `atc` (what the wrapper starts as `atc.bin`): ONNX in, `.om` out.

Says everything on standard output, errors too, and ends with 0 or 255 (GS main_impl.cc).
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .atc_flags import AtcError, Flags, parse
from .faults import Faults, crash, hang
from .om import BadOm, Om
from .settings import Settings, next_number, version_tuple, write_report

BEGIN = "ATC start working now, please wait for a moment."
SUCCESS = "ATC run success, welcome to the next use."
FAILURE = "ATC run failed, Please check the detail log, Try 'atc --help' for more information"
FAILED = 255


def main(argv: Sequence[str]) -> int:
    """The exit status. Reports what was asked and what came of it."""
    settings, started = Settings.read(), time.monotonic()
    print(BEGIN, flush=True)
    om: Path | None = None
    status = 0
    try:
        om = _run(settings, argv)
        print(SUCCESS)
    except AtcError as error:
        print(f"{FAILURE}\n{error.code}: {error}")
        status = FAILED
    write_report(
        settings,
        "atc",
        argv=list(argv),
        cwd=str(Path.cwd()),
        returncode=status,
        om=str(om) if om else None,
        seconds=time.monotonic() - started,
        faults=_FIRED,
    )
    return status


_FIRED: list[tuple[str, int, int | str]] = []


def _run(settings: Settings, argv: Sequence[str]) -> Path | None:
    if "--help" in argv or "-h" in argv:
        print("usage: atc <args>")
        return None
    fault = _fault(settings)
    if isinstance(fault, str) and fault.startswith("E"):
        raise AtcError(fault, "a planned fault")
    flags = parse(argv)
    if flags.get("mode", "0") != "0":
        _show(flags)
        return None
    _check_environment()
    with _kernel_meta(flags):
        path = _convert(settings, flags, fault)
        _wait(settings, settings.atc_s)
    return path


def _fault(settings: Settings) -> int | str | None:
    faults = Faults.parse(settings.faults)
    fault = faults.next("atc", next_number(settings, "atc"))
    _FIRED.extend(faults.fired)
    if fault is None:
        return None
    if fault == "hang":
        write_report(settings, "atc_hangs", faults=_FIRED)
        _wait(settings, settings.hang_s)
        raise AtcError("E19999", "hung for as long as it may")
    if fault == "crash":
        write_report(settings, "atc_crashes", faults=_FIRED)
        sys.stdout.flush()
        crash()
    if isinstance(fault, int):
        return f"E{fault}"
    return fault


def _wait(settings: Settings, seconds: float) -> None:
    """Whoever kills the wrapper alone leaves this behind: that is told."""
    if hang(seconds):
        text = "atc's wrapper was killed and not its process group: the compiler ran on"
        write_report(settings, "atc_orphan", violations=[text], faults=[])


def _check_environment() -> None:
    """`source set_env.sh` was forgotten, or the environment was not handed on."""
    opp = os.environ.get("ASCEND_OPP_PATH", "")
    if not opp or not Path(opp).is_dir():
        raise AtcError("E19999", f"ASCEND_OPP_PATH [{opp}] is no folder; source set_env.sh")
    workers = os.environ.get("TE_PARALLEL_COMPILER", "8")
    if not workers.isdigit() or not 1 <= int(workers) <= 32:
        raise AtcError("E10001", f"TE_PARALLEL_COMPILER [{workers}] is not in [1, 32].")


@contextmanager
def _kernel_meta(flags: Flags) -> Iterator[None]:
    """`./kernel_meta` or `--debug_dir`/kernel_meta. Two compilations in one folder overwrite each
    other's kernels; here the second fails (policy)."""
    folder = Path(flags.get("debug_dir", ".")) / "kernel_meta"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "fake.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            text = f"{folder.absolute()} is in use by another atc"
            raise AtcError("E40001", text) from error
        name = Path(flags.get("output")).name
        (folder / f"te_conv2d_{name}.o").write_bytes(b"\x7fELF, not really")
        (folder / f"te_conv2d_{name}.json").write_text("{}", encoding="utf-8")
        yield


def _convert(settings: Settings, flags: Flags, fault: int | str | None) -> Path | None:
    from .conversion import convert  # onnx takes a moment; bad flags need not wait for it

    om = convert(flags, settings.version)
    if flags.get("log", "null") != "null":
        print(f"[INFO] GE: {om.macs} MACs, {om.precision}")
    _use_cache(flags)
    path = output_path(settings, flags.get("output"))
    if fault == "no_om":
        return None
    data = om.to_bytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data[: len(data) // 2] if fault == "truncated_om" else data)
    return path


def output_path(settings: Settings, prefix: str) -> Path:
    """PREFIX.om, or PREFIX_<os>_<arch>.om (G)."""
    tail = ".om" if settings.om_name == "plain" else "_linux_aarch64.om"
    return Path(prefix + tail)


def _use_cache(flags: Flags) -> None:
    """The folder of compiled operators: flag, then ASCEND_CACHE_PATH, then $HOME/atc_data (G)."""
    if flags.get("op_compiler_cache_mode", "disable") == "disable":
        return
    default = os.environ.get("ASCEND_CACHE_PATH") or f"{os.environ.get('HOME', '.')}/atc_data"
    folder = Path(flags.get("op_compiler_cache_dir") or default)
    (folder / "kernel_cache").mkdir(parents=True, exist_ok=True)


def _show(flags: Flags) -> None:
    """Mode 6 prints, mode 1 writes JSON."""
    try:
        om = Om.from_bytes(Path(flags.get("om")).read_bytes())
    except (OSError, BadOm) as error:
        raise AtcError("E13026", f"[{flags.get('om')}]: {error}") from error
    if flags.get("mode") == "6":
        print(f"soc_version[{om.soc}] cann[{om.version}]")
        print(f"weight[{len(om.onnx)} bytes] workspace[{om.work_bytes} bytes]")
        return
    if not flags.get("json"):
        raise AtcError("E10004", "Value for [--json] is empty.")
    told = {"soc": om.soc, "version": list(version_tuple(om.version)), "macs": om.macs}
    Path(flags.get("json")).write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
