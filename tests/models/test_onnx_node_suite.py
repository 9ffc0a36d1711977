"""The test cases that the `onnx` package ships: replaced at full rank by every kind that applies, a
layer gives the outputs that the case expects.

`python tests/models/lib/onnx_node_suite.py` prints the figures.
"""

import pytest
from onnx_node_suite import cases, tallied


@pytest.mark.slow
def test_the_expected_outputs_come_back() -> None:
    tally = tallied(cases())
    print(tally)
    assert not tally.wrong
    assert not tally.tracebacks
    assert tally.cases >= 150
    assert tally.right == tally.tried >= 240
