"""What a worker does for its service. Requests and answers are JSON texts, and nothing else.

These functions are named to workers, never sent: what they do is what this version of rankwise
does.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from typing import Any

from ..errors import StoreError
from ..jobs.attendant import Ending
from ..options.device_query import DeviceQuery
from . import membership
from .parcels import Parcel, lacking, put_piece

log = logging.getLogger("rankwise.fleet")


def do_job(request: str) -> str:
    """Do a job on a device that fits its query: `{"job", "query", "parcel"}`. The answer says how
    the attempt ended, or `lacking`: files that the worker's service has to send before; or it has
    an `error`, if the worker's disk is full."""
    asked = json.loads(request)
    member = membership.member()
    answer: dict[str, Any] = {"worker": membership.address()}
    try:
        files = lacking(member.artifacts, Parcel.from_json(asked["parcel"]))
        if files:
            return json.dumps(answer | {"lacking": [asdict(file) for file in files]})
        ending = member.do(asked["job"], DeviceQuery.parse(asked["query"]))
    except OSError as error:
        return json.dumps(answer | _cannot_keep("what the job needs", error))
    except StoreError as error:
        log.error("job %s has to wait: %s", asked["job"], error)
        ending = Ending.AGAIN
    if ending is Ending.HUNG:
        membership.offer()
    return json.dumps(answer | {"ending": "none" if ending is None else ending.name.lower()})


def take_piece(request: str) -> str:
    """Keep a piece of a file: see `parcels.put_piece`. The answer has an `error` if it cannot."""
    try:
        put_piece(membership.member().artifacts, request)
    except OSError as error:
        return json.dumps(_cannot_keep("a file that the job needs", error))
    return json.dumps({})


def _cannot_keep(what: str, error: OSError) -> dict[str, str]:
    return {"error": f"{membership.member().place.host} cannot keep {what}: {error}"}


def look_again() -> str:
    """Offer what the store says of this worker's devices by now."""
    membership.member().refresh()
    membership.offer()
    return json.dumps({})
