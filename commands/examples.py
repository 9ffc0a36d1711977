"""An example or two for every command, as --help shows them; a test parses each."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

TEXT = """
[]
# a faster network that errs by at most 0.1, in one go
rankwise tune net.onnx --calibration photos/ --max-error 0.1
# or step by step
rankwise profile net.onnx
# which layers became faster
rankwise table --best
[tune]
# measure, choose, write and check
rankwise tune net.onnx --calibration photos/ --max-error 0.1
# for an evening; the next run goes on
rankwise tune resnet50 --calibration photos/ --max-time 2h
# the least error at a speedup
rankwise tune net.onnx --calibration photos/ --target-speedup 1.3
[devices]
# what can be measured here
rankwise devices
# what a service's workers have, and what each does
rankwise devices --fleet --server http://device.lab:8765
[doctor]
# before a long run
rankwise doctor --backend torch-cpu --threads 4
[layers]
# what the network is made of
rankwise layers net.onnx
# the ranks that a rule would choose
rankwise layers resnet18 --ranks vbmf
[profile]
# on the best backend here
rankwise profile resnet18
# a named backend, four threads, ten minutes
rankwise profile net.onnx --backend openvino-cpu --threads 4 --max-time 10m
# on each device of a fleet that has the label
rankwise profile net.onnx --device 'label=lab-a' --server http://device.lab:8765
[table]
# the best of each layer
rankwise table --best
# the ten largest savings
rankwise table --sort saving --verdict faster --top 10
# two devices side by side, for a spreadsheet
rankwise table --device torch-cpu --device onnxruntime-cpu --format csv -o table.csv
[pareto]
# how speed grows with error
rankwise pareto net.onnx --calibration photos/ -o front.svg
[plan]
# as fast as an error of 0.1 allows
rankwise plan net.onnx --calibration photos/ --max-error 0.1 -o plan.json
[explain]
# the newest plan in this folder
rankwise explain
# all candidates of a layer
rankwise explain --layer layer3.0.conv2
[what-if]
# after editing the plan by hand
rankwise what-if plan.json
[apply]
# write the compressed network
rankwise apply plan.json net.onnx -o small.onnx
[verify]
# time it against the original
rankwise verify plan.json net.onnx --data photos/
[recover]
# train the error down for ten minutes
rankwise recover plan.json net.onnx --data photos/ --budget 10m -o trained.onnx
[finetune]
# with your own function
rankwise finetune plan.json mytraining:train -o tuned.safetensors
[report]
# a page to send
rankwise report plan.json -o plan.html
[serve]
# for this machine alone
rankwise serve --port 8765
# for the workers of a cluster
rankwise serve --cluster tcp://127.0.0.1:8786 --db postgresql://rankwise@127.0.0.1/lab
[worker]
# this machine's GPU, for jobs that ask for lab-a
rankwise worker tcp://127.0.0.1:8786 --backend torch-cuda:device=0 --label lab-a
[db]
# take results elsewhere
rankwise db export lab.zip
[db export]
# everything that was measured
rankwise db export -o lab.zip --db sqlite:///lab.db
[db import]
# two labs in one store
rankwise db import lab-a.zip lab-b.zip
[db check]
# is everything in order
rankwise db check
[db upgrade]
# after an update of rankwise
rankwise db upgrade
[db prune]
# what would go
rankwise db prune --older-than 90d --dry-run
"""
"""By the command's words, nothing for `rankwise` itself: what an example is for, and its line."""


@cache
def examples() -> Mapping[str, list[tuple[str, str]]]:
    """Return (purpose, line) of each command's examples, by the command's words."""
    found: dict[str, list[tuple[str, str]]] = {}
    command, purpose = "", ""
    for line in TEXT.strip().splitlines():
        if line.startswith("["):
            command = line.strip("[]")
        elif line.startswith("#"):
            purpose = line.lstrip("# ")
        else:
            found.setdefault(command, []).append((purpose, line))
    return found
