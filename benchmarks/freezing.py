"""What sequential freezing saves of a training step, measured: interleaved, paired, by backend.

    python benchmarks/freezing.py resnet18 --input-shape 8,3,64,64 --ratio 2

All layers that a rule can decompose are decomposed by parameter reduction; then a whole training
step is timed without freezing and with either turn's factors frozen (arXiv 2309.03824), in turns
within each of several fresh processes. Ratios are printed with 95% intervals, and appended as one
JSON line to --output.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from step_rounds import compare_rounds

from rankwise.models.source import load_network
from rankwise.network_timing.training_runs import Variant
from rankwise.planner.ranking import make_ranking, ranked_layers
from rankwise.records import Comparison


def main(arguments: Sequence[str] | None = None) -> int:
    words = parsed(arguments)
    shape = [int(number) for number in words.input_shape.split(",")]
    network = load_network(words.model, weights=words.weights, input_shape=shape)
    ranked = ranked_layers(network, make_ranking("pr", mode=words.mode, ratio=words.ratio))
    records = {name: one.decomposition.record() for name, one in ranked.items()}
    decisions = {name: one for name, one in records.items() if not one.is_original}
    variants = {"thawed": Variant(decisions), "original": Variant({})}
    variants |= {f"turn {parity}": Variant(decisions, parity) for parity in (0, 1)}
    request = {
        "source": words.model,
        "weights": None if words.weights is None else str(words.weights),
        "inputs": {"input_shape": shape},
        "threads": words.threads,
        "device": words.device,
        "dtype": words.dtype,
        "rounds": words.rounds,
        "variants": {key: one.to_json() for key, one in variants.items()},
    }
    found = compare_rounds(request, "thawed", words.processes)
    for name, one in found.items():
        print(f"{name}: step time ratio {ratio(one)} to the decomposed network without freezing")
    print(f"{len(decisions)} layers decomposed; {words.device} {words.dtype}, batch {shape[0]}")
    if words.output:
        with words.output.open("a", encoding="utf-8") as lines:
            results = {name: one.to_json() for name, one in found.items()}
            lines.write(json.dumps({"request": request, "results": results}) + "\n")
    return 0


def ratio(one: Comparison) -> str:
    """Time over time, below 1 where freezing is faster."""
    return f"{1 / one.speedup:.3f} [{1 / one.speedup_high:.3f}, {1 / one.speedup_low:.3f}]"


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="zoo name, .onnx file, or package.module:callable")
    parser.add_argument("--input-shape", default="8,3,64,64", metavar="N,C,H,W")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--mode", default="vanilla", help="compression mode")
    parser.add_argument("--ratio", type=float, default=2.0, help="parameter reduction")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--output", type=Path, help="append the result here as JSON")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
