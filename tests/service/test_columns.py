"""What the page reads: the table by columns, the graph of a network, the log of a job."""

from __future__ import annotations

import json
from typing import Any

from rankwise import documents
from rankwise.service.columns import columns_of


def test_columns_say_what_rows_say(service: Any, profiled: dict[str, Any]) -> None:
    query = {"network": profiled["sha256"]}
    rows = service.http.get("/tables", params=query).json()["rows"]
    answer = service.http.get("/tables/columns", params=query)
    assert int(answer.headers["x-total-count"]) == len(rows)
    found = answer.json()
    columns = found["columns"]
    assert {len(column) for column in columns.values()} == {len(rows)}
    for at, row in enumerate(rows):
        setting, spec = (found[f"{name}s"][columns[name][at]] for name in ("setting", "spec"))
        assert (setting["device"], setting["policy"]) == (row["device"], row["policy"])
        assert (spec["key"], spec["layers"]) == (row["spec_key"], row["layers"])
        own = {name: row["decomposition"][name] for name in ("kind", "ranks", "groups")}
        named = {n: c[at] for n, c in columns.items() if n not in ("setting", "spec")}
        assert named == own | {name: row[name] for name in named if name not in own}
    assert len(answer.content) < len(service.http.get("/tables", params=query).content) / 3


def test_a_network_that_was_not_measured_has_no_columns(service: Any) -> None:
    answer = service.http.get("/tables/columns", params={"network": "0" * 64})
    assert answer.json() == columns_of(documents.Table(rows=[], failures=[])).model_dump()


def test_the_graph_of_a_network(service: Any, network: dict[str, Any]) -> None:
    """A network that an earlier version has described is read again, once."""
    path = service.artifacts / f"networks/{network['id']}.json"
    entry = json.loads(path.read_text())
    assert entry.pop("graph")
    path.write_text(json.dumps(entry))
    graph = service.http.get(f"/networks/{network['id']}/graph").json()
    assert graph["known"]
    assert [node["name"] for node in graph["nodes"]] == ["stem", "body", "point", "head"]
    assert graph["edges"] == [[0, 1], [1, 2], [2, 3]]
    assert json.loads(path.read_text())["graph"]


def test_layers_follow_one_another_where_nothing_is_known(
    service: Any, network: dict[str, Any]
) -> None:
    path = service.artifacts / f"networks/{network['id']}.json"
    kept = path.read_text()
    path.write_text(json.dumps({**json.loads(kept), "graph": {}}))
    graph = service.http.get(f"/networks/{network['id']}/graph").json()
    path.write_text(kept)
    assert not graph["known"]
    assert graph["edges"] == [[0, 1], [1, 2], [2, 3]]


def test_networks_say_whether_they_were_measured(service: Any, profiled: dict[str, Any]) -> None:
    items = service.http.get("/networks", params={"limit": 1000}).json()["items"]
    measured = {one["id"] for one in items if one["measured"]}
    assert profiled["id"] in measured
    assert "vgg16" not in measured
    assert service.http.get(f"/networks/{profiled['id']}").json()["measured"]


def test_a_job_keeps_a_log(service: Any, profiled: dict[str, Any]) -> None:
    done = service.http.get("/jobs", params={"kind": "profile", "state": "done"}).json()["items"]
    of = (one for one in done if one["request"]["network"] == profiled["id"])
    job = next(one for one in of if one["result"]["samples"])  # others found it all measured
    assert not job["progress"]["log"], "a list of many jobs would be full of them"
    log = service.http.get(f"/jobs/{job['id']}").json()["progress"]["log"]
    assert log
    assert all(line["text"] for line in log)
    times = [line["at"] for line in log]
    assert times == sorted(times)
