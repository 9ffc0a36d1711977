"""The recipe of arXiv 2309.12412 on this machine: train, decompose at half-time, fine-tune, time.

    python benchmarks/paper_recipe.py --set grid     --budget 2h    # 12,000 images, E = 4
    python benchmarks/paper_recipe.py --set headline --budget 8h    # all images, E = 10, 3 seeds

A residual network learns Fashion-MNIST for E epochs (`uncompressed`). The checkpoint at E/2 is
decomposed in several ways, each fine-tuned for the other half: the paper's vanilla parameter
reduction (PR), each compression mode with PR and with weakened VBMF, with ranks as they come and
as multiples of a quantum, and rankwise's measured plan. Every variant's accuracy on all test
images, its training step and its inference (batch 1 and 128) against the uncompressed network
are kept in a file of its own under --work, so that a run goes on where it stopped; --budget ends
it between two epochs. The table is written as Markdown, and drawn.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
# Processes that time a network load it by name, too.
os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])

import fashion  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from harness import duration  # noqa: E402
from paper_table import MEASURED, UNCOMPRESSED, markdown, picture, rule_variants  # noqa: E402
from step_rounds import compare_rounds  # noqa: E402

from rankwise.factors.assembly import Assembly  # noqa: E402
from rankwise.lowrank import lower  # noqa: E402
from rankwise.models.files import write_whole  # noqa: E402
from rankwise.models.source import load_network  # noqa: E402
from rankwise.network_timing.training_runs import Variant  # noqa: E402
from rankwise.planner.ranking import make_ranking, ranked_layers  # noqa: E402
from rankwise.records import Decomposition  # noqa: E402
from rankwise.training.pair import pair_of  # noqa: E402
from rankwise.workflow.plan import plan  # noqa: E402
from rankwise.workflow.profile import profile  # noqa: E402

MODEL = "fashion:network"
BATCHES = (1, 128)
RATIO = 2.0
CALIBRATION = 96
Decisions = Mapping[str, Decomposition]


@dataclass(frozen=True, slots=True)
class Settings:
    """What one set of rows is made with."""

    images: int | None
    tests: int | None
    epochs: int
    seeds: int
    variants: tuple[str, ...]
    backend: str
    max_error: float
    device: str
    bfloat16: bool
    time_dtype: str
    rounds: int
    processes: int
    plan_s: float
    rate: float


class Clock:
    """The time that this run may take."""

    def __init__(self, seconds: float | None) -> None:
        self.end = None if seconds is None else time.monotonic() + seconds

    def go_on(self) -> bool:
        return self.end is None or time.monotonic() < self.end


class OutOfTime(Exception):
    """The budget ended; what is done is kept."""


class Recipe:
    """All variants of one seed."""

    def __init__(
        self, settings: Settings, data: fashion.Data, work: Path, seed: int, clock: Clock
    ) -> None:
        self.settings, self.data, self.seed, self.clock = settings, data, seed, clock
        self.work = work / f"seed-{seed}"
        self.work.mkdir(parents=True, exist_ok=True)

    @property
    def half(self) -> int:
        return max(1, self.settings.epochs // 2)

    def row(self, name: str) -> dict[str, Any]:
        """The variant's row: from its file, or made now. Raises `OutOfTime`."""
        place = self.work / f"{name.replace(' ', '-')}.json"
        if place.exists():
            return dict(json.loads(place.read_text(encoding="utf-8")))
        print(f"seed {self.seed}: {name}", file=sys.stderr, flush=True)
        row = self._uncompressed() if name == UNCOMPRESSED else self._compressed(name)
        text = json.dumps(row, indent=1) + "\n"
        write_whole(place, lambda target: target.write_text(text, encoding="utf-8"))
        return row

    def _uncompressed(self) -> dict[str, Any]:
        model = self._original(self.settings.epochs)
        return {**self._facts(UNCOMPRESSED, {}, model), "times": {}}

    def _original(self, epochs: int) -> torch.nn.Module:
        """Trained for so many of the E epochs; the first half is the same for all."""
        half = self.work / "half.safetensors"
        model = self._fresh()
        self._train(model, half, self.half, self.settings.epochs, self.settings.rate)
        if epochs > self.half:
            whole = self.work / "whole.safetensors"
            if not whole.exists():
                whole.write_bytes(half.read_bytes())
            self._train(model, whole, epochs, self.settings.epochs, self.settings.rate)
        return model

    def _fresh(self) -> torch.nn.Module:
        torch.manual_seed(self.seed)
        return fashion.network()

    def _train(
        self, model: torch.nn.Module, place: Path, epochs: int, span: int, rate: float
    ) -> None:
        settings = self.settings
        where = {"device": settings.device, "bfloat16": settings.bfloat16}
        recipe = fashion.Recipe(epochs, span, rate, seed=self.seed, **where)
        if not fashion.train(model, self.data, recipe, place, self.clock.go_on):
            raise OutOfTime

    def _weights(self) -> Path:
        """The half-time network as weights, which every way of decomposing starts from."""
        from safetensors.torch import save_file

        place = self.work / "half-weights.safetensors"
        if not place.exists():
            state = self._original(self.half).cpu().state_dict()
            kept = {
                name: tensor.clone(memory_format=torch.contiguous_format)
                for name, tensor in state.items()
            }
            write_whole(place, lambda target: save_file(kept, target))
        return place

    def _compressed(self, name: str) -> dict[str, Any]:
        weights = self._weights()
        network = load_network(MODEL, weights=weights)
        decisions = self._decisions(name, weights)
        assembly = Assembly(network)
        chains = {layer: assembly.replacement(layer, d) for layer, d in decisions.items()}
        model = pair_of(network, chains).student.requires_grad_(True)
        before = fashion.accuracy(model, self.data, self.settings.device)
        left = self.settings.epochs - self.half
        place = self.work / f"{name.replace(' ', '-')}.safetensors"
        # The rate goes on from half of where the first half has left it.
        self._train(model, place, left, left, self.settings.rate / 4)
        row = {**self._facts(name, decisions, model), "accuracy_before": before}
        return {**row, "times": self._times(decisions)}

    def _decisions(self, name: str, weights: Path) -> dict[str, Decomposition]:
        if name == MEASURED:
            return self._measured(weights)
        mode, rule, quantum = rule_variants()[name]
        network = load_network(MODEL, weights=weights)
        ranking = make_ranking(rule, mode=mode, ratio=RATIO, rank_quantum=quantum)
        found = {
            n: one.decomposition.record() for n, one in ranked_layers(network, ranking).items()
        }
        return {n: d for n, d in found.items() if not d.is_original}

    def _measured(self, weights: Path) -> dict[str, Decomposition]:
        """Of what is faster in training and inference on this machine, the plan of most saving
        within the error limit; inference alone where the backend does not train. Times do not
        depend on weights, so all seeds share a store."""
        settings, db = self.settings, f"sqlite:///{self.work.parent}/rankwise.db"
        common: dict[str, Any] = {"backend": settings.backend, "db": db, "weights": weights}
        common |= {"input_shape": (BATCHES[-1], 1, 28, 28)}
        phases = ["inference", "training"]
        for phase in tuple(phases):
            try:
                profile(MODEL, phase=phase, max_time_s=settings.plan_s, **common)
            except Exception as error:
                if phase == "inference":
                    raise
                print(f"inference only: {error}", file=sys.stderr)
                phases.remove(phase)
        chosen = plan(
            MODEL,
            max_error=settings.max_error,
            calibration=self._calibration(),
            refine=False,
            phase="both" if len(phases) == 2 else "inference",
            output=self.work / "plan.json",
            **common,
        )
        found = {layer.name: layer.decomposition.record() for layer in chosen.layers}
        return {n: d for n, d in found.items() if not d.is_original}

    def _calibration(self) -> Path:
        """Training images: the test images are for the table alone."""
        place = self.work / "calibration.npz"
        if not place.exists():
            write_whole(place, lambda t: np.savez(t, self.data.images[:CALIBRATION].numpy()))
        return place

    def _facts(self, name: str, decisions: Decisions, model: torch.nn.Module) -> dict[str, Any]:
        params, macs = 0, 0
        for use in load_network(MODEL).layers:
            if use.spec is not None:
                chain = lower(use.spec, decisions.get(use.name, Decomposition()))
                params, macs = params + chain.params, macs + chain.macs
        return {
            "name": name,
            "seed": self.seed,
            "accuracy": fashion.accuracy(model, self.data, self.settings.device),
            "params": params,
            "macs": macs,
            "layers": len(decisions),
            "decisions": {layer: d.to_json() for layer, d in decisions.items()},
        }

    def _times(self, decisions: Decisions) -> dict[str, Any]:
        """Speedups with their intervals, by what is timed; of the first seed only, because times
        do not depend on weights."""
        if self.seed or not decisions:
            return {}
        return {
            f"{phase} {batch}": self._speedup(decisions, phase, batch)
            for phase, batch in (("training", BATCHES[-1]), *(("inference", b) for b in BATCHES))
        }

    def _speedup(self, decisions: Decisions, phase: str, batch: int) -> list[float]:
        settings = self.settings
        request = {
            "source": MODEL,
            "weights": None,
            "inputs": {"input_shape": [batch, 1, 28, 28]},
            "threads": torch.get_num_threads(),
            "device": settings.device,
            "dtype": settings.time_dtype,
            "phase": phase,
            "rounds": settings.rounds,
            "variants": {"old": Variant({}).to_json(), "new": Variant(decisions).to_json()},
        }
        found = compare_rounds(request, "old", settings.processes)["new"]
        return [found.speedup, found.speedup_low, found.speedup_high]


