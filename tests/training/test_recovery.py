"""RecoveryRun on small networks: better, never worse, resumable to the bit, and safe with NaN."""

from __future__ import annotations

import math
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from rankwise.errors import UsageError
from rankwise.models.compared import Compared
from rankwise.models.fidelity import relative_error
from rankwise.models.network import only
from rankwise.training.freezing import Freezing
from rankwise.training.pair import pair_of
from rankwise.training.recovery import Options, RecoveryRun
from rankwise.training.schedule import Budget
from rankwise.training.training_pictures import Rows

OPTIONS = Options(Budget(steps=60), batch=8, rate=3e-3, patience=50)


@pytest.fixture
def recovery(network, ranks, replacements, rows):
    """A run on the first rows, whose others decide; parts can be exchanged."""

    def make(options=OPTIONS, examples=None, **more):
        pair = pair_of(network, replacements(network, ranks))
        fit, whole = examples or Rows(rows[:16]), Compared.whole(network.output_names.compared)
        return RecoveryRun(pair, fit, rows[16:], whole, options, **more)

    return make


def state(work: RecoveryRun) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in work.pair.student.state_dict().items()}


def assert_equal(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> None:
    assert one.keys() == two.keys()
    for name in one:
        assert torch.equal(one[name], two[name]), name


class TestTraining:
    def test_much_of_the_error_goes(self, recovery, network, rows):
        work = recovery()
        before = relative_error(
            only(network.outputs(rows)), only(work.pair.network().outputs(rows))
        )
        result = work.run()
        after = relative_error(only(network.outputs(rows)), only(work.pair.network().outputs(rows)))
        assert result.stopped == "budget"
        assert result.steps == 60
        assert result.error_after < 0.6 * result.error_before
        assert after < 0.6 * before

    def test_statistics_are_tried_before_anything_is_trained(self, recovery):
        result = recovery(replace(OPTIONS, budget=Budget(steps=1))).run()
        first = [one for one in result.history if one.step == 0]
        assert len(first) == 3
        assert all(one.loss is None for one in first)
        assert min(one.select_error for one in first) < result.error_before
        assert result.error_after <= min(one.select_error for one in first)

    def test_statistics_of_channels_need_many_examples(self, recovery, monkeypatch):
        monkeypatch.setattr("rankwise.training.channel_statistics.fitting_batch", lambda *_: 1)
        result = recovery(replace(OPTIONS, budget=Budget(steps=1))).run()
        assert len([one for one in result.history if one.step == 0]) == 2

    def test_the_original_is_left_alone(self, recovery):
        work = recovery()
        before = {n: t.clone() for n, t in work.pair.original.state_dict().items()}
        work.run()
        assert_equal(before, dict(work.pair.original.state_dict()))

    def test_the_same_seed_gives_the_same(self, recovery):
        one, two = recovery(), recovery()
        one.run(), two.run()
        assert_equal(state(one), state(two))
        other = recovery(replace(OPTIONS, seed=1))
        other.run()
        assert not torch.equal(other.pair.student.fc[0].weight, one.pair.student.fc[0].weight)

    def test_factors_in_turns(self, recovery):
        work = recovery(replace(OPTIONS, freezing=Freezing(5)))
        result = work.run()
        assert result.error_after < 0.7 * result.error_before

    def test_never_worse_than_it_started_from(self, recovery):
        """A rate that destroys everything: the state it started from stays."""
        work = recovery(replace(OPTIONS, rate=1e3))
        before = state(work)
        result = work.run()
        assert result.error_after <= result.error_before
        assert all(math.isfinite(one.select_error) for one in result.history[:1])
        if result.error_after == result.error_before:
            assert_equal(before, state(work))

    def test_stops_when_nothing_gets_better(self, recovery):
        result = recovery(replace(OPTIONS, rate=1e3, patience=3)).run()
        assert result.stopped in ("early", "not_finite")
        assert result.steps < 60

    def test_seconds_are_a_budget_too(self, recovery):
        result = recovery(replace(OPTIONS, budget=Budget(seconds=0.2))).run()
        assert result.stopped == "budget"
        assert result.elapsed_s >= 0.2
        assert result.steps > 0


class Poisoned(Rows):
    """Rows that hold a NaN from the given draw on."""

    def __init__(self, rows: np.ndarray, clean: int) -> None:
        super().__init__(rows)
        self.left = clean

    def batch(self, size, rng):
        self.left -= 1
        drawn = super().batch(size, rng).copy()
        if self.left < 0:
            drawn[0, 0, 0, 0] = np.nan
        return drawn


FIRST_DRAWS = 16 + 1
"""For statistics of batch normalisation, and of channels."""


class TestNotFinite:
    def test_it_stops_and_keeps_the_best(self, recovery, rows):
        work = recovery(examples=Poisoned(rows[:16], FIRST_DRAWS + 30))
        result = work.run()
        assert result.stopped == "not_finite"
        assert result.steps == 30
        assert result.error_after < result.error_before
        assert all(torch.isfinite(tensor).all() for tensor in state(work).values())

    def test_from_the_first_step(self, recovery, rows):
        work = recovery(examples=Poisoned(rows[:16], 0))
        before = state(work)
        result = work.run()
        assert result.stopped == "not_finite"
        assert result.steps == 0
        assert result.error_after == result.error_before
        assert_equal(before, state(work))


class Interrupted(Rows):
    """As Ctrl-C at the given draw."""

    def __init__(self, rows: np.ndarray, draws: int) -> None:
        super().__init__(rows)
        self.left = draws

    def batch(self, size, rng):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().batch(size, rng)


class TestResume:
    @pytest.mark.parametrize(
        ("stop_after", "freezing"), [(1, Freezing()), (23, Freezing(7)), (59, Freezing())]
    )
    def test_ends_as_if_it_had_not_been_interrupted(
        self, recovery, rows, tmp_path, monkeypatch, stop_after, freezing
    ):
        monkeypatch.setattr("rankwise.training.recovery.CHECKPOINT_S", 0.0)
        options, place = replace(OPTIONS, freezing=freezing), tmp_path / "checkpoint"
        whole = recovery(options)
        expected = whole.run()
        broken = recovery(
            options, Interrupted(rows[:16], FIRST_DRAWS + stop_after), place=place, key="k"
        )
        with pytest.raises(KeyboardInterrupt):
            broken.run()
        resumed = recovery(options, place=place, key="k")
        found = resumed.run(resume=True)
        assert_equal(state(resumed), state(whole))
        assert found.error_after == expected.error_after
        assert found.steps == expected.steps
        assert [(h.step, h.loss, h.select_error) for h in found.history] == [
            (h.step, h.loss, h.select_error) for h in expected.history
        ]

    def test_ctrl_c_ends_after_a_whole_step(self, recovery, rows, tmp_path):
        class Asked(Rows):
            left = FIRST_DRAWS + 9

            def batch(self, size, rng):
                self.left -= 1
                if not self.left:
                    signal.raise_signal(signal.SIGINT)
                return super().batch(size, rng)

        whole, place = recovery(), tmp_path / "checkpoint"
        expected, handler = whole.run(), signal.getsignal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            recovery(OPTIONS, Asked(rows[:16]), place=place, key="k").run()
        assert signal.getsignal(signal.SIGINT) is handler
        resumed = recovery(place=place, key="k")
        assert resumed.run(resume=True).error_after == expected.error_after
        assert_equal(state(resumed), state(whole))

    def test_another_runs_checkpoint_is_refused(self, recovery, tmp_path):
        one = recovery(place=tmp_path / "c", key="one")
        one.run()
        one.save()
        with pytest.raises(UsageError, match="other options"):
            recovery(place=tmp_path / "c", key="two").run(resume=True)

    def test_no_checkpoint(self, recovery, tmp_path):
        with pytest.raises(UsageError, match="no checkpoint"):
            recovery(place=tmp_path / "c").run(resume=True)


@pytest.mark.parametrize(
    "wrong", [{"batch": 0}, {"rate": 0.0}, {"features": -1.0}, {"patience": 0}]
)
def test_options_that_make_no_sense(wrong):
    with pytest.raises(UsageError):
        replace(OPTIONS, **wrong).check()
