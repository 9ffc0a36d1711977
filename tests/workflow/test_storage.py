"""`rankwise db ...`: moving, merging and pruning a store from the command line."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, tzinfo
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from rankwise.db import Store
from rankwise.db.url import companion
from rankwise.records import (
    ORIGINAL,
    Candidate,
    Decomposition,
    DeviceFingerprint,
    LayerSpec,
    LayerUse,
    MeasurementPolicy,
    Sample,
)
from rankwise.stats import summarize_pairs

ASSETS = Path(__file__).parents[1] / "assets"
SPEC = LayerSpec("linear", 8, 8, (8,))
ONE = Candidate(SPEC, Decomposition("svd", (4,)))
ORIGIN = Candidate(SPEC, ORIGINAL)


@pytest.fixture
def lab(tmp_path: Path) -> Callable[[str], str]:
    """Makes a store with one session on a device of its own; returns its path."""

    def make(chip: str) -> str:
        path = tmp_path / f"{chip}.db"
        device = DeviceFingerprint.of("fake", {"chip": chip}, {"driver": "1"})
        seconds = np.random.default_rng(0).lognormal(-7, 0.1, (4, 2))
        with Store.open(str(path)) as store:
            store.networks.put("a" * 64, "net", (1, 8), [LayerUse("fc", "linear", SPEC)])
            session = store.sessions.begin(device, MeasurementPolicy(), ORIGIN, [ONE], {})
            for r, (before, after) in enumerate(seconds.tolist()):
                pair = ((ORIGIN.key, before), (ONE.key, after))
                store.sessions.add_round(session, [Sample(r, key, "host", s) for key, s in pair])
            store.sessions.end(session, {ONE.key: summarize_pairs(seconds[:, 0], seconds[:, 1])})
        return str(path)

    return make


@pytest.fixture
def rankwise() -> Callable[..., Result]:
    from rankwise.cli import app

    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


def table(rankwise: Callable[..., Result], db: str) -> list[object]:
    done = rankwise("table", "--db", db, "--json")
    assert done.exit_code == 0, done.output
    rows: list[object] = json.loads(done.stdout)["rows"]
    return rows


def test_two_labs_become_one(
    rankwise: Callable[..., Result], lab: Callable[[str], str], tmp_path: Path
) -> None:
    files = []
    for chip in "ab":
        files.append(tmp_path / f"{chip}.zip")
        done = rankwise("db", "export", files[-1], "--db", lab(chip))
        assert "1 sessions on 1 devices" in done.stdout, done.output
    merged = str(tmp_path / "all.db")
    done = rankwise("db", "import", *files, "--db", merged)
    assert done.exit_code == 0, done.output
    assert done.stdout.count("1 sessions with 8 samples, 1 devices") == 2
    assert "nothing new" in rankwise("db", "import", files[0], "--db", merged).stdout
    rows = table(rankwise, merged)
    apart = [row for chip in "ab" for row in table(rankwise, str(tmp_path / f"{chip}.db"))]
    assert sorted(map(repr, rows)) == sorted(map(repr, apart))
    assert rankwise("db", "check", "--db", merged).exit_code == 0


def test_a_damaged_file_is_refused(
    rankwise: Callable[..., Result], lab: Callable[[str], str], tmp_path: Path
) -> None:
    path = tmp_path / "lab.zip"
    rankwise("db", "export", path, "--db", lab("a"))
    path.write_bytes(path.read_bytes()[:-30])
    done = rankwise("db", "import", path, "--db", lab("b"))
    assert done.exit_code == 2
    assert "refused and nothing of it imported" in done.stderr
    assert len(table(rankwise, str(tmp_path / "b.db"))) == 1


def test_pruning_keeps_the_table(
    rankwise: Callable[..., Result], lab: Callable[[str], str]
) -> None:
    db = lab("a")
    before = table(rankwise, db)
    assert "0 samples of 0" in rankwise("db", "prune", "--older-than", "1h", "--db", db).stdout
    words = ("db", "prune", "--older-than", "0.0000001h", "--db", db)
    assert "8 samples of 1 sessions" in rankwise(*words, "--dry-run").stdout
    assert "8 samples of 1 sessions" in rankwise(*words, "--compact").stdout
    assert table(rankwise, db) == before
    assert rankwise("db", "check", "--db", db).exit_code == 0


def test_a_wrong_clock_of_the_caller_drops_nothing(
    rankwise: Callable[..., Result], lab: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sessions end by the database's clock, and are as old as it says."""

    class Fast(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Fast:
            return cls(2999, 1, 1, tzinfo=tz)

    db = lab("a")
    monkeypatch.setattr("rankwise.clock.datetime", Fast)
    assert "0 samples of 0" in rankwise("db", "prune", "--older-than", "1h", "--db", db).stdout


@pytest.mark.parametrize("age", ["", "90", "d", "-1d", "90x", "nand", "1e99w"])
def test_ages_that_cannot_be_read(
    rankwise: Callable[..., Result], lab: Callable[[str], str], age: str
) -> None:
    done = rankwise("db", "prune", f"--older-than={age}", "--db", lab("a"))
    assert done.exit_code == 2
    assert "--older-than" in done.stderr


def test_an_upgrade_from_the_command_line(rankwise: Callable[..., Result], tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    path.write_bytes(gzip.decompress((ASSETS / "store_0001.db.gz").read_bytes()))
    refused = rankwise("table", "--db", path)
    assert refused.exit_code == 2
    assert "run `rankwise db upgrade`" in refused.stderr
    done = rankwise("db", "upgrade", "--db", path)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "old.db.backup-0001").exists()
    assert table(rankwise, str(path))


def test_companions_lie_beside_the_file_or_here() -> None:
    assert companion("sqlite:///sub/lab.db", ".cache") == Path("sub/lab.cache")
    assert companion("sub/lab.db", ".optuna.journal") == Path("sub/lab.optuna.journal")
    one, two = (companion(f"postgresql://a:{p}@host/db", ".cache") for p in ("x", "y"))
    assert one == two
    assert one.parent == Path()
    assert companion("postgresql://a@host/other", ".cache") != one


@pytest.mark.parametrize("words", [["--help"], ["db", "--help"], ["table", "--db", "lab.db"]])
def test_no_command_loads_what_it_does_not_need(
    words: list[str], lab: Callable[[str], str], tmp_path: Path
) -> None:
    lab("lab")
    code = (
        "import atexit, sys\n"
        f"sys.argv = ['rankwise', *{words!r}]\n"
        "names = ('alembic', 'psycopg', 'pandas', 'torch', 'optuna', 'onnxruntime')\n"
        "atexit.register(lambda: print([n for n in names if n in sys.modules], file=sys.stderr))\n"
        "from rankwise.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "[]"
