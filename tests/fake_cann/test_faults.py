"""Planned faults and what becomes of the device after them: behaviour 35."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_cann.calls import CALLS
from fake_cann.faults import FITTING, RELEASES, BadFaults, Faults

from .conftest import Rig, ok


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("acl.rt.malloc:1=207001", 207001),
        ("acl.rt.synchronize_stream:1=507015", 507015),
        ("acl.rt.synchronize_stream:1=507014", 507014),
        ("acl.rt.synchronize_stream:1=507010", 507010),
        ("acl.mdl.execute:1=545601", 545601),
    ],
)
def test_behaviour_35_planned_codes(fake_cann: Any, rig: Rig, fault: str, code: int) -> None:
    fake_cann.configure(faults=fault)
    acl = rig.acl
    calls: dict[str, Callable[[], Any]] = {
        "acl.rt.malloc": lambda: acl.rt.malloc(64, 0)[1],
        "acl.rt.synchronize_stream": rig.synchronize,
        "acl.mdl.execute": lambda: acl.mdl.execute(rig.model, rig.inputs, rig.outputs),
    }
    name = fault.split(":")[0]
    assert calls[name]() == code
    assert fake_cann.faults_fired() == [(name, 1, code)]
    broken = code in (507010, 507014, 507015)
    assert acl.rt.malloc(64, 0) == ((0, code) if broken else (acl.rt.malloc(64, 0)[0] - 8192, 0))


@pytest.mark.usefixtures("ended")
def test_behaviour_35_the_device_stays_broken_until_its_reset(fake_cann: Any, rig: Rig) -> None:
    fake_cann.configure(faults="acl.rt.synchronize_stream:1=507015")
    acl = rig.acl
    rig.launch()
    assert rig.synchronize() == 507015
    assert rig.synchronize() == 507015
    assert acl.mdl.execute(rig.model, rig.inputs, rig.outputs) == 507015
    assert acl.rt.memcpy(rig.in_ptr, 4, rig.out_ptr, 4, 3) == 507015
    assert set(rig.release()) == {0}, "releasing works"
    assert acl.rt.reset_device(0) == acl.rt.set_device(0) == 0
    assert acl.rt.malloc(64, 0)[1] == 0, "and a reset device, too"
    fake_cann.configure(faults=None)
    acl.rt.free(ok(acl.rt.malloc(64, 0)))


def test_only_the_nth_call_or_every_one(fake_cann: Any, device: Any) -> None:
    fake_cann.configure(faults="acl.rt.malloc:2=207001, acl.rt.malloc_host:*=207001")
    assert [device.rt.malloc(64, 0)[1] for _ in range(3)] == [0, 207001, 0]
    assert [device.rt.malloc_host(64)[1] for _ in range(3)] == [207001] * 3


def test_faults_come_in_the_shape_of_their_call(fake_cann: Any, rig: Rig) -> None:
    names = {
        "acl.get_soc_name": ((), None),
        "acl.create_data_buffer": ((1, 1), 0),
        "acl.mdl.create_dataset": ((), 0),
        "acl.mdl.get_input_dims": ((rig.desc, 0), ({}, 500000)),
        "acl.rt.get_mem_info": ((1,), (0, 0, 500000)),
        "acl.rt.malloc": ((64, 0), (0, 500000)),
        "acl.mdl.add_dataset_buffer": ((rig.inputs, rig.in_buf), (0, 500000)),
        "acl.rt.record_event": ((rig.end, 0), 500000),
    }
    fake_cann.configure(faults=",".join(f"{name}:*=500000" for name in names))
    for name, (arguments, result) in names.items():
        function = rig.acl
        for part in name.split(".")[1:]:
            function = getattr(function, part)
        assert function(*arguments) == result, name
    assert "planned" in rig.acl.get_recent_err_msg()


def test_a_release_that_fails_is_no_leak(
    fake_cann: Any, rig: Rig, ended: Callable[[], list[int]]
) -> None:
    fake_cann.configure(faults=",".join(f"{name}:*=507899" for name in RELEASES))
    assert set(rig.release()) == {507899}
    fake_cann.configure(faults=None)
    assert set(rig.release()) == {0}, "calling again is no error"
    ended()
    fake_cann.assert_clean()


@pytest.mark.parametrize("text", ["malloc", "a=1", "a:b=1", "a:1", "random:1", "random:1:x"])
def test_specifications_that_cannot_be_read(fake_cann: Any, text: str) -> None:
    with pytest.raises(BadFaults, match=text):
        fake_cann.configure(faults=text)


def test_random_faults_repeat_themselves() -> None:
    def draw(seed: int, ordinal: int = 1) -> list[Any]:
        faults = Faults.parse(f"random:{seed}:0.2", ordinal)
        return [faults.next("acl.rt.malloc") for _ in range(200)]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    assert draw(1) != draw(1, ordinal=2)
    assert 20 < sum(one is not None for one in draw(1)) < 60
    never = Faults.parse("random:1:1.0")
    assert never.next("acl.data_type_size") is None


def test_what_can_fail_by_chance_exists() -> None:
    assert set(FITTING) - {"atc"} <= set(CALLS)
    assert set(CALLS) >= RELEASES


def _careful(acl: Any, om: Path) -> str:
    """A caller that checks everything and gives everything back, wherever it fails; what failed."""
    undo: list[Callable[[], Any]] = []

    def need(code: int, what: str) -> None:
        if code:
            raise RuntimeError(f"{what}: {code}")

    def take(name: str, *args: Any, back: Callable[[int], Any]) -> int:
        module, function = name.split(".")
        value = getattr(getattr(acl, module) if module else acl, function)(*args)
        value, code = value if isinstance(value, tuple) else (value, 0 if value else 1)
        need(code, name)
        undo.append(lambda: back(value))
        return int(value)

    try:
        need(acl.init(), "init")
        undo.append(acl.finalize)
        need(acl.rt.set_device(0), "set_device")
        undo.append(lambda: acl.rt.reset_device(0))
        stream = take("rt.create_stream", back=acl.rt.destroy_stream)
        events = [take("rt.create_event", back=acl.rt.destroy_event) for _ in range(2)]
        model = take("mdl.load_from_file", str(om), back=acl.mdl.unload)
        desc = take("mdl.create_desc", back=acl.mdl.destroy_desc)
        need(acl.mdl.get_desc(desc, model), "get_desc")
        datasets = []
        for side in ("input", "output"):
            size = getattr(acl.mdl, f"get_{side}_size_by_index")(desc, 0)
            need(not size, "size")
            pointer = take("rt.malloc", size, 0, back=acl.rt.free)
            dataset = take("mdl.create_dataset", back=acl.mdl.destroy_dataset)
            buffer = take(".create_data_buffer", pointer, size, back=acl.destroy_data_buffer)
            need(acl.mdl.add_dataset_buffer(dataset, buffer)[1], "add_dataset_buffer")
            datasets.append(dataset)
        need(acl.rt.record_event(events[0], stream), "record_event")
        for _ in range(3):
            need(acl.mdl.execute_async(model, *datasets, stream), "execute_async")
        need(acl.rt.record_event(events[1], stream), "record_event")
        need(acl.rt.synchronize_stream(stream), "synchronize_stream")
        need(acl.rt.event_elapsed_time(*events)[1], "event_elapsed_time")
    except RuntimeError as error:
        if stream_of := locals().get("stream"):
            acl.rt.synchronize_stream(stream_of)
        return str(error)
    else:
        return "done"
    finally:
        for release in reversed(undo):
            release()


@pytest.mark.parametrize("rate", [0.02, 0.2])
def test_a_careful_caller_survives_random_faults(fake_cann: Any, om: Path, rate: float) -> None:
    """Nothing is left whatever fails; and a caller that gave up knows why."""
    outcomes = set()
    for seed in range(60):
        with type(fake_cann)(fake_cann.folder / f"{seed}").on() as fake:
            fake.configure(faults=f"random:{seed}:{rate}", host_wait=0)
            outcome = _careful(fake.acl, om)
            outcomes.add(outcome)
            assert (outcome == "done") <= (not _stops_the_work(fake.faults_fired())), seed
            fake.assert_clean()
    assert len(outcomes) > 5


def _stops_the_work(fired: list[tuple[str, int, Any]]) -> bool:
    return any(name not in RELEASES and not name.startswith("acl.get") for name, _, _ in fired)
