"""Switching the fake on and off, and reading what processes told about themselves.

By hand: `python -P switch.py DIR` writes a toolkit home; then `source DIR/set_env.sh`.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

LIB = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(LIB))

from fake_cann import live  # noqa: E402
from fake_cann.faults import Faults  # noqa: E402
from fake_cann.om import Om  # noqa: E402
from fake_cann.settings import PREFIX, Settings, version_tuple  # noqa: E402

ARCH = f"{platform.machine()}-linux"
Record = dict[str, Any]


class FakeCann:
    """One toolkit home in `folder`, one report, one set of counters."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "toolkit"
        self._report, self._state = folder / "report.jsonl", folder / "state"
        self._variables = {
            PREFIX + "REPORT": str(self._report),
            PREFIX + "STATE": str(self._state),
        }
        self._saved: dict[str, str | None] | None = None
        self._state.mkdir(parents=True, exist_ok=True)
        self._install()

    # -- on and off --------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        """What a child process needs besides the rest of the environment."""
        home = str(self.home)
        return {
            "PATH": _before(str(self.home / "bin"), "PATH"),
            "PYTHONPATH": _before(str(LIB), "PYTHONPATH"),
            "ASCEND_TOOLKIT_HOME": home,
            "ASCEND_HOME_PATH": home,
            "ASCEND_OPP_PATH": str(self.home / "opp"),
            **self._variables,
        }

    def switch_on(self) -> FakeCann:
        wanted = self.environment()
        self._saved = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)
        sys.path.insert(0, str(LIB))
        _forget_acl()
        return self

    def off(self) -> None:
        """Puts everything back; the process's `acl` tells its end. Twice is once."""
        if self._saved is None:
            return
        if live.RUNTIME is not None:
            live.RUNTIME.process_ends()
        _forget_acl()
        sys.path.remove(str(LIB))
        for name in {*self._variables, *self._saved}:
            before = self._saved.get(name)
            if before is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = before
        self._saved = None

    @contextmanager
    def on(self) -> Iterator[FakeCann]:
        self.switch_on()
        try:
            yield self
        finally:
            self.off()

    def configure(self, **settings: Any) -> None:
        """See README.md. Also for an `acl` that is imported; `faults` are counted from here.

        Raises `ValueError` for a setting that there is not, or a value that cannot be read."""
        known = {*Settings.__dataclass_fields__, "import"} - {"report", "state"}
        for name, value in settings.items():
            if name not in known:
                raise ValueError(f"no setting {name!r}; there are {', '.join(sorted(known))}")
            self._set(PREFIX + name.upper(), value)
        read = Settings.read(self._variables)
        Faults.parse(read.faults)
        if "faults" in settings:
            (self._state / "atc").unlink(missing_ok=True)
        if "version" in settings:
            self._write_version(read.version)
        if live.RUNTIME is not None and self._saved is not None:
            live.RUNTIME.settings = read
            if "faults" in settings:
                live.RUNTIME.faults = Faults.parse(read.faults, live.RUNTIME.ordinal)

    @property
    def acl(self) -> ModuleType:
        import acl

        module: ModuleType = acl
        return module

    def _set(self, variable: str, value: Any) -> None:
        if value is None:
            self._variables.pop(variable, None)
        else:
            self._variables[variable] = str(value)
        if self._saved is not None:
            if value is None:
                os.environ.pop(variable, None)
            else:
                os.environ[variable] = str(value)

    # -- what was told -----------------------------------------------------------------

    def reports(self) -> list[Record]:
        """Records of all processes, in the order of writing; this one's present state last."""
        lines: list[str] = []
        if self._report.exists():
            lines = self._report.read_text(encoding="utf-8").splitlines()
        records: list[Record] = [json.loads(line) for line in lines]
        if live.RUNTIME is not None and not live.RUNTIME.ended and self._saved is not None:
            records.append({"event": "now", "pid": os.getpid(), **live.RUNTIME.record()})
        return records

    def leaks(self) -> list[str]:
        return _gathered(self.reports(), "leaks")

    def violations(self) -> list[str]:
        return _gathered(self.reports(), "violations")

    def unfinished(self) -> list[int]:
        begun: set[int] = set()
        for record in self.reports():
            if record["event"] == "start":
                begun.add(record["pid"])
            elif record["event"] in ("finalize", "exit"):
                begun.discard(record["pid"])
        return sorted(begun - {os.getpid()})

    def assert_clean(self) -> None:
        leaks, violations, lost = self.leaks(), self.violations(), self.unfinished()
        assert not leaks, "not given back:\n" + "\n".join(leaks)
        assert not violations, "rules broken:\n" + "\n".join(violations)
        assert not lost, f"processes that ended without a word: {lost}"

    def calls(self, name: str) -> int:
        return sum(record["calls"].get(name, 0) for record in self._last_of_each())

    def faults_fired(self) -> list[tuple[str, int, int | str]]:
        atc = [r for r in self.reports() if r["event"].startswith("atc")]
        return [tuple(one) for r in (*self._last_of_each(), *atc) for one in r["faults"]]

    def models(self) -> list[Record]:
        return [model for record in self._last_of_each() for model in record["models"]]

    def atc_runs(self) -> list[Record]:
        return [record for record in self.reports() if record["event"] == "atc"]

    def device_s(self, om: str | Path) -> float:
        """Virtual seconds of one execution."""
        return Om.from_bytes(Path(om).read_bytes()).device_s

    def _last_of_each(self) -> list[Record]:
        """The latest full record of each process."""
        full = ("finalize", "exit", "now")
        latest = {r["pid"]: r for r in self.reports() if r["event"] in full}
        return list(latest.values())

    # -- the toolkit home --------------------------------------------------------------

    def _install(self) -> None:
        (self.home / "bin").mkdir(parents=True, exist_ok=True)
        (self.home / "opp").mkdir(exist_ok=True)
        wrapper = self.home / "bin" / "atc"
        # Like the real one, a script that starts the program and stays its parent: whoever
        # kills only the script leaves the program behind.
        wrapper.write_text(
            "#!/bin/bash\n"
            f'export PYTHONPATH="{LIB}${{PYTHONPATH:+:$PYTHONPATH}}"\n'
            f'"{sys.executable}" -P -m fake_cann.atc "$@"\n'
            "exit $?\n"
        )
        wrapper.chmod(0o755)
        self._write_version(Settings().version)
        (self.home / "set_env.sh").write_text(self._exports(), encoding="utf-8")

    def _exports(self) -> str:
        own = {k: v for k, v in self.environment().items() if k not in ("PATH", "PYTHONPATH")}
        lines = [f'export {name}="{value}"' for name, value in own.items()]
        lines.append(f'export PATH="{self.home / "bin"}:$PATH"')
        lines.append(f'export PYTHONPATH="{LIB}${{PYTHONPATH:+:$PYTHONPATH}}"')
        return "\n".join(lines) + "\n"

    def _write_version(self, version: str) -> None:
        """Where the documents say that a program finds it."""
        old, new = self.home / "version.cfg", self.home / ARCH / "ascend_toolkit_install.info"
        new.parent.mkdir(exist_ok=True)
        for path in (old, new):
            path.unlink(missing_ok=True)
        if version_tuple(version) >= (8, 5):
            new.write_text(f"package_name=Ascend-cann-toolkit\nversion={version}\n")
        else:
            old.write_text(f"# version: 1.0\nruntime_running_version=[7.6.0.1.220:{version}]\n")
        (self.home / "opp" / "version.info").write_text(f"Version={version}\n")


def _before(first: str, variable: str) -> str:
    rest = [part for part in os.environ.get(variable, "").split(os.pathsep) if part != first]
    return os.pathsep.join(filter(None, [first, *rest]))


def _forget_acl() -> None:
    live.RUNTIME = None
    sys.modules.pop("acl", None)


def _gathered(records: list[Record], key: str) -> list[str]:
    found: list[str] = []
    for record in records:
        told = [f"process {record['pid']}: {text}" for text in record.get(key, [])]
        found += [text for text in told if text not in found]
    return found


if __name__ == "__main__":
    fake = FakeCann(Path(sys.argv[1]).resolve())
    print(f"source {fake.home / 'set_env.sh'}")
