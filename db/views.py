"""Read-only views for people's own tools. `docs/store.md` says what their columns mean.

The text runs on SQLite (3.38 or later, with its mathematical functions) and on PostgreSQL.
Views are made anew by every migration: a change here needs a new revision.
"""

from __future__ import annotations

from sqlalchemy import Connection

_CANDIDATE = """
    s.key AS spec_key, s.json ->> 'op' AS op,
    w.decomposition ->> 'kind' AS kind,
    replace(w.decomposition ->> 'ranks', ' ', '') AS ranks,
    CAST(w.decomposition ->> 'groups' AS INTEGER) AS groups,
    coalesce(w.decomposition ->> 'precision', '') AS precision"""

_WHERE = """
    d.backend, d.hardware_key, d.software_key, p.key AS policy_key,
    p.json ->> 'phase' AS phase, p.json ->> 'context' AS context,
    CAST(p.json ->> 'batch' AS INTEGER) AS batch, p.json ->> 'dtype' AS dtype,
    CAST(p.json ->> 'threads' AS INTEGER) AS threads"""

VIEWS = {
    "v_layers": """
SELECT n.sha256 AS network_sha256, n.source AS network, l.position, l.name AS layer, l.op,
    s.key AS spec_key, l.reason
FROM network_layers l
JOIN networks n ON n.id = l.network_id
LEFT JOIN specs s ON s.id = l.spec_id""",
    "v_devices": """
SELECT d.key AS device_key, d.backend, d.hardware_key, d.software_key,
    d.json ->> 'hardware' AS hardware, d.json ->> 'software' AS software
FROM devices d""",
    "v_speedups": f"""
SELECT {_CANDIDATE}, {_WHERE},
    exp(avg(m.log_ratio)) AS speedup, avg(m.saving_s) AS saving_s,
    avg(m.original_s) AS original_latency_s, avg(m.candidate_s) AS latency_s,
    count(*) AS sessions, sum(m.rounds) AS rounds, max(e.ended_at) AS measured_at
FROM summaries m
JOIN workloads w ON w.id = m.workload_id
JOIN specs s ON s.id = w.spec_id
JOIN devices d ON d.id = m.device_id
JOIN policies p ON p.id = m.policy_id
JOIN sessions e ON e.id = m.session_id
WHERE NOT EXISTS (
    SELECT 1 FROM failures f WHERE f.workload_id = m.workload_id
    AND f.device_id = m.device_id AND f.policy_id = m.policy_id AND NOT f.resolved
)
GROUP BY w.id, s.id, d.id, p.id""",
    "v_failures": f"""
SELECT {_CANDIDATE}, {_WHERE}, f.stage, f.reason, f.at, f.resolved
FROM failures f
JOIN workloads w ON w.id = f.workload_id
LEFT JOIN specs s ON s.id = w.spec_id
JOIN devices d ON d.id = f.device_id
JOIN policies p ON p.id = f.policy_id""",
    "v_sessions": f"""
SELECT e.uuid AS session, {_WHERE}, o.key AS original_key, e.host, e.board,
    e.started_at, e.ended_at, i.host AS imported_from, i.imported_at, q.samples AS pruned_samples
FROM sessions e
JOIN devices d ON d.id = e.device_id
JOIN policies p ON p.id = e.policy_id
JOIN workloads o ON o.id = e.original_workload_id
LEFT JOIN session_imports b ON b.session_id = e.id
LEFT JOIN imports i ON i.id = b.import_id
LEFT JOIN pruned q ON q.session_id = e.id""",
    "v_samples": f"""
SELECT e.uuid AS session, {_CANDIDATE}, w.key AS workload_key, {_WHERE},
    x.round, x.clock, x.seconds, x.loops
FROM samples x
JOIN sessions e ON e.id = x.session_id
JOIN workloads w ON w.id = x.workload_id
LEFT JOIN specs s ON s.id = w.spec_id
JOIN devices d ON d.id = e.device_id
JOIN policies p ON p.id = e.policy_id""",
}
"""Name -> its SELECT."""


def create(connection: Connection) -> None:
    """Create all views."""
    for name, text in VIEWS.items():
        connection.exec_driver_sql(f"CREATE VIEW {name} AS {text.strip()}")


def drop(connection: Connection) -> None:
    """Drop the views that are there."""
    for name in VIEWS:
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")
