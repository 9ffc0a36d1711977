"""The whole way over HTTP on the fake backend, whose times are exact."""

from __future__ import annotations

import io
import json
import sqlite3
from contextlib import closing
from typing import Any

import onnx
import pandas as pd
import pytest

from rankwise import documents
from rankwise.jobs.artifacts import ZOO_NAMES

FAKE = "fake:step=16"


def test_devices(service: Any) -> None:
    job = service.done(service.post("/devices"))
    assert job["state"] == "done"
    found = documents.Devices.model_validate(service.http.get("/devices").json())
    assert {one.backend: one.available for one in found.devices}["fake"]


def test_networks_are_listed_by_pages(service: Any, network: dict[str, Any]) -> None:
    uploaded = service.http.get("/networks", params={"format": "onnx"}).json()["items"]
    assert network["id"] in [one["id"] for one in uploaded]
    zoo = service.http.get("/networks", params={"format": "zoo", "name": "RESNET"}).json()["items"]
    assert [one["id"] for one in zoo] == [name for name in ZOO_NAMES if "resnet" in name]
    assert network["layers"] == 4
    assert network["input_shape"] == [1, 3, 16, 16]
    first = service.http.get("/networks", params={"limit": 1}).json()
    second = service.http.get("/networks", params={"limit": 1, "offset": 1}).json()
    assert first["total"] == second["total"] >= 4
    assert first["items"] != second["items"]
    layers = service.http.get(f"/networks/{network['id']}/layers").json()
    assert [layer["name"] for layer in layers["layers"]] == ["stem", "body", "point", "head"]


def test_the_same_file_is_the_same_network(service: Any, network: dict[str, Any]) -> None:
    path = service.artifacts / f"networks/{network['id']}.onnx"
    again = service.upload("/networks", path.read_bytes(), name="another.onnx").json()
    assert again["id"] == network["id"]


def test_tables_in_three_formats(service: Any, profiled: dict[str, Any]) -> None:
    query = {"network": profiled["sha256"]}
    answer = service.http.get("/tables", params=query)
    table = documents.Table.model_validate(answer.json())
    assert int(answer.headers["x-total-count"]) == len(table.rows) > 10
    csv = pd.read_csv(
        io.BytesIO(service.http.get("/tables", params={**query, "format": "csv"}).content)
    )
    parquet = service.http.get("/tables", params={**query, "format": "parquet"}).content
    frame = pd.read_parquet(io.BytesIO(parquet))
    assert list(csv["speedup"]) == pytest.approx([row.speedup for row in table.rows])
    assert list(frame["speedup"]) == pytest.approx([row.speedup for row in table.rows])


def test_tables_filter_and_page(service: Any, profiled: dict[str, Any]) -> None:
    query = {"network": profiled["sha256"]}
    rows = service.http.get("/tables", params=query).json()["rows"]
    body = service.http.get("/tables", params={**query, "layer": "body"}).json()["rows"]
    assert body == [row for row in rows if "body" in row["layers"]]
    fast = service.http.get("/tables", params={**query, "verdict": "FASTER"}).json()["rows"]
    assert fast == [row for row in rows if row["verdict"] == "FASTER"]
    paged = service.http.get("/tables", params={**query, "limit": 5, "offset": 5}).json()["rows"]
    assert paged == rows[5:10]
    assert not service.http.get("/tables", params={**query, "device": "cuda"}).json()["rows"]
    assert not service.http.get("/tables", params={"network": "0" * 64}).json()["rows"]


def test_a_table_that_was_read_is_not_sent_again(service: Any, profiled: dict[str, Any]) -> None:
    query = {"network": profiled["sha256"]}
    tag = service.http.get("/tables", params=query).headers["etag"]
    again = service.http.get("/tables", params=query, headers={"if-none-match": tag})
    assert again.status_code == 304
    assert not again.content


def test_plan_apply_verify_report(service: Any, planned: dict[str, Any]) -> None:
    key = planned["result"]["plan"]
    plan = documents.Plan.model_validate(service.http.get(f"/plans/{key}").json())
    assert any(layer.decomposition.kind != "original" for layer in plan.layers)
    assert plan.calibration is not None
    assert service.http.get("/plans", params={"network": plan.model.sha256}).json()["total"] >= 1

    applied = service.done(service.post("/applied", plan=key))
    assert applied["state"] == "done", applied
    file = service.http.get(f"/applied/{applied['result']['id']}/file")
    assert file.headers["content-disposition"].startswith("attachment")
    onnx.checker.check_model(onnx.load_model_from_string(file.content), full_check=True)
    listed = service.http.get("/applied", params={"plan": key}).json()["items"]
    assert [one["id"] for one in listed] == [applied["result"]["id"]]

    verified = service.done(service.post("/verifications", plan=key))
    assert verified["state"] == "done", verified
    assert verified["result"]["fidelity"]["split"] == "report", "the plan's pictures were found"
    found = service.http.get("/verifications", params={"plan": key}).json()["items"]
    assert found[0]["speedup"] == verified["result"]["speedup"]
    after = service.http.get(f"/plans/{key}").json()
    assert after["verified"]["speedup"] == verified["result"]["speedup"]

    report = service.http.get(f"/plans/{key}/report")
    assert "http" not in report.text.replace("http-equiv", "")
    assert "<script" not in report.text
    assert "measured" in report.text