def all_rows(settings: Settings, data: fashion.Data, work: Path, clock: Clock) -> Iterator[Any]:
    """Rows in the order in which they are worth most: seed by seed. Ends early without time."""
    for seed in range(settings.seeds):
        recipe = Recipe(settings, data, work, seed, clock)
        for name in settings.variants:
            if not clock.go_on():
                return
            try:
                yield recipe.row(name)
            except OutOfTime:
                return


def settings_of(words: argparse.Namespace) -> Settings:
    grid = Settings(
        images=words.images,
        tests=words.tests,
        epochs=words.epochs or 4,
        seeds=words.seeds or 1,
        variants=tuple(words.variants or [UNCOMPRESSED, MEASURED, *rule_variants()]),
        backend=words.backend,
        max_error=words.max_error,
        device=words.device,
        bfloat16=words.bf16,
        time_dtype=words.time_dtype,
        rounds=words.rounds,
        processes=words.processes,
        plan_s=words.plan_time,
        rate=words.rate,
    )
    if words.set == "grid":
        return replace(grid, images=words.images or 12_000)
    best = words.best or "mode2 pr q16"
    return replace(
        grid,
        epochs=words.epochs or 10,
        seeds=words.seeds or 3,
        variants=tuple(words.variants or [UNCOMPRESSED, MEASURED, best]),
    )


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add: Callable[..., Any] = parser.add_argument
    add("--set", choices=("grid", "headline"), default="grid")
    add("--data", type=Path, default=fashion.DEBIAN, help="folder of IDX files")
    add("--work", type=Path, default=Path("paper_recipe"))
    add("--budget", type=duration, default=None, metavar="2h")
    add("--best", help="headline: the best mode that the grid has found")
    add("--variants", action="append", help="only this one; repeatable")
    add("--images", type=int)
    add("--tests", type=int)
    add("--epochs", type=int)
    add("--seeds", type=int)
    add("--rate", type=float, default=0.1)
    add("--backend", default="torch-cpu", help="whose rows the measured plan rests on")
    add("--max-error", type=float, default=0.3)
    add("--plan-time", type=duration, default=600.0)
    add("--rounds", type=int, default=12)
    add("--processes", type=int, default=3)
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--bf16", action="store_true", help="train under autocast to bfloat16")
    add("--time-dtype", choices=("float32", "bfloat16"), default="float32")
    add("--output", type=Path, help="Markdown; a picture (.svg) stands beside it")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    words = parsed(arguments)
    settings, started = settings_of(words), time.monotonic()
    data = fashion.load(words.data, settings.images, settings.tests)
    rows = list(all_rows(settings, data, words.work / words.set, Clock(words.budget)))
    wanted = settings.seeds * len(settings.variants)
    text = markdown(rows) if rows else ""
    print(text + f"\n{len(rows)} of {wanted} rows, {time.monotonic() - started:.0f} s")
    if rows and words.output:
        words.output.write_text(text, encoding="utf-8")
        picture(rows, words.output.with_suffix(".svg"))
    return 0 if len(rows) == wanted else 1


if __name__ == "__main__":
    sys.exit(main())
