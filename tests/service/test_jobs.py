"""Jobs: the same request is the same job, one at a time, cancelled, resumed, crashed."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from typing import Any

import pytest

FAKE = "fake:step=16"
SLOW = "fake:step=1,hang_at=1"
"""Its first timing never comes back."""


def ask(service: Any, profiled: dict[str, Any], **more: Any) -> Any:
    return service.post("/profiles", **{"network": profiled["id"], "backend": FAKE, **more})


def until(service: Any, job: dict[str, Any], state: str) -> dict[str, Any]:
    while (now := service.http.get(f"/jobs/{job['id']}").json())["state"] != state:
        assert now["state"] in ("queued", "running"), now
        time.sleep(0.05)
    return dict(now)


def test_live_requests_are_one_job(service: Any, profiled: dict[str, Any]) -> None:
    hanging = ask(service, profiled, backend=SLOW).json()
    until(service, hanging, "running")
    first, second = ask(service, profiled), ask(service, profiled)
    assert (first.status_code, second.status_code) == (202, 200)
    assert first.json()["id"] == second.json()["id"]
    other = ask(service, profiled, interval=0.3)
    assert other.json()["id"] != first.json()["id"]
    assert first.json()["state"] == "queued", "one at a time"
    deleted = service.http.delete(f"/networks/{profiled['id']}")
    assert deleted.status_code == 409
    for job in (hanging, other.json()):
        cancelled = service.http.post(f"/jobs/{job['id']}/cancel").json()
        assert cancelled["state"] == "cancelled"
    done = service.done(first)
    assert done["state"] == "done"
    assert done["result"]["measured"] == 0, "everything was there"
    assert service.http.post(f"/jobs/{done['id']}/cancel").status_code == 409
    assert service.http.post(f"/jobs/{done['id']}/resume").status_code == 409


@pytest.mark.usefixtures("planned")
def test_jobs_never_overlap(service: Any) -> None:
    """Whatever their kind: a search would disturb a measurement."""
    jobs = service.http.get("/jobs", params={"limit": 1000}).json()["items"]
    ran = [j for j in jobs if j["started_at"] and j["state"] in ("done", "failed")]
    ran.sort(key=lambda job: job["started_at"])
    assert len({job["kind"] for job in ran}) > 1
    for before, after in pairwise(ran):
        assert before["ended_at"] <= after["started_at"], (before["kind"], after["kind"])


def test_a_crash_fails_the_job_not_the_service(service: Any, profiled: dict[str, Any]) -> None:
    """The measuring process crashes at its first timing: a failure with its reason."""
    few = {"rank_quantum": 48, "kinds": ["svd"]}
    job = service.done(ask(service, profiled, backend="fake:step=2,crash_at=1", **few))
    assert job["state"] == "done"
    assert job["result"]["failures"]
    assert service.http.get("/session").status_code == 200


def test_events_tell_every_change(service: Any, profiled: dict[str, Any]) -> None:
    job = ask(service, profiled).json()
    with service.http.stream("GET", f"/jobs/{job['id']}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = list(stream.iter_lines())
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    assert lines[0] == "event: job"
    assert events[-1]["state"] == "done"
    assert {event["id"] for event in events} == {job["id"]}


def test_what_is_wrong_is_said_at_once(service: Any, profiled: dict[str, Any]) -> None:
    wrong = [
        ({"network": "nosuch"}, "nosuch"),
        ({"backend": "abacus"}, "abacus"),
        ({"backend": "fake:step=16;rm"}, "backend"),
        ({"threads": 0}, "threads"),
        ({"model": "os:system"}, "model"),
    ]
    for more, word in wrong:
        answer = ask(service, profiled, **more)
        assert answer.status_code == 422, answer.text
        assert word in answer.json()["detail"]
    plan = service.post("/plans", network=profiled["id"], backend=FAKE)
    assert "max_error" in plan.json()["detail"]
    assert service.post("/applied", plan="0" * 32).status_code == 422
    callable_ = {"network": profiled["id"], "backend": FAKE, "max_error": 0.1}
    refused = service.post("/plans", **callable_, preprocess="os:system")
    assert refused.status_code == 422


@pytest.mark.slow
def test_a_full_queue_and_a_restart(start: Any, model_bytes: bytes) -> None:
    service = start(max_waiting=3)
    from_model = service.upload("/networks", model_bytes, name="small.onnx").json()
    hanging = ask(service, from_model, backend=SLOW).json()
    until(service, hanging, "running")
    waiting = [ask(service, from_model, interval=0.1 * n) for n in (1, 2, 3)]
    assert [answer.status_code for answer in waiting] == [202, 202, 429]
    service.http.post(f"/jobs/{waiting[1].json()['id']}/cancel")
    service.stop()
    again = start()
    states = {j["id"]: j["state"] for j in again.http.get("/jobs").json()["items"]}
    assert states[hanging["id"]] in ("queued", "running"), "it goes on after a restart"
    again.http.post(f"/jobs/{hanging['id']}/cancel")
    resumed = again.http.post(f"/jobs/{waiting[1].json()['id']}/resume")
    assert resumed.status_code == 202
    assert again.done(resumed)["state"] == "done"
    assert again.done(waiting[0])["state"] == "done"
