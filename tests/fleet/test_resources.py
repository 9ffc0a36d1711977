"""What a job asks for and a worker holds: Dask's choice is the query's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rankwise.db.fleet import FleetDevice
from rankwise.fleet.resources import HOST, of_job, of_worker
from rankwise.options.device_query import DeviceQuery
from rankwise.records import DeviceFingerprint
from rankwise.workflow.fleet_devices import fits, other_versions

VERSIONS = {"rankwise": "1", "distributed": "2"}
CHIPS = {chip: DeviceFingerprint.of("fake", {"chip": chip}, {}) for chip in "xyz"}
KEYS = [chip.hardware_key for chip in CHIPS.values()]


@st.composite
def workers(draw: st.DrawFn) -> list[FleetDevice]:
    labels = draw(st.lists(st.sampled_from(["lab-a", "lab-b", "lab-c"]), unique=True))
    numbers = draw(st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True))
    versions = draw(st.sampled_from([VERSIONS, {**VERSIONS, "rankwise": "0"}]))
    return [
        FleetDevice(
            id=f"id{number}",
            host="bench",
            worker="tcp://bench:1",
            backend=draw(st.sampled_from(["fake", "fake:step=2", "torch-cpu"])),
            fingerprint=CHIPS[draw(st.sampled_from("xyz"))],
            labels=labels,
            versions=versions,
            state=draw(st.sampled_from(["ready", "quarantined"])),
        )
        for number in numbers
    ]


queries = st.builds(
    DeviceQuery,
    id=st.sampled_from(["", "", "id1", "id2"]),
    labels=st.lists(st.sampled_from(["lab-a", "lab-b"]), unique=True).map(tuple),
    backend=st.sampled_from(["", "fake", "fake:step=2", "torch-cpu"]),
    hardware=st.sampled_from(["", *KEYS]),
)


@given(workers(), queries)
def test_a_worker_holds_what_is_asked_iff_one_of_its_devices_fits(
    devices: list[FleetDevice], query: DeviceQuery
) -> None:
    """But for what contradicts an id: such a query fits no device, and is refused before."""
    held, asked = of_worker(devices), of_job(query, VERSIONS)
    holds = all(held.get(name, 0.0) >= units for name, units in asked.items())
    able = [d for d in devices if d.state == "ready" and not other_versions(d, VERSIONS)]
    plain = query if not query.id else DeviceQuery(id=query.id, labels=query.labels)
    assert holds == any(fits(plain, device) for device in able)
    assert asked[HOST] == held[HOST] == 1.0, "one job at a time, whatever it asks for"


@given(workers())
def test_nobody_holds_more_than_one_of_anything(devices: list[FleetDevice]) -> None:
    assert set(of_worker(devices).values()) <= {0.0, 1.0}
