"""The views that people query with their own tools, against what the store itself says."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import create_engine, inspect

from rankwise.db import NetworkRun, Store
from rankwise.db.url import locate
from rankwise.db.views import VIEWS
from rankwise.records import (
    ORIGINAL,
    Candidate,
    Decomposition,
    DeviceFingerprint,
    Failure,
    LayerSpec,
    LayerUse,
    MeasurementPolicy,
    Sample,
)
from rankwise.stats import summarize_pairs

PAGE = Path(__file__).parents[2] / "docs" / "store.md"
POLICY = MeasurementPolicy(batch=4, threads=2)
DEVICES = tuple(DeviceFingerprint.of("fake", {"chip": c}, {"driver": "1"}) for c in "ab")
SPEC = LayerSpec("conv2d", 8, 16, (8, 14, 14), (3, 3))
ONE = Candidate(SPEC, Decomposition("tucker2", (4, 8), groups=2))
TWO = Candidate(SPEC, Decomposition("spatial_svd", (8,)))
ORIGIN = Candidate(SPEC, ORIGINAL)


@pytest.fixture
def filled(store: Store) -> Store:
    uses = (LayerUse("conv1", "conv2d", SPEC), LayerUse("pool", "maxpool", None, "not one"))
    store.networks.put("a" * 64, "net.onnx", (1, 8, 14, 14), uses)
    for number in range(4):
        device = DEVICES[number % 2]
        session = store.sessions.begin(device, POLICY, ORIGIN, [ONE, TWO], {})
        seconds = np.random.default_rng(number).lognormal(-7, 0.3, (3, 5))
        for r, row in enumerate(seconds.T.tolist()):
            timed = zip((ORIGIN, ONE, TWO), row, strict=True)
            store.sessions.add_round(session, [Sample(r, w.key, "host", s, 2) for w, s in timed])
        summaries = {
            w.key: summarize_pairs(seconds[0], seconds[i]) for i, w in ((1, ONE), (2, TWO))
        }
        store.sessions.end(session, summaries)
    store.failures.add(DEVICES[0], POLICY, TWO, Failure(TWO.key, "crash", "gone"))
    before, after = NetworkRun("0" * 32, {}), NetworkRun("1" * 32, {})
    store.sessions.begin(DEVICES[0], POLICY, before, [after], {})
    return store


@pytest.fixture
def query(url: str) -> Any:
    """SQL to a pandas frame, the way people would."""

    def run(sql: str) -> pd.DataFrame:
        engine = create_engine(locate(url).engine_url)
        with engine.connect() as connection:
            frame = pd.read_sql(sql, connection)
        engine.dispose()
        return frame

    return run


def test_speedups(filled: Store, query: Callable[[str], pd.DataFrame]) -> None:
    rows = {
        (row.hardware_key, row.kind): row for row in query("SELECT * FROM v_speedups").itertuples()
    }
    known = [m for m in filled.measurements.find() if not m.failure]
    assert len(rows) == len(known) == 3  # what failed is not offered
    for found in known:
        row = rows[found.fingerprint.hardware_key, found.decomposition.kind]
        ratios = [s.log_ratio for s in found.summaries]
        assert math.isclose(row.speedup, math.exp(fmean(ratios)))
        assert math.isclose(row.saving_s, fmean(s.saving_s for s in found.summaries))
        assert math.isclose(row.latency_s, fmean(s.candidate_s for s in found.summaries))
        assert (row.sessions, row.rounds) == (2, 10)
        assert (row.spec_key, row.op, row.backend) == (SPEC.key, "conv2d", "fake")
        assert (row.phase, row.batch, row.threads) == ("inference", 4, 2)
        assert row.measured_at == found.measured_at
        ranks = [int(rank) for rank in row.ranks.strip("[]").split(",")]
        assert (tuple(ranks), row.groups) == (
            found.decomposition.ranks,
            found.decomposition.groups,
        )


@pytest.mark.usefixtures("filled")
def test_speedups_of_a_networks_layers(query: Callable[[str], pd.DataFrame]) -> None:
    frame = query(
        "SELECT l.layer, s.speedup FROM v_layers l JOIN v_speedups s ON s.spec_key = l.spec_key "
        "WHERE l.network = 'net.onnx' ORDER BY s.speedup DESC"
    )
    assert set(frame.layer) == {"conv1"}
    assert len(frame) == 3


@pytest.mark.usefixtures("filled")
def test_samples_layers_failures_sessions(query: Callable[[str], pd.DataFrame]) -> None:
    samples = query("SELECT * FROM v_samples WHERE kind = 'tucker2'")
    assert len(samples) == 20
    assert set(samples.workload_key) == {ONE.key}
    layers = query("SELECT * FROM v_layers ORDER BY position")
    assert list(layers.layer) == ["conv1", "pool"]
    assert list(layers.reason) == ["", "not one"]
    [failure] = query("SELECT * FROM v_failures").itertuples()
    assert (failure.kind, failure.stage, failure.reason) == ("spatial_svd", "crash", "gone")
    assert not failure.resolved
    sessions = query("SELECT * FROM v_sessions")
    assert len(sessions) == 5
    assert sessions.imported_from.isna().all()
    assert len(query("SELECT * FROM v_devices")) == 2


@pytest.mark.usefixtures("filled")
def test_the_pages_example_runs(query: Callable[[str], pd.DataFrame]) -> None:
    [example] = re.findall(r"```sql\n(.*?);\n```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert "'resnet50'" in example
    sql = example.replace("'resnet50'", "'net.onnx'").replace("'onnxruntime-cpu'", "'fake'")
    assert len(query(sql)) == 3


@pytest.mark.usefixtures("filled")
def test_the_page_names_every_view_and_column(url: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    engine = create_engine(locate(url).engine_url)
    inspector = inspect(engine)
    assert set(inspector.get_view_names()) == VIEWS.keys()
    for view in VIEWS:
        [described] = re.findall(rf"^\| `{view}` \|.*$", page, flags=re.MULTILINE)
        missing = [c["name"] for c in inspector.get_columns(view) if f"`{c['name']}`" not in page]
        assert not missing, f"docs/store.md does not say what {missing} of {view} are"
        assert described
    engine.dispose()
