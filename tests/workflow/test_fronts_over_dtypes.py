"""`pareto --dtypes float32,int8`: one front over the original in float32."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from math import log
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

import rankwise as rw
from rankwise import documents
from rankwise.planner.over_float32 import times
from rankwise.records import Comparison
from rankwise.search.network_model import Forecast

Command = Callable[..., Result]
FAKE = "fake:step=16"
BOTH = "--dtypes", "float32,int8"


@pytest.fixture
def asked(
    rankwise: Command, profiled: dict[str, Any], network_file: Path, pictures: Path
) -> list[object]:
    """Words that ask for a front of a network that was measured in both dtypes."""
    assert profiled
    result = rankwise("profile", network_file, "--backend", FAKE, "--dtype", "int8")
    assert result.exit_code == 0, result.output
    words = ["pareto", network_file, "--backend", FAKE, "--points", 4]
    return [*words, "--calibration", pictures, "--preprocess", "unit"]


def front(rankwise: Command, *words: object) -> documents.Pareto:
    """A front, on which no point beats another."""
    result = rankwise(*words, "--json")
    assert result.exit_code == 0, result.output
    found = documents.Pareto.model_validate(json.loads(result.stdout))
    original = found.points[0]
    assert (original.dtype, original.speedup, original.network_error) == ("float32", 1, 0)
    for one, other in pairwise(found.points):
        assert one.network_error < other.network_error
        assert one.speedup < other.speedup
    return found


def test_points_of_both_dtypes(rankwise: Command, asked: list[object], tmp_path: Path) -> None:
    """What is predicted of a plan in int8 holds where it is timed against the original in float32;
    what was timed once is known to the next front."""
    drawn = tmp_path / "front.svg"
    found = front(rankwise, *asked, *BOTH, "-o", drawn)
    assert found.dtypes == ["float32", "int8"]
    assert found.policy["dtype"] == "float32"
    assert "speedup over float32, predicted" in drawn.read_text()
    timed = front(rankwise, *asked, *BOTH, "--refine")
    assert all(point.measured for point in timed.points[1:])
    by_plan = {(one.dtype, str(one.decisions)): one for one in timed.points}
    for point in found.points:
        measured = by_plan[point.dtype, str(point.decisions)]
        assert point.speedup_low <= measured.speedup <= point.speedup_high
        assert point.network_error == measured.network_error
        assert measured.latency_s == pytest.approx(
            timed.points[0].latency_s / measured.speedup, rel=0.03
        )
    assert front(rankwise, *asked, *BOTH) == timed
    shown = rankwise(*asked, *BOTH).stdout
    assert shown.split()[0] == "dtype"


def test_int8_alone_is_over_the_original_in_float32(
    rankwise: Command, asked: list[object], network_file: Path, pictures: Path, tmp_path: Path
) -> None:
    """The plain quantised network is as fast as `verify` measures it."""
    points = front(rankwise, *asked, "--dtypes", "int8").points
    [plain] = [point for point in points if point.dtype == "int8" and not point.decisions]
    assert plain.measured
    plan = tmp_path / "plan.json"
    words = ["--backend", FAKE, "--calibration", pictures, "--preprocess", "unit"]
    result = rankwise("plan", network_file, *words, "--max-error", 0.01, "--no-refine", "-o", plan)
    assert result.exit_code == 0, result.output
    words = [plan, network_file, "--dtype", "int8", "--data", pictures, "--preprocess", "unit"]
    result = rankwise("verify", *words, "--json")
    assert result.exit_code == 0, result.output
    verified = documents.VerificationDocument.model_validate(json.loads(result.stdout))
    assert plain.speedup == pytest.approx(verified.in_int8[0].speedup, rel=0.01)
    assert plain.network_error > 0


def test_limits_on_the_measured_error(asked: list[object], pictures: Path, tmp_path: Path) -> None:
    found = rw.pareto(
        str(asked[1]),
        backend=FAKE,
        dtypes=("int8", "float32"),
        limits=(0.001, 0.006, 0.02),
        calibration=pictures,
        preprocess="unit",
        db=f"sqlite:///{tmp_path}/store.db",
    )
    assert found.dtypes == ["float32", "int8"]
    for point in found.points:
        assert point.max_error is None or point.network_error <= point.max_error


@pytest.mark.slow
def test_on_a_real_runtime(
    rankwise: Command, network_file: Path, pictures: Path, tmp_path: Path
) -> None:
    """Times mean little on a busy machine: what is asked is that each point says what it is of."""
    words = network_file, "--backend", "onnxruntime-cpu"
    for dtype in ("float32", "int8"):
        quick = ["--kinds", "svd", "--rank-quantum", 32, "--interval", 0.5]
        result = rankwise("profile", *words, "--dtype", dtype, *quick, "--max-time", "60s")
        assert result.exit_code == 0, result.output
    data = "--calibration", pictures, "--preprocess", "unit"
    drawn = tmp_path / "front.png"
    asked = ["pareto", *words, *data, *BOTH, "--points", 3, "-o", drawn]
    found = front(rankwise, *asked)
    for point in found.points:
        plain = not point.decisions
        assert point.measured == (point.dtype == "int8") or not plain
        assert (point.network_error == 0) == (plain and point.dtype == "float32")
    assert drawn.read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("profiled")
def test_refused_in_one_sentence(rankwise: Command, network_file: Path, pictures: Path) -> None:
    words = ["pareto", network_file, "--backend"]
    data = ["--calibration", pictures, "--preprocess", "unit"]
    for more, sentence in (
        ([FAKE, *BOTH], "int8 needs pictures to take ranges from: give --calibration"),
        ([FAKE, *data, "--dtypes", "float32,float16"], "not in 'float16'"),
        (["torch-cpu", *data, *BOTH], "torch-cpu cannot compute in int8"),
        ([FAKE, *data, *BOTH, "--dtype", "int8"], "No such option: --dtype"),
    ):
        result = rankwise(*words, *more)
        assert result.exit_code == 2, result.output
        assert sentence in " ".join(result.output.split())


def test_a_product_is_as_uncertain_as_both_together() -> None:
    forecast = Forecast(2.0, 1.6, 2.5, own_run=False)
    factor = Comparison(3.0, 2.7, 3.3, 0.1, 0.1, 0.1, 0.2, 0.1, 3, 30)
    found = times(forecast, factor)
    assert found.speedup == pytest.approx(6.0)
    low = log(6.0 / found.speedup_low)
    assert low**2 == pytest.approx(log(2 / 1.6) ** 2 + log(3 / 2.7) ** 2)
    high = log(found.speedup_high / 6.0)
    assert high**2 == pytest.approx(log(2.5 / 2) ** 2 + log(3.3 / 3) ** 2)
    sure = Comparison(1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.2, 0.2, 3, 30)
    assert times(forecast, sure).speedup_low == pytest.approx(forecast.speedup_low)
