"""The fleet's devices as they were read a moment ago, and what that says of a query.

Jobs by the thousand ask the same of the same devices: each question is answered once.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..db.fleet import FleetDevice
from ..errors import UsageError
from ..options.device_query import DeviceQuery
from ..workflow.fleet_devices import fits, refusal, whole


class Roster:
    """Devices at one moment."""

    def __init__(self, devices: Sequence[FleetDevice]) -> None:
        self._devices = devices
        self._counts: dict[str, int] = {}
        self._refusals: dict[DeviceQuery, str] = {}
        self._whole: dict[DeviceQuery, DeviceQuery] = {}

    def count(self, asked: str) -> int:
        """How many devices a query fits."""
        if asked.startswith("id="):
            return 1
        if asked not in self._counts:
            try:
                query = DeviceQuery.parse(asked)
            except UsageError:
                return 1  # its job fails, and says why
            self._counts[asked] = sum(fits(query, device) for device in self._devices)
        return self._counts[asked]

    def whole(self, query: DeviceQuery) -> DeviceQuery:
        """See `fleet_devices.whole`."""
        if query not in self._whole:
            self._whole[query] = whole(query, self._devices)
        return self._whole[query]

    def refusal(self, query: DeviceQuery) -> str:
        """See `fleet_devices.refusal`; a fleet that has no device yet refuses nothing."""
        if query not in self._refusals:
            self._refusals[query] = refusal(query, self._devices) if self._devices else ""
        return self._refusals[query]
