"""The main job on a real network and real photos: profile, table, plan, apply, verify.

    make demo

Every command is printed as one would type it. Four photos are kept back: neither calibration
nor search sees them, and on them the last lines compare quality with the photos themselves.
Exit status 1 if nothing was gained, or too much quality was lost.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import demosaicking
import numpy as np
import onnxruntime
import torch
from assets import fetch

WORK = Path("demo")
HELD_OUT = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png")
BACKENDS = ("onnxruntime-cpu", "torch-cpu")
MODEL = "demosaicking:network"
MAX_ERROR = "0.012"
"""Relative error of the picture that a plan may add. The original's own, against the photo, is
0.016 at the median photo, so that what a plan may lose stays within half a decibel."""
MAX_LOSS_DB = 0.5


def main() -> int:
    started = time.monotonic()
    print("fetching the network and the photos")
    calibration, held_out = photos(WORK / "photos")
    original = original_psnr(held_out)
    results = [one_backend(backend, calibration, held_out) for backend in BACKENDS]
    print()
    for backend, (verified, loss_db) in zip(BACKENDS, results, strict=True):
        print(line(backend, verified, original, loss_db))
    print(f"on {len(held_out)} photos that nothing has seen; {time.monotonic() - started:.0f} s")
    gained = any(verified["speedup_low"] > 1 for verified, _ in results)
    kept = all(original - found <= MAX_LOSS_DB for _, found in results)
    return 0 if gained and kept else 1


def photos(folder: Path) -> tuple[Path, list[Path]]:
    """A folder for calibration, and the photos that are kept back."""
    calibration = folder / "calibration"
    shutil.rmtree(folder, ignore_errors=True)
    calibration.mkdir(parents=True)
    found = [*fetch("photos").iterdir(), *fetch("snapshots").iterdir()]
    for file in found:
        if file.name not in HELD_OUT:
            shutil.copy(file, calibration)
    return calibration, sorted(file for file in found if file.name in HELD_OUT)


def one_backend(
    backend: str, calibration: Path, held_out: list[Path]
) -> tuple[dict[str, Any], float]:
    """The whole job on one backend: the verification, and the PSNR on held-out photos."""
    plan, network = WORK / f"plan-{backend}.json", WORK / f"compressed-{backend}.onnx"
    pictures = ["--calibration", str(calibration), "--preprocess", "demosaicking:mosaic"]
    rankwise("profile", MODEL, "--backend", backend, "--threads", "1")
    rankwise("table", "--device", backend, "--layer", "main_processor.conv2")
    limits = ["--max-error", MAX_ERROR, "--trials", "100"]
    rankwise("plan", MODEL, "--backend", backend, *limits, *pictures, "-o", str(plan))
    rankwise("apply", str(plan), MODEL, "-o", str(network))
    rankwise("verify", str(plan), MODEL, *pictures)
    verified: dict[str, Any] = json.loads(plan.read_text())["verified"]
    return verified, file_psnr(network, held_out)


def rankwise(*words: str) -> None:
    """Run a command as one would type it; the demo ends if it fails."""
    print(f"\n$ rankwise {shlex.join(words)}", flush=True)
    environment = {
        **os.environ,
        "RANKWISE_DB": f"sqlite:///{WORK}/rankwise.db",
        "PYTHONPATH": str(Path(__file__).parent),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "rankwise", *words]
    status = subprocess.run(command, env=environment, check=False).returncode
    if status not in (0, 3):  # 3: a plan and its verification disagree, which the end will show
        sys.exit(f"demo: that command ended with status {status}")


def original_psnr(held_out: list[Path]) -> float:
    module = demosaicking.network()

    def restore(mosaics: demosaicking.FloatArray) -> Any:
        with torch.inference_mode():
            return module(torch.from_numpy(mosaics)).numpy()

    return mean_psnr(restore, held_out)


def file_psnr(network: Path, held_out: list[Path]) -> float:
    session = onnxruntime.InferenceSession(network)
    name = session.get_inputs()[0].name
    return mean_psnr(lambda mosaics: session.run(None, {name: mosaics})[0], held_out)


def mean_psnr(restore: demosaicking.Restore, held_out: list[Path]) -> float:
    """Mean over photos of the PSNR over all tiles of each, in dB."""
    images = [demosaicking.read_photo(file) for file in held_out]
    found = [demosaicking.photo_psnr(restore, list(demosaicking.tiles(one))) for one in images]
    return float(np.mean(found))


def line(backend: str, verified: dict[str, Any], before: float, after: float) -> str:
    low, high = verified["speedup_low"], verified["speedup_high"]
    return (
        f"{backend}: {verified['speedup']:.3f}x faster, 95% interval [{low:.3f}, {high:.3f}] "
        f"(predicted {verified['predicted_speedup']:.3f}x); "
        f"PSNR {before:.2f} dB before, {after:.2f} dB after ({after - before:+.2f} dB)"
    )


if __name__ == "__main__":
    sys.exit(main())
