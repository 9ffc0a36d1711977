"""What every backend has to hold, as tests that a backend's own tests inherit:

    from rankwise.testing import BackendContract

    class TestMine(BackendContract):
        @pytest.fixture
        def backend(self):
            return MyBackend()

A backend whose `probe` gives a reason is skipped with it, save for what needs no device; what
a backend may refuse (a dtype, training ...) is skipped with its refusal. No test looks at how
long anything takes. The promises are in words in `backends.base`; those that no test can see
from outside (nothing is retried, idle threads do not spin) are the author's to keep.
"""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ..backends.base import (
    Backend,
    ChainWorkload,
    CompilesAhead,
    FileWorkload,
    ModuleWorkload,
    random_input,
)
from ..backends.boards import board_of
from ..backends.registry import open_backend
from ..errors import BackendError, MeasurementError
from ..ops.chain import Chain, random_weights
from ..ops.reference import reference
from ..records import DeviceFingerprint, MeasurementPolicy, canonical_json
from .backend_cases import (
    CHAINS,
    NONSENSE,
    OPTIONAL,
    TOLERANCES,
    changed,
    environment,
    networks,
    require_refusal,
    require_sentence,
    require_timings,
    with_two_threads,
)


class BackendContract:
    """Inherit it, give the fixture `backend` or `opened`; `policy` and `tolerance` may be given."""

    tolerance = 1e-4
    """Largest error of a computed output, relative to the output's largest value."""

    @pytest.fixture
    def opened(self) -> str:
        """What `open_backend` takes, such as `fake:step=16`."""
        raise NotImplementedError("give the fixture `backend`, or `opened`")

    @pytest.fixture
    def backend(self, opened: str) -> Backend:
        return open_backend(opened)

    @pytest.fixture
    def policy(self, backend: Backend) -> MeasurementPolicy:
        return backend.resolve_policy(MeasurementPolicy())

    @pytest.fixture
    def usable(self, backend: Backend) -> Backend:
        """The backend, if this machine has such a device."""
        if reason := backend.probe():
            pytest.skip(f"{backend.name}: {reason}")
        return backend

    # What a backend says of itself

    def test_is_a_backend(self, backend: Backend) -> None:
        assert isinstance(backend, Backend)
        assert backend.name
        assert set(backend.accepts) <= {ChainWorkload, FileWorkload, ModuleWorkload}
        assert ChainWorkload in backend.accepts, "without chains nothing can be profiled"

    def test_probe_gives_a_phrase_or_nothing(self, backend: Backend) -> None:
        reason = backend.probe()
        assert isinstance(reason, str)
        assert "\n" not in reason

    def test_fingerprint_is_the_same_twice(self, usable: Backend) -> None:
        first, second = usable.fingerprint(), usable.fingerprint()
        assert first == second
        assert first.key == second.key
        assert first.backend == usable.name
        assert all(value for _, value in (*first.hardware, *first.software))

    def test_fingerprint_survives_json(self, usable: Backend) -> None:
        fingerprint = usable.fingerprint()
        again = DeviceFingerprint.from_json(fingerprint.to_json())
        assert again == fingerprint
        assert again.key == fingerprint.key

    def test_run_metadata_are_text(self, usable: Backend) -> None:
        for name, value in usable.run_metadata().items():
            assert isinstance(name, str)
            assert isinstance(value, str)

    def test_board_is_the_same_twice(self, usable: Backend) -> None:
        first, second = board_of(usable), board_of(usable)
        assert first == second
        assert first is None or re.fullmatch(r"[0-9a-f]{1,32}", first), "an id, no serial number"

    # Policies

    def test_policy_is_resolved_once(self, backend: Backend, policy: MeasurementPolicy) -> None:
        assert backend.resolve_policy(policy) == policy

    def test_policy_keeps_what_was_asked(self, backend: Backend, policy: MeasurementPolicy) -> None:
        asked = replace(policy, batch=3)
        resolved = backend.resolve_policy(asked)
        for field in ("phase", "context", "cache", "batch", "dtype"):
            assert getattr(resolved, field) == getattr(asked, field), field

    @pytest.mark.parametrize("change", NONSENSE, ids=canonical_json)
    def test_nonsense_is_refused(
        self, backend: Backend, policy: MeasurementPolicy, change: dict[str, Any]
    ) -> None:
        with pytest.raises(BackendError) as caught:
            backend.resolve_policy(replace(policy, **change))
        require_sentence(caught.value)

    @pytest.mark.parametrize("change", OPTIONAL, ids=canonical_json)
    def test_does_a_policy_or_refuses_it(
        self, usable: Backend, policy: MeasurementPolicy, change: dict[str, Any]
    ) -> None:
        asked = self.resolved_or_skipped(usable, changed(policy, change))
        for field in set(change) - {"execution"}:  # that one may be filled in further
            assert getattr(asked, field) == change[field], field
        assert usable.resolve_policy(asked) == asked
        for input_gradient in (True, False):
            workload = ChainWorkload("chain", CHAINS["three links"], input_gradient)
            with closing(usable.prepare(workload, asked)) as runner:
                require_timings(runner)

    @pytest.mark.parametrize("dtype", TOLERANCES)
    def test_computes_in_other_dtypes(
        self, usable: Backend, policy: MeasurementPolicy, dtype: str
    ) -> None:
        asked = self.resolved_or_skipped(usable, changed(policy, {"dtype": dtype}))
        self.require_function(usable, asked, CHAINS["three links"], TOLERANCES[dtype])

    def resolved_or_skipped(self, backend: Backend, asked: MeasurementPolicy) -> MeasurementPolicy:
        """The policy; a refusal in one sentence is right, too, and skips with it."""
        try:
            return backend.resolve_policy(asked)
        except BackendError as error:
            require_sentence(error)
            pytest.skip(f"refused: {error}")

    def test_rank_quantum_is_a_multiple(self, backend: Backend, policy: MeasurementPolicy) -> None:
        assert backend.rank_quantum(policy) >= 1

    # Runners

    @pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
    @pytest.mark.parametrize("batch", [1, 3])
    def test_computes_the_chain(
        self, usable: Backend, policy: MeasurementPolicy, chain: Chain, batch: int
    ) -> None:
        policy = usable.resolve_policy(replace(policy, batch=batch))
        self.require_function(usable, policy, chain, self.tolerance)

    def require_function(
        self, backend: Backend, policy: MeasurementPolicy, chain: Chain, tolerance: float
    ) -> None:
        """The backend computes what the chain's definition says."""
        images = random_input((policy.batch, *chain.input_shape), seed=1)
        with closing(backend.prepare(ChainWorkload("chain", chain), policy)) as runner:
            (computed,) = runner.compute([images])
        wanted = reference(chain, random_weights(chain), images)
        assert computed.shape == wanted.shape
        assert computed.dtype == np.float32
        assert np.abs(computed - wanted).max() <= tolerance * np.abs(wanted).max()

    @pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
    def test_times_the_chain(
        self, usable: Backend, policy: MeasurementPolicy, chain: Chain
    ) -> None:
        with closing(usable.prepare(ChainWorkload("chain", chain), policy)) as runner:
            require_timings(runner)

    def test_times_a_network(
        self, usable: Backend, policy: MeasurementPolicy, tmp_path: Path
    ) -> None:
        for workload in networks(usable, CHAINS["three links"], tmp_path):
            with closing(usable.prepare(workload, policy)) as runner:
                require_timings(runner)

    def test_computing_does_not_change_timing(
        self, usable: Backend, policy: MeasurementPolicy
    ) -> None:
        chain = CHAINS["convolution"]
        images = random_input((1, *chain.input_shape), seed=2)
        with closing(usable.prepare(ChainWorkload("chain", chain), policy)) as runner:
            (before,) = runner.compute([images])
            require_timings(runner)
            (after,) = runner.compute([images])
        assert np.array_equal(before, after)

    def test_runners_live_side_by_side(self, usable: Backend, policy: MeasurementPolicy) -> None:
        """A round times several in turn; what one is closed by must not close another."""
        runners = [
            usable.prepare(ChainWorkload(name, CHAINS[name]), policy)
            for name in ("convolution", "linear")
        ]
        for runner in (*runners, *reversed(runners)):
            require_timings(runner)
        runners[0].close()
        require_timings(runners[1])
        runners[1].close()

    def test_closes_twice_and_is_closed(self, usable: Backend, policy: MeasurementPolicy) -> None:
        runner = usable.prepare(ChainWorkload("chain", CHAINS["convolution"]), policy)
        runner.close()
        runner.close()
        with pytest.raises(MeasurementError) as caught:
            runner.run(1)
        require_sentence(caught.value)

    # Refusals

    def test_refuses_what_it_does_not_accept(
        self, usable: Backend, policy: MeasurementPolicy, tmp_path: Path
    ) -> None:
        strangers: list[Any] = [
            FileWorkload("file", tmp_path / "network.onnx", (1, 3, 8, 8)),
            ModuleWorkload("module", object(), (1, 3, 8, 8)),
            "not a workload",
        ]
        for stranger in strangers:
            if not isinstance(stranger, usable.accepts):
                require_refusal(usable, stranger, policy)

    def test_refuses_files_that_are_no_networks(
        self, usable: Backend, policy: MeasurementPolicy, tmp_path: Path
    ) -> None:
        if FileWorkload not in usable.accepts:
            pytest.skip("takes no files")
        text = tmp_path / "text.onnx"
        text.write_text("not a network\nat all\n", encoding="utf-8")
        for path in (text, tmp_path / "missing.onnx"):
            require_refusal(usable, FileWorkload("file", path, (1, 3, 8, 8)), policy)

    def test_refuses_input_that_does_not_fit(
        self, usable: Backend, policy: MeasurementPolicy, tmp_path: Path
    ) -> None:
        for workload in networks(usable, CHAINS["convolution"], tmp_path):
            require_refusal(usable, replace(workload, input_shape=(1, 5, 9, 7)), policy)

    def test_a_refusal_leaves_others_as_they_were(
        self, usable: Backend, policy: MeasurementPolicy, tmp_path: Path
    ) -> None:
        chain = CHAINS["linear"]
        images = random_input((1, *chain.input_shape))
        with closing(usable.prepare(ChainWorkload("chain", chain), policy)) as runner:
            (before,) = runner.compute([images])
            require_refusal(usable, "not a workload", policy)
            for workload in networks(usable, CHAINS["convolution"], tmp_path):
                require_refusal(usable, replace(workload, input_shape=(1, 5, 9, 7)), policy)
            require_timings(runner)
            assert np.array_equal(before, runner.compute([images])[0])

    # Compiling ahead

    def test_compiles_ahead(self, usable: Backend, policy: MeasurementPolicy) -> None:
        if not isinstance(usable, CompilesAhead):
            pytest.skip("has nothing to compile ahead")
        chains = [CHAINS["convolution"], CHAINS["linear"]]
        workloads = [ChainWorkload(chain.key, chain) for chain in chains]
        assert not set(usable.compile_ahead(workloads, policy, 0.0).values()) - {""}
        ready = usable.compile_ahead(workloads, policy, None)
        assert ready == {workload.key: "" for workload in workloads}
        assert usable.compile_ahead(workloads, policy, 0.0) == ready, "compiled twice"

    # The process around it

    def test_leaves_the_process_as_it_was(
        self, usable: Backend, policy: MeasurementPolicy, tmp_path: Path
    ) -> None:
        asked = with_two_threads(usable, policy)
        chain = CHAINS["three links"]
        workloads = [ChainWorkload("chain", chain), *networks(usable, chain, tmp_path)]
        before = environment()
        for workload in workloads:
            with closing(usable.prepare(workload, asked)) as runner:
                require_timings(runner)
                runner.compute([random_input((1, *chain.input_shape))])
        assert environment() == before
