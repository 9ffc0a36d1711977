"""Network errors of single layers: what comes back is what was kept last."""

from __future__ import annotations

import time

from rankwise.db import Store
from rankwise.records import Decomposition


def test_errors_are_kept_by_network_pictures_and_metric(store: Store) -> None:
    svd, small = Decomposition("svd", (8,)), Decomposition("svd", (4,))
    found = {("conv1", svd): (0.1, 0.2), ("conv1", small): (0.3, 0.4), ("fc", svd): (0.5, 0.6)}
    store.sensitivities.put("a" * 64, "b" * 64, found)
    store.sensitivities.put("a" * 64, "b" * 64, {("fc", svd): (7.0, 8.0)}, metric="psnr")
    store.sensitivities.put("a" * 64, "c" * 64, {("fc", svd): (9.0, 9.0)})
    assert store.sensitivities.get("a" * 64, "b" * 64) == found
    store.sensitivities.put("a" * 64, "b" * 64, {("fc", svd): (0.0, 0.1)})
    assert store.sensitivities.get("a" * 64, "b" * 64)["fc", svd] == (0.0, 0.1)
    assert store.sensitivities.get("a" * 64, "b" * 64, metric="psnr") == {("fc", svd): (7.0, 8.0)}
    assert store.sensitivities.get("d" * 64, "b" * 64) == {}


def test_the_latest_are_of_one_set_of_pictures_and_one_metric(store: Store) -> None:
    svd = Decomposition("svd", (4,))
    assert store.sensitivities.latest("a" * 64) == {}
    store.sensitivities.put("a" * 64, "b" * 64, {("fc", svd): (7.0, 8.0)}, metric="first")
    store.sensitivities.put("b" * 64, "b" * 64, {("fc", svd): (5.0, 5.0)}, metric="first")
    time.sleep(0.002)  # what is put is told apart by milliseconds
    store.sensitivities.put("a" * 64, "c" * 64, {("conv", svd): (1.0, 2.0)}, metric="second")
    assert store.sensitivities.latest("a" * 64) == {("conv", svd): 1.0}
