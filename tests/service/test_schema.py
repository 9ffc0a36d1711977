"""Requests made up from the OpenAPI document: no 5xx, nothing that the document does not say.

`RANKWISE_SCHEMA_CASES` sets how many for each operation (of about 40), half of them against the
rules; 60 are over 2,000. The streams of events, which do not end, are left out.
"""

from __future__ import annotations

import os
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks as openapi

from rankwise.service.app import create_app
from rankwise.service.settings import Settings

EACH = int(os.environ.get("RANKWISE_SCHEMA_CASES", "8"))
CHECKED = [
    not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_headers_conformance,
    openapi.response_schema_conformance,
]
DOCUMENT = create_app(Settings()).openapi()
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS = [
    (path, method)
    for path, item in DOCUMENT["paths"].items()
    for method in item
    if not path.endswith("/events")
]
sent = {"requests": 0}


@pytest.mark.usefixtures("planned")
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_requests_from_the_document(service: Any, path: str, method: str) -> None:
    """Asked of a service that holds a network, measurements and a plan."""
    operation = SCHEMA[path][method]
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
        _ask(service, operation, mode)
    for job in service.http.get("/jobs", params={"state": "queued"}).json()["items"]:
        service.http.post(f"/jobs/{job['id']}/cancel")


def _ask(service: Any, operation: Any, mode: GenerationMode) -> None:
    @settings(
        max_examples=max(1, EACH // 2),
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(operation.as_strategy(generation_mode=mode))
    def run(case: Any) -> None:
        sent["requests"] += 1
        response = case.call(base_url=service.url)
        case.validate_response(response, checks=CHECKED)

    try:
        run()
    except Exception as error:
        if "Cannot generate negative" not in str(error) and "Unsatisfiable" not in repr(error):
            raise


def test_there_were_enough() -> None:
    print(f"{sent['requests']} requests to {len(OPERATIONS)} operations")
    if EACH >= 60:
        assert sent["requests"] >= 2000, sent


def test_it_is_openapi_3_1(service: Any) -> None:
    found = httpx.get(f"{service.url}/openapi.json").json()
    assert found["openapi"].startswith("3.1")
    assert all(path.startswith("/api/v1/") for path in found["paths"])
