"""Fronts lie beside plans, and neither is taken for the other."""

from __future__ import annotations

from rankwise.db import Store

NETWORK, OTHER = "ab" * 32, "cd" * 32


def test_fronts_are_no_plans(store: Store) -> None:
    plan = {"kind": "rankwise.plan", "model": {"sha256": NETWORK}, "created_at": "2026-01-01"}
    front = {"kind": "rankwise.pareto", "model": {"sha256": OTHER}, "points": []}
    plan_key, front_key = store.plans.put(plan), store.plans.put(front)
    assert store.plans.all() == [(plan_key, plan)]
    assert store.plans.all(OTHER) == []
    assert store.plans.get(front_key) is None
    [(key, made_at, found)] = store.plans.fronts()
    assert (key, found) == (front_key, front)
    assert made_at.endswith("Z")
    assert store.plans.put(front) == front_key
    assert len(store.plans.fronts()) == 1  # the same again is there once
