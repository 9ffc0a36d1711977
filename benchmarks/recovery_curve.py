"""Loss against speedup of the demosaicking network, before and after recovery.

    python benchmarks/recovery_curve.py --speedups 1.25,1.35,1.45 --recover 5m --budget 1h

Each plan is made, verified, recovered and judged on photos that nothing has seen; the ground truth
is the photo itself. Each plan's result is a file of its own under --work, so that a run goes on
where it stopped; --budget starts no further plan. Writes a table, and a picture (.svg, .png, .pdf).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
sys.path[:0] = [str(EXAMPLES), str(ROOT / "benchmarks")]
os.environ["PYTHONPATH"] = os.pathsep.join([str(EXAMPLES), os.environ.get("PYTHONPATH", "")])

import demosaicking  # noqa: E402
import torch  # noqa: E402
from held_out import Photo, split_photos  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from rankwise.db.url import companion  # noqa: E402
from rankwise.documents.plan_files import read_plan  # noqa: E402
from rankwise.factors.planned_network import PlannedNetwork  # noqa: E402
from rankwise.report.pictures.chart import Axis, Point, Series, chart  # noqa: E402

MODEL = "demosaicking:network"


def rankwise(*words: object, db: str) -> int:
    """Run a command; 3 is a goal not reached, which the result will show."""
    command = [sys.executable, "-m", "rankwise", *map(str, words)]
    status = subprocess.run(command, env={**os.environ, "RANKWISE_DB": db}, check=False).returncode
    if status not in (0, 3):
        sys.exit(f"that command ended with status {status}: {' '.join(map(str, words))}")
    return status


def psnr(module: torch.nn.Module, photos: Sequence[Photo]) -> float:
    """Mean over photos, in dB."""

    def restore(mosaics: demosaicking.FloatArray) -> Any:
        with torch.inference_mode():
            return module(torch.from_numpy(mosaics)).numpy()

    return fmean(demosaicking.psnr(photo.restored(restore), photo.pictures) for photo in photos)


def one_plan(words: argparse.Namespace, target: str, db: str) -> dict[str, Any]:
    """Plan, verify, recover, judge; from its file if that is there."""
    place = words.work / f"result-{target}.json"
    if place.exists():
        return dict(json.loads(place.read_text(encoding="utf-8")))
    plan, output = words.work / f"plan-{target}.json", words.work / f"net-{target}.safetensors"
    calibration, held_out = split_photos(words.work / "photos", seed=0)
    pictures = ["--preprocess", "demosaicking:mosaic"]
    where = ["--backend", words.backend, "--target-speedup", target, "-o", plan]
    rankwise("plan", MODEL, *where, "--calibration", calibration, *pictures, db=db)
    rankwise("verify", plan, MODEL, "--data", calibration, *pictures, db=db)
    recover = ["--data", calibration, *pictures, "--budget", words.recover, "-o", output]
    recover += ["--batch", 4, "--features", 0, "--rate", 1e-3]
    rankwise("recover", plan, MODEL, *recover, db=db)
    document = read_plan(plan)
    planned = PlannedNetwork.load(document, MODEL, cache=companion(db, ".cache"))
    student = planned.compressed().module  # type: ignore[attr-defined]
    before = psnr(student, held_out)
    student.load_state_dict(load_file(output))
    assert document.verified is not None
    result = {
        "target": float(target),
        **{key: getattr(document.verified, key) for key in
           ("speedup", "speedup_low", "speedup_high")},
        "original_db": psnr(demosaicking.network(), held_out),
        "before_db": before,
        "after_db": psnr(student, held_out),
    }  # fmt: skip
    place.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def table(rows: Sequence[dict[str, Any]]) -> str:
    lines = ["| speedup | loss before, dB | loss after, dB |", "|---|---|---|"]
    for row in rows:
        speedup = f"{row['speedup']:.3f} [{row['speedup_low']:.3f}, {row['speedup_high']:.3f}]"
        losses = [row["original_db"] - row[key] for key in ("before_db", "after_db")]
        lines.append(f"| {speedup} | {losses[0]:.2f} | {losses[1]:.2f} |")
    return "\n".join(lines) + "\n"


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    series = []
    for name, key in (("as decomposed", "before_db"), ("after recovery", "after_db")):
        points = [Point(row["speedup"], row["original_db"] - row[key]) for row in rows]
        series.append(Series(name, sorted(points, key=lambda point: point.x)))
    title = "Demosaicking, on photos that nothing has seen"
    chart(title, series, Axis("measured speedup"), Axis("PSNR lost, dB", zero=True)).write(path)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speedups", default="1.2,1.3,1.4")
    parser.add_argument("--backend", default="torch-cpu")
    parser.add_argument("--recover", default="5m", help="time of one recovery")
    parser.add_argument("--budget", default="1h", help="start no further plan after this")
    parser.add_argument("--work", type=Path, default=Path("recovery_curve"))
    parser.add_argument("--output", type=Path, default=Path("recovery.svg"))
    words = parser.parse_args(arguments)
    words.work.mkdir(parents=True, exist_ok=True)
    db = f"sqlite:///{words.work}/rankwise.db"
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    end = time.monotonic() + float(words.budget[:-1]) * units[words.budget[-1]]
    rankwise("profile", MODEL, "--backend", words.backend, db=db)
    rows: list[dict[str, Any]] = []
    for target in words.speedups.split(","):
        if time.monotonic() < end:
            rows.append(one_plan(words, target, db))
    print(table(rows))
    if rows:
        draw(rows, words.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
