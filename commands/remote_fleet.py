"""`--server URL --device QUERY`: one request for each device of a service's fleet that fits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import RankwiseError, UsageError
from .errors import reporting

if TYPE_CHECKING:
    from .. import documents
    from ..service import Client


NEVER = ("quarantined", "other_versions")


def profile_all(client: Client, request: dict[str, Any], query: str) -> documents.FleetProfile:
    """One job for each device that fits now. They are asked for at once and go on whatever becomes
    of the caller; asking again finds them."""
    from .. import documents

    fitting = client.fleet(query).devices
    able = [device for device in fitting if device.state not in NEVER]
    if not able:
        why = "; ".join(f"{d.id} on {d.host}: {d.state} ({d.reason})" for d in fitting)
        found = f"may measure: {why}" if why else "is there; see devices --fleet"
        raise UsageError(f"no device that fits {query} {found}")
    jobs = {
        device.id: client.submit("profile", **{**request, "device": f"id={device.id}"})
        for device in able
    }
    profiles, errors = {}, {d.id: f"{d.state}: {d.reason}" for d in fitting if d not in able}
    for device_id, job in jobs.items():
        try:
            with reporting() as told:
                result = client.wait(job, told)
        except RankwiseError as error:
            errors[device_id] = str(error)
        else:
            profiles[device_id] = documents.Profile.model_validate(result)
    return documents.FleetProfile(profiles=profiles, errors=errors)
