"""What is put into a store comes out of it, and only that."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rankwise.db import MeasurementFilter, NetworkRun, Store
from rankwise.errors import StoreError
from rankwise.records import (
    ORIGINAL,
    Candidate,
    Decomposition,
    DeviceFingerprint,
    Failure,
    LayerSpec,
    LayerUse,
    MeasurementPolicy,
    PairSummary,
    Sample,
    content_key,
)
from rankwise.stats import summarize_pairs

POLICY = MeasurementPolicy()
TRAINING = MeasurementPolicy(phase="training", frozen="bn")
DEVICE = DeviceFingerprint.of("fake", {"chip": "a", "cores": 2}, {"driver": "1"})
OTHER = DeviceFingerprint.of("torch-cpu", {"chip": "b", "cores": 8}, {"torch": "2"})
SPEC = LayerSpec("conv2d", 8, 16, (8, 14, 14), (3, 3), padding=(0, 1, 2, 3))
WIDE = LayerSpec("linear", 64, 32, (64,), bias=False)
ONE = Candidate(SPEC, Decomposition("tucker2", (4, 4)))
TWO = Candidate(SPEC, Decomposition("spatial_svd", (8,)))
NETWORK = "ab" * 32
USES = (
    LayerUse("conv1", "conv2d", SPEC),
    LayerUse("pool", "maxpool", None, "not a convolution"),
    LayerUse("conv2", "conv2d", SPEC),
    LayerUse("fc", "linear", WIDE),
)


def original_of(candidate: Candidate) -> Candidate:
    return Candidate(candidate.spec, ORIGINAL)


def summary(seed: int = 0) -> PairSummary:
    rng = np.random.default_rng(seed)
    return summarize_pairs(rng.lognormal(size=9), rng.lognormal(size=9))


def measure(
    store: Store,
    *candidates: Candidate,
    device: DeviceFingerprint = DEVICE,
    policy: MeasurementPolicy = POLICY,
    seed: int = 0,
) -> dict[str, PairSummary]:
    original = original_of(candidates[0])
    session = store.sessions.begin(device, policy, original, candidates, {"load": "0.5"})
    keys = [original.key, *(c.key for c in candidates)]
    store.sessions.add_round(session, [Sample(0, key, "host", 0.25, 3) for key in keys])
    found = {c.key: summary(seed + i) for i, c in enumerate(candidates)}
    store.sessions.end(session, found)
    return found


def test_an_inventory_comes_back(store: Store) -> None:
    store.networks.put(NETWORK, "net.onnx", (1, 3, 8, 8), USES)
    assert store.networks.layers(NETWORK) == USES
    assert store.networks.all() == [(NETWORK, "net.onnx", (1, 3, 8, 8))]


def test_a_layer_that_is_called_at_several_sizes_comes_back_with_each(store: Store) -> None:
    large, small = (LayerSpec("conv2d", 8, 8, (8, n, n), (3, 3)) for n in (16, 8))
    use = LayerUse("head", "conv2d", large, calls=(small, large, small))
    store.networks.put(NETWORK, "net.onnx", (1, 3, 8, 8), [use, *USES])
    found, *others = store.networks.layers(NETWORK)
    assert (found.name, found.spec, found.calls) == ("head", large, (large, small))
    assert tuple(others) == USES


def test_putting_a_network_again_replaces_it(store: Store) -> None:
    store.networks.put(NETWORK, "net.onnx", (1, 3, 8, 8), USES)
    store.networks.put(NETWORK, "moved.onnx", (2, 3, 8, 8), USES[:1])
    assert store.networks.layers(NETWORK) == USES[:1]
    assert store.networks.all() == [(NETWORK, "moved.onnx", (2, 3, 8, 8))]


def test_networks_are_found_by_source_or_hash(store: Store) -> None:
    other = "ac" * 32
    store.networks.put(NETWORK, "net", (1, 3, 8, 8), USES)
    store.networks.put(other, "net", (1, 3, 8, 8), USES)
    assert store.networks.find("net") == other  # the one put last
    assert store.networks.find(NETWORK[:6].upper()) == NETWORK
    assert store.networks.find(NETWORK[:5]) is None  # too short to mean a hash
    assert store.networks.find("nothing") is None


def test_an_ambiguous_prefix_is_refused(store: Store) -> None:
    store.networks.put("a" * 64, "one", (1,), USES)
    store.networks.put("a" * 63 + "b", "two", (1,), USES)
    with pytest.raises(StoreError, match="2 networks"):
        store.networks.find("a" * 10)


def test_an_unknown_network_has_no_layers(store: Store) -> None:
    with pytest.raises(StoreError, match="profile it first"):
        store.networks.layers(NETWORK)


def test_a_measurement_holds_all_sessions_of_a_candidate(store: Store) -> None:
    store.networks.put(NETWORK, "net", (1, 3, 8, 8), USES)
    first, second = measure(store, ONE, TWO), measure(store, ONE, seed=7)
    by_key = {
        m.decomposition: m for m in store.measurements.find(MeasurementFilter(network_sha=NETWORK))
    }
    assert by_key.keys() == {ONE.decomposition, TWO.decomposition}
    one = by_key[ONE.decomposition]
    assert one.id == content_key([DEVICE.key, POLICY.key, ONE.key])[:16]  # as in every store so far
    assert one.summaries == (first[ONE.key], second[ONE.key])
    assert (one.spec, one.fingerprint, one.policy) == (SPEC, DEVICE, POLICY)
    assert one.layers == ("conv1", "conv2")
    assert one.failure is None
    assert one.measured_at.endswith("Z")


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ({}, 4),
        ({"backend": "torch-cpu"}, 1),
        ({"hardware_key": OTHER.hardware_key}, 1),
        ({"fingerprint_key": DEVICE.key}, 3),
        ({"phase": "training"}, 1),
        ({"dtypes": ["float32"]}, 4),
        ({"dtypes": ["int8", "float16"]}, 0),
        ({"policy_key": POLICY.key}, 3),
        ({"spec_keys": [WIDE.key]}, 1),
        ({"spec_keys": []}, 0),
        ({"layer": "conv2"}, 3),
        ({"layer": "f*"}, 1),
        ({"layer": "pool"}, 0),
        ({"network_sha": NETWORK}, 4),
        ({"network_sha": "cd" * 32}, 0),
        ({"network_sha": NETWORK, "backend": "fake", "phase": "inference"}, 2),
    ],
)
def test_filters(store: Store, wanted: dict[str, object], count: int) -> None:
    store.networks.put(NETWORK, "net", (1, 3, 8, 8), USES)
    measure(store, ONE)
    measure(store, ONE, device=OTHER)
    measure(store, ONE, policy=TRAINING)
    measure(store, Candidate(WIDE, Decomposition("svd", (8,))))
    assert len(store.measurements.find(MeasurementFilter(**wanted))) == count  # type: ignore[arg-type]


def test_layers_are_those_of_the_network_asked_for(store: Store) -> None:
    other = "cd" * 32
    store.networks.put(NETWORK, "net", (1, 3, 8, 8), USES)
    store.networks.put(other, "other", (1, 3, 8, 8), [LayerUse("stem", "conv2d", SPEC)])
    measure(store, ONE)
    assert store.measurements.find(MeasurementFilter(network_sha=other))[0].layers == ("stem",)
    assert store.measurements.find()[0].layers == ("conv1", "conv2", "stem")


def test_ids_depend_on_content_only(new_url: Callable[[], str]) -> None:
    found = []
    for candidates in ((ONE, TWO), (TWO, ONE)):
        with Store.open(new_url()) as store:
            measure(store, *candidates)
            found.append({m.decomposition: m.id for m in store.measurements.find()})
    assert found[0] == found[1]
    assert len(set(found[0].values())) == 2


def test_an_id_leads_to_raw_samples(store: Store) -> None:
    measure(store, ONE, TWO)
    measure(store, ONE, device=OTHER)
    wanted = next(
        m.id
        for m in store.measurements.find(MeasurementFilter(backend="fake", spec_keys=[SPEC.key]))
    )
    [(uuid, samples)] = store.measurements.samples(wanted)
    assert len(uuid) == 32
    assert len(samples) == 2
    assert samples[0].seconds == 0.25
    assert original_of(ONE).key in {s.workload_key for s in samples}
    assert store.measurements.samples("0" * 16) == []


def test_sessions_done_counts_by_device_and_policy(store: Store) -> None:
    measure(store, ONE, TWO)
    measure(store, ONE)
    keys = [ONE.key, TWO.key, original_of(ONE).key]
    assert store.measurements.session_counts(DEVICE, POLICY, keys) == {ONE.key: 2, TWO.key: 1}
    assert store.measurements.session_counts(OTHER, POLICY, keys) == {}
    assert store.measurements.session_counts(DEVICE, TRAINING, keys) == {}


def test_many_keys_are_asked_in_pieces(store: Store) -> None:
    measure(store, ONE)
    keys = [f"{i:032x}" for i in range(5000)] + [ONE.key]
    assert store.measurements.session_counts(DEVICE, POLICY, keys) == {ONE.key: 1}
    assert store.failures.latest(DEVICE, POLICY, keys) == {}
    assert store.failures.clear(DEVICE, POLICY, keys) == 0


def test_a_failure_is_a_record_until_it_is_cleared(store: Store) -> None:
    measure(store, ONE)
    store.failures.add(DEVICE, POLICY, ONE, Failure(ONE.key, "timeout", "slow"))
    store.failures.add(DEVICE, POLICY, ONE, Failure(ONE.key, "crash", "signal 11"))
    assert store.failures.latest(DEVICE, POLICY, [ONE.key, TWO.key]) == {
        ONE.key: Failure(ONE.key, "crash", "signal 11")
    }
    assert store.failures.latest(OTHER, POLICY, [ONE.key]) == {}
    [found] = store.measurements.find()
    assert (found.failure, found.summaries) == (Failure(ONE.key, "crash", "signal 11"), ())

    assert store.failures.clear(OTHER, POLICY, [ONE.key]) == 0
    assert store.failures.clear(DEVICE, POLICY, [ONE.key]) == 2
    assert store.failures.latest(DEVICE, POLICY, [ONE.key]) == {}
    [found] = store.measurements.find()
    assert found.failure is None
    assert len(found.summaries) == 1


def test_a_workload_that_never_ran_is_a_measurement_too(store: Store) -> None:
    store.failures.add(DEVICE, POLICY, ONE, Failure(ONE.key, "prepare", "no kernel"))
    [found] = store.measurements.find()
    assert found.failure == Failure(ONE.key, "prepare", "no kernel")
    assert store.measurements.samples(found.id) == []


def test_whole_network_runs(store: Store) -> None:
    before, after = NetworkRun("0" * 32, {"sha256": "x"}), NetworkRun("1" * 32, {"plan": "y"})
    session = store.sessions.begin(DEVICE, POLICY, before, [after], {})
    store.sessions.end(session, {after.key: summary()})
    assert store.measurements.summaries(DEVICE, POLICY, [after.key]) == {after.key: (summary(),)}
    assert store.measurements.summaries(OTHER, POLICY, [after.key]) == {}
    assert store.measurements.find() == []  # they have no layer


def test_the_same_sample_twice_is_refused(store: Store) -> None:
    session = store.sessions.begin(DEVICE, POLICY, original_of(ONE), [ONE], {})
    twice = [Sample(0, ONE.key, "host", 1.0)]
    store.sessions.add_round(session, twice)
    with pytest.raises(StoreError):
        store.sessions.add_round(session, [Sample(1, ONE.key, "host", 1.0), *twice])
    store.sessions.end(session, {ONE.key: summary()})
    [(_, samples)] = store.measurements.samples(store.measurements.find()[0].id)
    assert samples == tuple(twice)  # the refused round left nothing behind


def test_samples_of_a_stranger_are_refused(store: Store) -> None:
    session = store.sessions.begin(DEVICE, POLICY, original_of(ONE), [ONE], {})
    with pytest.raises(StoreError, match="belongs to no session"):
        store.sessions.add_round(session, [Sample(0, "f" * 32, "host", 1.0)])


def test_documents(store: Store) -> None:
    plan = {"created_at": "2026-01-01T00:00:00Z", "model": {"sha256": NETWORK}, "verified": None}
    key = store.plans.put(plan)
    assert store.plans.put({**plan, "verified": {"speedup": 1.5}}) == key
    found = store.plans.get(key)
    assert found is not None
    assert found["verified"] == {"speedup": 1.5}
    assert store.plans.get("0" * 32) is None

    for speedup in (1.5, 1.6):
        store.plans.add_verification(key, {"speedup": speedup})
    assert store.plans.verifications(key) == [{"speedup": 1.5}, {"speedup": 1.6}]


def test_a_store_in_memory() -> None:
    with Store.open(":memory:") as store:
        measure(store, ONE)
        assert len(store.measurements.find()) == 1


def test_a_healthy_store_has_nothing_to_say(store: Store) -> None:
    store.networks.put(NETWORK, "net", (1, 3, 8, 8), USES)
    measure(store, ONE)
    assert store.check() == []


def test_check_names_sessions_without_samples(store: Store) -> None:
    session = store.sessions.begin(DEVICE, POLICY, original_of(ONE), [ONE], {})
    store.sessions.end(session, {ONE.key: summary()})
    assert store.check() == ["1 sessions hold no samples and no failure"]


finite = st.floats(1e-9, 1e3)
session_plans = st.lists(
    st.tuples(
        st.sampled_from([DEVICE, OTHER]),
        st.sampled_from([POLICY, TRAINING]),
        st.lists(st.tuples(finite, finite), min_size=3, max_size=8),
    ),
    max_size=4,
)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(session_plans)
def test_everything_put_comes_back(
    new_url: Callable[[], str],
    plans: list[tuple[DeviceFingerprint, MeasurementPolicy, list[tuple[float, float]]]],
) -> None:
    """Against the plainest oracle: a dictionary."""
    expected: dict[tuple[str, str], list[tuple[list[Sample], PairSummary]]] = {}
    original = original_of(ONE)
    with Store.open(new_url()) as store:
        for device, policy, pairs in plans:
            session = store.sessions.begin(device, policy, original, [ONE], {})
            samples = []
            for number, pair in enumerate(pairs):
                keys = (original.key, ONE.key)
                timed = [Sample(number, k, "host", s, 2) for k, s in zip(keys, pair, strict=True)]
                store.sessions.add_round(session, timed)
                samples += timed
            before, after = np.array(pairs).T
            found = summarize_pairs(before, after)
            assert math.isfinite(found.log_ratio)
            store.sessions.end(session, {ONE.key: found})
            expected.setdefault((device.key, policy.key), []).append((samples, found))

        measured = {(m.fingerprint.key, m.policy.key): m for m in store.measurements.find()}
        assert measured.keys() == expected.keys()
        for where, sessions in expected.items():
            assert measured[where].summaries == tuple(found for _, found in sessions)
            raw = [set(samples) for _, samples in store.measurements.samples(measured[where].id)]
            assert raw == [set(samples) for samples, _ in sessions]
        assert store.check() == []


def test_devices_are_chosen_by_backend_or_hardware() -> None:
    one = DeviceFingerprint.of("fake", {"chip": "a"}, {"driver": "1"})
    wanted = MeasurementFilter(devices=("fake",))
    assert wanted.takes_device(one.key, one)
    assert MeasurementFilter(devices=(one.hardware_key, "x")).takes_device(one.key, one)
    assert not MeasurementFilter(devices=("torch-cpu",)).takes_device(one.key, one)
