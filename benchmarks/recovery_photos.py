"""How much of ResNet-50-thin's network error recovery takes back, on photos nothing has seen.

    python benchmarks/recovery_photos.py photos.jsonl --limits 0.5,0.75 --recover 10m --budget 1h

Each plan (`--max-error`, onnxruntime-cpu) is made, verified and recovered on the photos of
`scikit-image` and `foolbox`, a fifth of which are its report split. The hundred scenes of
`examples/scenes.py` are no part of the folder at all: they judge, too. Ratios of the error after to
the error before have 95% bootstrap intervals over photos. --budget starts no further plan.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
from harness import Log, arguments, begin, duration, show, verdict

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
from assets import fetch
from scenes import fetch_scenes

from rankwise import documents
from rankwise.models.compared import Compared
from rankwise.models.network_error import NetworkError
from rankwise.models.picture_files import load_pictures
from rankwise.models.preprocess import find_preprocess
from rankwise.models.source import load_network
from rankwise.training.comparison import ErrorRatio, error_ratio

MODEL, SHAPE, RECIPE = "open-nsfw.onnx", (1, 224, 224, 3), "caffe-bgr"
BACKEND = "onnxruntime-cpu"
MOST = 0.6


def main() -> None:
    options = arguments(
        __doc__ or "", limits="0.25,0.5,0.75", recover="10m", rate=1e-4, features=100.0
    )
    duration(options.recover)
    log, budget = begin(options)
    work = options.output.with_suffix("")
    work.mkdir(exist_ok=True)
    db = f"sqlite:///{work}/rankwise.db"
    for limit in options.limits.split(","):
        if budget.left and not log.of(limit=limit):
            one_plan(log, limit, options, work, db)
    report([row for limit in options.limits.split(",") for row in log.of(limit=limit)])


def one_plan(log: Log, limit: str, options, work: Path, db: str) -> None:
    model, folder = fetch(MODEL), photos(work / "photos")
    plan, output = work / f"plan-{limit}.json", work / f"recovered-{limit}.onnx"
    before, pictures = work / f"plan-{limit}.onnx", ["--preprocess", RECIPE]
    shape = ["--input-shape", ",".join(map(str, SHAPE))]
    where = ["--backend", BACKEND, *shape]
    if not plan.exists():
        rankwise("profile", model, *where, db=db)
        how = ["--calibration", folder, *pictures, "--max-error", limit, "--no-refine", "-o", plan]
        rankwise("plan", model, *where, *how, db=db)
    rankwise("apply", plan, model, "-o", before, "--data", folder, *pictures, db=db)
    rankwise("verify", plan, model, "--data", folder, *pictures, db=db)
    how = ["--budget", options.recover, "--rate", options.rate, "-o", output]
    how += ["--features", options.features]
    rankwise("recover", plan, model, "--data", folder, *pictures, *how, db=db)
    recovered = documents.Recovery.model_validate_json(
        (work / f"recovered-{limit}.recovery.json").read_text(encoding="utf-8")
    )
    verified = documents.Plan.model_validate_json(plan.read_text(encoding="utf-8")).verified
    assert verified is not None
    log.add(
        limit=limit,
        speedup=[verified.speedup, verified.speedup_low, verified.speedup_high],
        steps=recovered.steps,
        elapsed_s=recovered.elapsed_s,
        report=recovered.report.model_dump(),
        scenes=asdict(on_scenes(model, before, output)),
    )


def photos(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for name in ("photos", "snapshots"):
        for file in fetch(name).iterdir():
            shutil.copy(file, folder)
    return folder


def on_scenes(*files: Path) -> ErrorRatio:
    """Of original, compressed and recovered network."""
    recipe = find_preprocess(RECIPE, SHAPE[1:])
    pictures = load_pictures(fetch_scenes())
    inputs = np.stack([recipe(picture.pixels, SHAPE[1:]) for picture in pictures])
    outputs = [load_network(file, input_shape=SHAPE).outputs(inputs) for file in files]
    whole = Compared.whole(outputs[0])
    before, after = (NetworkError.of(whole, outputs[0], one, len(pictures)) for one in outputs[1:])
    return error_ratio(before, after)


def rankwise(*words: object, db: str) -> None:
    """Run a command; 3 is a goal not reached, which the result will show."""
    command = [sys.executable, "-m", "rankwise", *map(str, words)]
    status = subprocess.run(command, env={**os.environ, "RANKWISE_DB": db}, check=False).returncode
    if status not in (0, 3):
        sys.exit(f"that command ended with status {status}: {' '.join(map(str, words))}")


def report(rows: list[dict]) -> None:
    lines = []
    for row in rows:
        said = "{:.3f} [{:.3f}, {:.3f}]".format(*row["speedup"])
        for name, low, high in (("report", "ratio_low", "ratio_high"), ("scenes", "low", "high")):
            found = row[name]
            ratio = f"{found['ratio']:.3f} [{found[low]:.3f}, {found[high]:.3f}]"
            errors = f"{found['before']:.4f}", f"{found['after']:.4f}"
            lines.append((row["limit"], said, row["steps"], name, *errors, ratio))
    show(("limit", "speedup", "steps", "photos", "before", "after", "ratio"), lines)
    for row in rows:
        ratio = row["report"]["ratio"]
        verdict(f"limit {row['limit']}", ratio, ratio <= MOST, f"at most {MOST}")


if __name__ == "__main__":
    main()
