"""Files that start a fleet: what they run is taken by the programs that they name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import typer.main
import yaml

from rankwise.cli import app

FLEET = Path(__file__).resolve().parents[2] / "examples" / "fleet"


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FLEET / "compose.yaml").read_text())
    return found


def containers() -> Iterator[tuple[str, list[str], list[str]]]:
    """Name, whole command, and mounts of every container of ours."""
    for name, one in compose()["services"].items():
        if one["image"] == "rankwise":
            words = one.get("entrypoint", ["rankwise"]) + one.get("command", [])
            yield f"compose-{name}", words, [volume.split(":")[1] for volume in one["volumes"]]
    for document in yaml.safe_load_all((FLEET / "kubernetes.yaml").read_text()):
        for one in document["spec"].get("template", {}).get("spec", {}).get("containers", ()):
            words = one.get("command", ["rankwise"]) + one.get("args", [])
            mounts = [mount["mountPath"] for mount in one["volumeMounts"]]
            yield f"kubernetes-{one['name']}", words, mounts


def command_of(words: list[str]) -> click.Command:
    if words[:2] == ["dask", "scheduler"]:
        from distributed.cli.dask_scheduler import main

        return main
    assert words[0] == "rankwise"
    root: Any = typer.main.get_command(app)
    found: click.Command = root.commands[words[1]]
    return found


@pytest.mark.parametrize(
    ("name", "words", "mounts"), [pytest.param(*one, id=one[0]) for one in containers()]
)
def test_each_container_runs_what_there_is(
    name: str, words: list[str], mounts: list[str], tmp_path: Path
) -> None:
    """Names and values of options are taken, and files that they name are mounted."""
    given = []
    for word in words[2:]:
        if word.startswith("/"):
            assert str(Path(word).parent) in mounts, f"{word} is nowhere in the container"
            word = str(tmp_path / Path(word).name)
            Path(word).touch()
        given.append(word)
    command_of(words).make_context(name, given)


def test_what_compose_names_is_there() -> None:
    found = compose()
    for one in found["services"].values():
        assert set(one.get("depends_on", ())) <= found["services"].keys()
        named = {volume.split(":")[0] for volume in one["volumes"]}
        assert {name for name in named if not name.startswith((".", "/"))} <= found[
            "volumes"
        ].keys()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not here")
def test_certificates_are_what_a_worker_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rankwise.fleet.security import VARIABLES, security_for

    script = ["sh", str(FLEET / "certificates.sh"), str(tmp_path / "certificates")]
    subprocess.run(script, check=True, capture_output=True)
    for variable, name in zip(VARIABLES.values(), ("ca.pem", "me.pem", "me.key"), strict=True):
        monkeypatch.setenv(variable, str(tmp_path / "certificates" / name))
    security = security_for("tls://scheduler.lab:8786")
    assert security.get_connection_args("worker")["ssl_context"]


def test_slurm_gets_a_script_that_starts_a_worker() -> None:
    """One that bash can read."""
    pytest.importorskip("dask_jobqueue")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import slurm\n"
        "with slurm.cluster(scheduler_options={'dashboard': False}) as own: print(own.job_script())"
    )
    run = subprocess.run(
        [sys.executable, "-P", "-c", code, str(FLEET)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "RANKWISE_DB": "postgresql://rankwise@db/lab"},
    )
    script = run.stdout
    assert "#SBATCH --exclusive" in script
    command = next(line for line in script.splitlines() if "dask_worker" in line)
    assert "--preload rankwise.fleet.preload" in command
    assert command.endswith("--backend torch-cuda:device=0 --label slurm")
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
