"""A tracker hears of each step of `tune`, as of the verb that it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import rankwise as rw


class Verbs:
    """Which verbs began and ended, and what came of them."""

    def __init__(self) -> None:
        self.began_: list[str] = []
        self.results: dict[str, Any] = {}

    def began(self, verb: str, options: Mapping[str, Any]) -> None:
        assert "backend" in options
        self.began_.append(verb)

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        assert values
        assert step >= 0

    def ended(self, verb: str, result: Any) -> None:
        self.results[verb] = result


def test_each_step_is_told(there: dict[str, Any]) -> None:
    told = Verbs()
    network, example = there["network"], there["example"]
    done = rw.tune(
        network, example, backend="fake", max_error=0.8, refine=False, seed=3, reporter=told
    )
    assert told.began_ == ["tune", "profile", "plan", "verify"]
    assert list(told.results) == ["profile", "plan", "verify", "tune"]
    assert told.results["tune"] == done
    assert told.results["plan"].created_at == done.plan.created_at
    assert repr(done).startswith("<Tuning: small:Small on fake")
    assert "tune" not in repr(told.results["verify"])
    assert done._repr_html_()
