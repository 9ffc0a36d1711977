"""The tables. Times are UTC in ISO 8601, durations are seconds, keys are content keys.

Raw samples are the truth; `summaries` is a cache of them by session and candidate, with the
estimator's version, so that a table of a network never reads samples.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    text,
)

VERSION_TABLE = "rankwise_version"

# Constraints need names before a later migration can change them.
NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

metadata = MetaData(naming_convention=NAMES)

networks = Table(
    "networks",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("source", Text, nullable=False),
    Column("input_shape", JSON, nullable=False),
    Column("put_at", String(32), nullable=False),
)

specs = Table(
    "specs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", String(32), nullable=False, unique=True),
    Column("json", JSON, nullable=False),
)

network_layers = Table(
    "network_layers",
    metadata,
    Column("network_id", ForeignKey("networks.id"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("op", String(64), nullable=False),
    Column("spec_id", ForeignKey("specs.id"), nullable=True, index=True),
    Column("reason", Text, nullable=False),
    sqlite_with_rowid=False,
)

workloads = Table(
    "workloads",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", String(32), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("spec_id", ForeignKey("specs.id"), nullable=True, index=True),
    Column("decomposition", JSON(none_as_null=True), nullable=True),
    Column("description", JSON(none_as_null=True), nullable=True),
)

devices = Table(
    "devices",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", String(32), nullable=False, unique=True),
    Column("backend", String(64), nullable=False),
    Column("hardware_key", String(16), nullable=False),
    Column("software_key", String(16), nullable=False),
    Column("json", JSON, nullable=False),
)

policies = Table(
    "policies",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", String(32), nullable=False, unique=True),
    Column("json", JSON, nullable=False),
)

# `host`, `boot`, `pid` and `process_started` name the process that measures: when it is gone
# and `ended_at` is null, the session was cut off and is summarised from its samples. `board` is
# the physical board that measured, as far as anybody can say: a device's row is of its kind.
sessions = Table(
    "sessions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("uuid", String(32), nullable=False, unique=True),
    Column("device_id", ForeignKey("devices.id"), nullable=False),
    Column("policy_id", ForeignKey("policies.id"), nullable=False),
    Column("original_workload_id", ForeignKey("workloads.id"), nullable=False),
    Column("started_at", String(32), nullable=False),
    Column("ended_at", String(32), nullable=True),
    Column("host", Text, nullable=False),
    Column("boot", String(64), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("process_started", Double, nullable=False),
    Column("run_metadata", JSON, nullable=False),
    Column("board", String(32), nullable=True),
    Index(None, "device_id", "policy_id"),
)

samples = Table(
    "samples",
    metadata,
    Column("session_id", ForeignKey("sessions.id"), nullable=False),
    Column("workload_id", ForeignKey("workloads.id"), nullable=False),
    Column("round", Integer, nullable=False),
    Column("clock", String(16), nullable=False),
    Column("seconds", Double, nullable=False),
    Column("loops", Integer, nullable=False),
    PrimaryKeyConstraint("session_id", "workload_id", "round", "clock"),
    sqlite_with_rowid=False,
)

# Clustered by workload and device (the session's, repeated here): the table of one network on
# one device is then a few ranges, however many networks and devices there are.
summaries = Table(
    "summaries",
    metadata,
    Column("workload_id", ForeignKey("workloads.id"), nullable=False),
    Column("device_id", ForeignKey("devices.id"), nullable=False),
    Column("policy_id", ForeignKey("policies.id"), nullable=False),
    Column("session_id", ForeignKey("sessions.id"), nullable=False, index=True),
    Column("estimator_version", Integer, nullable=False),
    Column("rounds", Integer, nullable=False),
    Column("log_ratio", Double, nullable=False),
    Column("log_ratio_var", Double, nullable=False),
    Column("saving_s", Double, nullable=False),
    Column("saving_var", Double, nullable=False),
    Column("original_s", Double, nullable=False),
    Column("candidate_s", Double, nullable=False),
    PrimaryKeyConstraint("workload_id", "device_id", "policy_id", "session_id"),
    sqlite_with_rowid=False,
)

failures = Table(
    "failures",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("workload_id", ForeignKey("workloads.id"), nullable=False, index=True),
    Column("device_id", ForeignKey("devices.id"), nullable=False),
    Column("policy_id", ForeignKey("policies.id"), nullable=False),
    Column("session_id", ForeignKey("sessions.id"), nullable=True),
    Column("stage", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", String(32), nullable=False),
    Column("resolved", Boolean, nullable=False),
)

plans = Table(
    "plans",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", String(32), nullable=False, unique=True),
    Column("created_at", String(32), nullable=False),
    Column("network_sha256", String(64), nullable=False, index=True),
    Column("json", JSON, nullable=False),
)

verifications = Table(
    "verifications",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("plan_key", String(32), nullable=False, index=True),
    Column("json", JSON, nullable=False),
    Column("at", String(32), nullable=False),
)

# The network error when one layer alone is replaced, on one set of pictures.
sensitivities = Table(
    "sensitivities",
    metadata,
    Column("key", String(32), primary_key=True),
    Column("network_sha256", String(64), nullable=False),
    Column("calibration_sha256", String(64), nullable=False),
    Column("layer", Text, nullable=False),
    Column("decomposition", JSON, nullable=False),
    Column("metric", String(64), nullable=False),
    Column("value", Double, nullable=False),
    Column("upper", Double, nullable=False),
    Column("put_at", String(32), nullable=False),
    Index(None, "network_sha256", "calibration_sha256"),
)

# Of all live jobs only one has a request: the same request gives the same job.
_LIVE = text("state IN ('queued', 'running')")

jobs = Table(
    "jobs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("uuid", String(32), nullable=False, unique=True),
    Column("kind", String(32), nullable=False),
    Column("request", JSON, nullable=False),
    Column("request_key", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("progress", JSON, nullable=False),
    Column("result", JSON(none_as_null=True), nullable=True),
    Column("error", Text, nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("started_at", String(32), nullable=True),
    Column("ended_at", String(32), nullable=True),
    Column("owner", JSON(none_as_null=True), nullable=True),
    # The fencing token: see `fence`. And the device of the fleet that has the job, or had it.
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("device", String(16), nullable=True),
    Index(None, "state", "id"),
    Index(None, "device", "id"),
    Index(
        "uq_jobs_live_request",
        "request_key",
        unique=True,
        sqlite_where=_LIVE,
        postgresql_where=_LIVE,
    ),
)

# Devices of the machines that take jobs from a service: who has them, and how they are. `state` is
# what does not follow from the rest: ready, or quarantined for its `reason` after `hangs`.
fleet_devices = Table(
    "fleet_devices",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("host", Text, nullable=False),
    Column("worker", Text, nullable=False),
    Column("backend", Text, nullable=False),
    Column("fingerprint", JSON, nullable=False),
    Column("labels", JSON, nullable=False),
    Column("versions", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("hangs", Integer, nullable=False),
    Column("seen_at", String(32), nullable=False),
)

# Which archives were merged into this store, and which sessions came with them.
imports = Table(
    "imports",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("imported_at", String(32), nullable=False),
    Column("exported_at", String(32), nullable=False),
    Column("host", Text, nullable=False),
    Column("rankwise_version", String(32), nullable=False),
)

session_imports = Table(
    "session_imports",
    metadata,
    Column("session_id", ForeignKey("sessions.id"), primary_key=True, autoincrement=False),
    Column("import_id", ForeignKey("imports.id"), nullable=False, index=True),
    sqlite_with_rowid=False,
)

# Sessions whose raw samples were dropped; their summaries stay.
pruned = Table(
    "pruned",
    metadata,
    Column("session_id", ForeignKey("sessions.id"), primary_key=True, autoincrement=False),
    Column("samples", Integer, nullable=False),
    Column("at", String(32), nullable=False),
    sqlite_with_rowid=False,
)

# Apart, because Alembic owns it: same shape as Alembic's own, so that either may create it.
version = Table(
    VERSION_TABLE,
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
)
