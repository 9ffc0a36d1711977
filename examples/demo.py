"""The main job on a real network and real photos: profile, table, plan, apply, verify.

    make demo           # SEED=7 keeps other photos back, and splits the rest in another way

Every command is printed as one would type it. The last lines compare what the plan promised with
what was gained and lost on photos that neither calibration nor search has seen, and say where
the pictures are. Exit status 1 if nothing was gained, or too much quality was lost.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import demosaicking
import onnxruntime
import torch
from held_out import Loss, Outputs, Photo, outputs, split_photos
from pictures import difference_panel, output_panel, photo_panel, sheet

WORK = Path("demo")
BACKENDS = ("onnxruntime-cpu", "torch-cpu")
MODEL = "demosaicking:network"
SETTINGS = {"RANKWISE_DB": f"sqlite:///{WORK}/rankwise.db", "PYTHONPATH": "examples"}
MAX_ERROR = 0.012
"""Relative error of the picture that a plan may add. The original's own, against the photo, is
0.016 at the median photo: what a plan may lose is about a third of a decibel."""
FRONT_ERROR = 0.03
"""Largest network error on the front."""
MAX_LOSS_DB = 0.5
"""Mean loss in PSNR that is too much. Photos differ: some lose ten times as much as others, so
only what is more by two standard errors of the mean is held against a plan."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one backend: the plan's document after `verify`, what the written network
    makes of the held-out photos, and what it loses there."""

    backend: str
    plan: Mapping[str, Any]
    outputs: Outputs
    loss: Loss

    @property
    def verified(self) -> Mapping[str, Any]:
        verified: Mapping[str, Any] = self.plan["verified"]
        return verified

    @property
    def is_good(self) -> bool:
        """Whether the network became faster, and did not lose too much."""
        least_loss_db = self.loss.mean_db - 2 * self.loss.standard_error_db
        return self.verified["speedup_low"] > 1 and least_loss_db <= MAX_LOSS_DB


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="The main job on a real network and real photos.")
    parser.add_argument("--seed", type=int, default=1, help="draws the photos that are kept back")
    seed, started = parser.parse_args(words).seed, time.monotonic()
    print("fetching the network and the photos", flush=True)
    calibration, photos = split_photos(WORK / "photos", seed)
    original = outputs(torch_network(), photos)
    print(*(f"\n$ export {name}={value}" for name, value in SETTINGS.items()), sep="")
    examples = ["--calibration", str(calibration), "--preprocess", "demosaicking:mosaic"]
    results = [one_backend(name, examples, photos, original, seed) for name in BACKENDS]
    front = WORK / "front.svg"
    within = ["--max-error", str(FRONT_ERROR), "--points", "6", "--seed", str(seed)]
    rankwise("pareto", MODEL, "--backend", BACKENDS[0], *within, *examples, "-o", str(front))
    print(f"\nOn {len(photos)} photos that neither calibration nor search has seen:")
    print(*map(summary, results), sep="\n")
    draw(photos, original, results, path := WORK / "pictures.png")
    print(f"pictures: {path} and {front}\n{time.monotonic() - started:.0f} s")
    return 0 if all(result.is_good for result in results) else 1


def one_backend(
    backend: str, examples: Sequence[str], photos: Sequence[Photo], original: Outputs, seed: int
) -> Result:
    """The whole job on one backend; `examples` say which pictures plans are made with."""
    plan, network = WORK / f"plan-{backend}.json", WORK / f"compressed-{backend}.onnx"
    limits = ["--max-error", str(MAX_ERROR), "--seed", str(seed)]
    rankwise("profile", MODEL, "--backend", backend)
    rankwise("table", "--device", backend, "--layer", "main_processor.conv2")
    rankwise("plan", MODEL, "--backend", backend, *limits, *examples, "-o", str(plan))
    rankwise("apply", str(plan), MODEL, "-o", str(network))
    rankwise("verify", str(plan), MODEL, *examples)
    compressed = outputs(file_network(network), photos)
    loss = Loss.of(photos, original, compressed)
    return Result(backend, json.loads(plan.read_text()), compressed, loss)


def rankwise(*words: str) -> None:
    """Run a command as one would type it; the demo ends if it fails."""
    print(f"\n$ rankwise {shlex.join(words)}", flush=True)
    command, started = [sys.executable, "-P", "-m", "rankwise", *words], time.monotonic()
    status = subprocess.run(command, env={**os.environ, **SETTINGS}, check=False).returncode
    if status not in (0, 3):  # 3: a plan and its verification disagree, which the end will show
        sys.exit(f"demo: that command ended with status {status}")
    print(f"({time.monotonic() - started:.0f} s)")


def torch_network() -> demosaicking.Restore:
    module = demosaicking.network()

    def restore(mosaics: demosaicking.FloatArray) -> Any:
        with torch.inference_mode():
            return module(torch.from_numpy(mosaics)).numpy()

    return restore


def file_network(path: Path) -> demosaicking.Restore:
    session = onnxruntime.InferenceSession(path)
    name = session.get_inputs()[0].name
    return lambda mosaics: session.run(None, {name: mosaics})[0]


def summary(result: Result) -> str:
    verified, promise, loss = result.verified, result.plan["promise"], result.loss
    low, high = verified["speedup_low"], verified["speedup_high"]
    return (
        f"{result.backend}: {verified['speedup']:.2f}x faster [{low:.2f}, {high:.2f}] "
        f"(predicted {verified['predicted_speedup']:.2f}x); "
        f"network error {loss.network_error:.4f} (at most {MAX_ERROR}, promised with "
        f"{promise['confidence']:.0%}); PSNR {loss.original_db:.2f} dB before, "
        f"{-loss.mean_db:+.2f} ± {loss.standard_error_db:.2f} dB"
    )


def draw(photos: Sequence[Photo], original: Outputs, results: Sequence[Result], path: Path) -> None:
    """Draw the photo that loses most, and there the square that changes most."""
    name = results[0].loss.worst
    photo = next(photo for photo in photos if photo.name == name)
    square = photo.most_changed(original[name], results[0].outputs[name])
    before, before_db = original[name][square], demosaicking.psnr(original[name], photo.pictures)
    columns = [
        (
            photo_panel(photo.image, photo.corners[square], [f"photo: {name}"]),
            output_panel(before, ["the original network", f"PSNR {before_db:.2f} dB"]),
        )
    ]
    for result in results:
        after, after_db = result.outputs[name][square], before_db - result.loss.lost_db[name]
        gain = f"{result.verified['speedup']:.2f}x faster, PSNR {after_db:.2f} dB"
        columns.append(
            (
                output_panel(after, [f"compressed for {result.backend}", gain]),
                difference_panel(after, before),
            )
        )
    title = f"Of {len(photos)} photos that nothing has seen, the one that loses most"
    sheet(title, columns).write(path)


if __name__ == "__main__":
    sys.exit(main())
