"""One profile over 1, 2, 4 and 8 devices of one kind: how long it takes, and whether verdicts stay.

    python benchmarks/sharding.py
    python benchmarks/sharding.py --layers 40 --devices 1 8 --slow 1.5
    python benchmarks/sharding.py --layers 40 --devices 1 8 --lost

Devices are boards of one fake kind that write to one store, and take parts of the layers as they
become free. Their seconds are planted: a timing lasts `--timing-s`, the start of a part
`--start-s`, and each device has a clock that goes on by what its parts take, so that a busy machine
changes nothing. `--slow` makes the first device slower by that factor; `--lost` takes it away in
the middle of its second part, of which then nothing is there. Ideal is the first number of devices'
time, shared out to what all devices can do.
"""

from __future__ import annotations

import argparse
import heapq
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from fleet_network import widths

import rankwise as rw
from rankwise.campaign.parts import PER_DEVICE
from rankwise.models.network import Network
from rankwise.profiler.session import WARM_UPS

KIND = "fake:step=16,launch_us=1,gmacs=1"
HOW = {"kinds": ("svd",), "rank_quantum": 32}
PREPARATIONS = 2
MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Run:
    """What a profile over so many devices took, and what it said."""

    seconds: float
    rows: tuple[tuple, ...]
    boards: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=200)
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--timing-s", type=float, default=0.05)
    parser.add_argument("--start-s", type=float, default=3.0)
    parser.add_argument("--slow", type=float, default=1.0)
    parser.add_argument("--lost", action="store_true")
    options = parser.parse_args()
    asked, runs = network(options.layers), dict[int, Run]()
    for count in options.devices:
        with TemporaryDirectory(dir=MEMORY if MEMORY.exists() else None) as folder:
            runs[count] = shared_out(asked, count, options, f"sqlite:///{folder}/store.db")
        report(options.devices[0], count, runs, options.slow)


def report(first: int, count: int, runs: dict[int, Run], slow: float) -> None:
    def power(devices: int) -> float:
        return devices - 1 + 1 / slow

    alone, run = runs[first], runs[count]
    ideal_s = alone.seconds * power(first) / power(count)
    verdicts = dict(Counter(verdict for *_, verdict in run.rows))
    print(
        f"{count} devices: {run.seconds:.1f} s, {run.seconds / ideal_s:.3f} of the ideal "
        f"{ideal_s:.1f} s; {len(run.rows)} rows {verdicts}, "
        f"{len(set(run.rows) ^ set(alone.rows))} unlike those of {first}; "
        f"at most {run.boards} boards a row",
        flush=True,
    )


def network(layers: int) -> Network:
    """Linear layers that are all different."""
    from torch import nn

    from rankwise.models.source import network_of_module

    sizes = widths(layers)
    made = nn.Sequential(*(nn.Linear(*pair) for pair in pairwise(sizes)))
    return network_of_module(made.eval(), (1, sizes[0]))


def shared_out(asked: Network, count: int, options: argparse.Namespace, db: str) -> Run:
    """Play the devices' clocks: whoever is free first takes the next part."""
    total = PER_DEVICE * count
    parts = [f"{number}/{total}" for number in range(total, 0, -1)]
    clocks = [(0.0, device) for device in range(count)]
    lost, done, ended = count > 1 and options.lost, Counter[int](), 0.0
    while parts:
        now, device = heapq.heappop(clocks)
        part = parts.pop()
        if lost and device == 0 and done[0] == 1:
            parts.insert(0, part)  # it is known to be lost only when the others have done the rest
            continue
        slow = options.slow if device == 0 else 1.0
        now += slow * seconds_of(measure(asked, device, part, db), options)
        done[device] += 1
        ended = max(ended, now)
        heapq.heappush(clocks, (now, device))
    frame = rw.table(db=db)
    rows = frame[["spec_key", "kind", "ranks", "speedup", "verdict"]].round(6)
    return Run(ended, tuple(rows.itertuples(index=False, name=None)), max(frame.boards))


def measure(asked: Network, device: int, part: str, db: str) -> rw.documents.Profile:
    return rw.profile(asked, backend=f"{KIND},board=b{device}", db=db, part=part, **HOW)


def seconds_of(done: rw.documents.Profile, options: argparse.Namespace) -> float:
    """Of a part: its samples, its warm-ups, and its start."""
    warm_ups = WARM_UPS * PREPARATIONS * (done.candidates + done.specs)
    return options.start_s + options.timing_s * (done.samples + warm_ups)


if __name__ == "__main__":
    main()