def test_front_points_give_plans(service: Any, profiled: dict[str, Any]) -> None:
    asked = {"network": profiled["id"], "backend": FAKE, "max_errors": [0.1, 0.3]}
    job = service.done(service.post("/fronts", **asked))
    assert job["state"] == "done", job
    front = documents.Pareto.model_validate(job["result"])
    errors = [point.network_error for point in front.points]
    assert errors == sorted(errors)
    original, *points = front.points
    assert (original.max_error, original.replaced) == (None, 0)
    assert points
    for point in points:
        assert point.max_error is not None
        assert point.network_error <= point.max_error


def test_a_front_in_int8_needs_pictures(service: Any, profiled: dict[str, Any]) -> None:
    asked = {"network": profiled["id"], "backend": FAKE}
    job = service.done(service.post("/fronts", **asked, dtypes=["float32", "int8"]))
    assert job["state"] == "failed"
    assert "int8 needs pictures to take ranges from" in job["error"]
    assert service.post("/fronts", **asked, dtypes=["float16"]).status_code == 422


def test_fronts_of_earlier_versions_are_passed_over(
    service: Any, profiled: dict[str, Any], planned: dict[str, Any]
) -> None:
    """Their jobs' results were documents of a kind of their own, which nothing reads any more;
    what today's jobs work out is in the store as well, and shown once."""
    asked = {"network": profiled["id"], "backend": FAKE, "max_errors": [0.2]}
    job = service.done(service.post("/fronts", **asked))
    keys = [one["key"] for one in service.http.get("/fronts").json()["items"]]
    assert len(set(keys)) == len(keys)
    path = service.db.removeprefix("sqlite:///")
    old = json.dumps({**job["result"], "kind": "rankwise.front"})
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE jobs SET result = ? WHERE uuid = ?", (old, job["id"]))
    after = service.http.get("/fronts").json()["items"]
    assert {one["key"] for one in after} == set(keys)
    report = service.http.get(f"/plans/{planned['result']['plan']}/report")
    assert report.status_code == 200


@pytest.mark.parametrize(
    ("format", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")]
)
def test_a_plan_is_drawn_as_a_file(
    service: Any, planned: dict[str, Any], format: str, start: bytes
) -> None:
    path = f"/plans/{planned['result']['plan']}/picture"
    drawn = service.http.get(path, params={"format": format})
    assert drawn.content.startswith(start)
    assert f"plan.{format}" in drawn.headers["content-disposition"]
    assert service.http.get(path, params={"format": "bmp"}).status_code == 422


def test_plans_from_elsewhere(service: Any, planned: dict[str, Any]) -> None:
    plan = service.http.get(f"/plans/{planned['result']['plan']}").json()
    plan["created_at"] = "2020-01-01T00:00:00+00:00"
    kept = service.post("/plans/documents", **plan)
    assert kept.status_code == 201, kept.text
    assert (
        service.http.get(f"/plans/{kept.json()['key']}").json()["created_at"] == plan["created_at"]
    )
    older = service.post("/plans/documents", **{**plan, "schema_version": 1})
    assert older.json()["key"] == kept.json()["key"]  # brought up to date, it says the same
    newer = service.post("/plans/documents", **{**plan, "schema_version": 99})
    assert newer.status_code == 422
    assert "upgrade rankwise" in newer.json()["detail"]
    plan["layers"][0]["name"] = "nosuch"
    assert "nosuch" in service.post("/plans/documents", **plan).json()["detail"]
    plan["model"]["sha256"] = "0" * 64
    assert service.post("/plans/documents", **plan).status_code == 422


def test_a_plan_out_of_reach_is_kept_and_says_so(service: Any, profiled: dict[str, Any]) -> None:
    asked = {"network": profiled["id"], "backend": FAKE, "target_speedup": 1000, "trials": 2}
    job = service.done(service.post("/plans", **asked))
    assert job["state"] == "done"
    assert "not reached" in job["result"]["shortfall"]
    assert service.http.get(f"/plans/{job['result']['plan']}").status_code == 200


def test_nothing_names_this_machines_folders(service: Any, planned: dict[str, Any]) -> None:
    for path in (
        "/jobs",
        "/networks",
        "/plans",
        f"/plans/{planned['result']['plan']}",
        "/profiles",
    ):
        assert str(service.folder) not in json.dumps(service.http.get(path).json())
