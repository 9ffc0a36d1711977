"""Doctor: a sound machine passes, a noisy one is told so."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats as scipy_stats
from typer.testing import Result

from rankwise import documents, stats
from rankwise.profiler.aa import allowed_misses, tally
from rankwise.records import Comparison
from rankwise.stats import summarize_pairs
from rankwise.workflow.doctor import judged


def compared(seed: int, noise: float, bias: float = 0.0) -> Comparison:
    rng = np.random.default_rng(seed)
    return stats.combine(
        [
            summarize_pairs(np.exp(rng.normal(bias, noise, 12)), np.exp(rng.normal(0, noise, 12)))
            for _ in range(2)
        ]
    )


@pytest.mark.parametrize("exit_status", [(0, True), (3, False)])
def test_the_document_and_the_status_agree(
    rankwise: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, exit_status: tuple[int, bool]
) -> None:
    from rankwise.profiler import environment
    from rankwise.profiler.environment import EnvironmentCheck

    status, ok = exit_status
    monkeypatch.setattr(
        environment,
        "static_checks",
        lambda _threads: [EnvironmentCheck("load", ok, "planted", "rest")],
    )
    monkeypatch.setattr(environment, "steal", lambda *_: EnvironmentCheck("steal", True, "0"))
    result = rankwise("doctor", "--backend", "fake:jitter=0.01", "--pairs", 4, "--json")
    assert result.exit_code == status, result.output
    document = documents.Doctor.model_validate(json.loads(result.stdout))
    assert document.fit == ok
    names = [check.name for check in document.checks]
    assert names == ["load", "A/A test", "A/A noise", "throttling", "steal"]
    shown = rankwise("doctor", "--backend", "fake:jitter=0.01", "--pairs", 4)
    assert ("not fit" in shown.stdout) != ok


def test_an_unknown_backend_is_refused(rankwise: Callable[..., Result]) -> None:
    assert rankwise("doctor", "--backend", "nosuch").exit_code == 2


def test_a_noisy_and_a_biased_machine_are_told_apart() -> None:
    honest, narrow = judged([compared(n, 0.01) for n in range(12)])
    assert honest.ok
    assert narrow.ok
    honest, narrow = judged([compared(n, 0.3) for n in range(12)])
    assert honest.ok
    assert not narrow.ok
    honest, narrow = judged([compared(n, 0.01, bias=0.1) for n in range(12)])
    assert not honest.ok
    assert narrow.ok
    assert honest.advice


def test_counts_against_the_truth() -> None:
    found = tally([compared(n, 0.01, bias=math.log(1.05)) for n in range(20)], truth=1.05)
    assert (found.pairs, found.wrong) == (20, 0)
    assert found.missed <= 3
    assert tally([compared(n, 0.01, bias=0.1) for n in range(5)]).wrong == 5


@pytest.mark.parametrize("pairs", [1, 12, 100, 400])
def test_allowed_misses_are_the_binomials(pairs: int) -> None:
    found = allowed_misses(pairs)
    assert scipy_stats.binom.sf(found, pairs, 0.05) < 0.01
    assert found == 0 or scipy_stats.binom.sf(found - 1, pairs, 0.05) >= 0.01
