"""Without certificates, this machine alone."""

from __future__ import annotations

import pytest

from rankwise.errors import UsageError
from rankwise.fleet.cluster import open_cluster
from rankwise.fleet.security import VARIABLES, require_loopback, security_for


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:8786", "tcp://localhost:1", "tcp://[::1]:8786", "127.0.0.1:8786"]
)
def test_loopback_needs_no_certificate(address: str) -> None:
    require_loopback(address)
    assert not security_for(address).require_encryption


@pytest.mark.parametrize(
    "address", ["tcp://10.0.0.1:8786", "tcp://scheduler.lab:8786", "tls://scheduler.lab:8786"]
)
def test_other_machines_do(address: str) -> None:
    with pytest.raises(UsageError, match=r"set RANKWISE_TLS_CA, .* and write tls://HOST:PORT"):
        security_for(address)


def test_certificates_are_asked_for_by_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES.values():
        monkeypatch.setenv(variable, f"{variable}.pem")
    security = security_for("tls://scheduler.lab:8786")
    assert security.require_encryption
    assert security.tls_worker_cert == security.tls_client_cert == "RANKWISE_TLS_CERT.pem"
    monkeypatch.delenv(VARIABLES["key"])
    with pytest.raises(UsageError, match="set all of"):
        security_for("tls://scheduler.lab:8786")


def test_a_file_is_no_store_for_other_machines(tmp_path: object) -> None:
    with pytest.raises(UsageError, match=r"cannot reach an SQLite file: give a fleet PostgreSQL"):
        open_cluster("tcp://127.0.0.1:8786", f"sqlite:///{tmp_path}/lab.db", None)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"--cluster takes tcp://HOST:PORT, .* not 'nearby'"):
        open_cluster("nearby", "sqlite:///lab.db", None)  # type: ignore[arg-type]
