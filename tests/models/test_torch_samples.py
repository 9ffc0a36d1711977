"""torch's own samples of its convolutions and linear layers: replaced at full rank by every kind
that applies, a layer answers as before.

`python tests/models/lib/torch_samples.py` prints the figures.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "lib" / "torch_samples.py"


@pytest.mark.slow
def test_samples_answer_as_before() -> None:
    ran = subprocess.run(
        [sys.executable, "-P", SCRIPT], capture_output=True, text=True, check=False
    )
    if "ModuleNotFoundError: No module named 'torch.testing" in ran.stderr:
        pytest.skip("this torch has no test helpers")
    print(ran.stdout)
    assert not ran.returncode, ran.stderr
    counts = [int(number) for number in re.findall(r"\d+", ran.stdout.split("\n")[0])]
    cases, tried, right, wrong, tracebacks, _ = counts
    assert (wrong, tracebacks) == (0, 0), ran.stdout
    assert cases >= 120
    assert right == tried >= 200
