"""Two real kinds of device on one host: never timed at once, and the same table as without a fleet.

    python benchmarks/fleet_two_kinds.py kinds.jsonl --budget 20m

`onnxruntime-cpu` and `openvino-cpu` are two workers of a fleet on this machine. A small network is
profiled on each at the same time through the fleet, and one after the other without it. Wanted: no
two timings overlap, the same candidates, and speedups whose intervals have values in common.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from fleet_lab import Bench, Lab
from fleet_network import write_network
from harness import arguments, begin, show, verdict

from fleet import overlaps
from rankwise.workflow.table import table_document

BACKENDS = ("onnxruntime-cpu", "openvino-cpu")
ASKED = ["--kinds", "svd", "--rank-quantum", "8"]
Key = tuple[str, str, tuple[int, ...]]


def profile(*words: str, cwd: Path) -> None:
    rankwise = [sys.executable, "-P", "-m", "rankwise", "profile", "net.onnx", "--quiet", *ASKED]
    subprocess.run([*rankwise, *words], cwd=cwd, check=True, stdout=subprocess.DEVNULL)


def rows(db: str) -> dict[Key, Any]:
    document = table_document(db=db)
    return {
        (row.device.backend, row.decomposition.kind, tuple(row.decomposition.ranks)): row
        for row in document.rows
    }


def main() -> None:
    assert __doc__ is not None
    options = arguments(__doc__.splitlines()[0])
    log, _ = begin(options)
    folder = options.output.absolute().with_suffix(".lab")
    lab = Lab(folder, [Bench(backend, "host", "bench") for backend in BACKENDS])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped; run again to go on"))
    write_network(folder / "net.onnx")
    alone = f"sqlite:///{folder}/alone.db"
    try:
        lab.start_all()
        while len((lab.ask("GET", "/fleet") or {"devices": []})["devices"]) < len(BACKENDS):
            time.sleep(0.5)
        server = ["--server", f"http://127.0.0.1:{lab.service_port}"]
        profile("--device", "label=bench", *server, cwd=folder)  # a job for each, at once
        fleet = rows(lab.db)
    finally:
        lab.stop()
    for backend in BACKENDS:
        profile("--backend", backend, "--db", alone, cwd=folder)
    compare(log, lab, fleet, rows(alone))


def compare(log: Any, lab: Lab, fleet: dict[Key, Any], alone: dict[Key, Any]) -> None:
    shown, apart = [], 0
    for key in sorted(alone.keys() & fleet.keys()):
        one, other = alone[key], fleet[key]
        common = one.speedup_low <= other.speedup_high and other.speedup_low <= one.speedup_high
        apart += not common
        shown.append((*key, one.speedup, other.speedup, "yes" if common else "NO"))
    show(("backend", "kind", "ranks", "without", "fleet", "in common"), shown)
    timings, found, begins = overlaps(lab.timings)
    print(f"{timings} timings on {', '.join(begins)}")
    verdict("timings that overlap", found, found == 0, "0")
    differ = alone.keys() ^ fleet.keys()
    verdict("candidates that only one table has", len(differ), not differ, "0")
    verdict("intervals with nothing in common", apart, apart <= 0.05 * len(shown), "5%")
    log.add(kind="result", overlaps=found, candidates=len(shown), apart=apart)


if __name__ == "__main__":
    main()
