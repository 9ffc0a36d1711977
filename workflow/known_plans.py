"""Plans that were made before: the same search of the same measurements is not done again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import documents
from ..campaign.rows import measured
from ..campaign.setup import Setup
from ..db.store import Store
from ..options.planning import PlanGoals
from .plan import asked_key


def known_plan(options: PlanGoals, setup: Setup) -> documents.Plan | None:
    """Return the plan of the same search of the same measurements, with the same pictures;
    None if there is none."""
    key = asked_key(options)
    if key is None:
        return None
    pictures = setup.pictures(options.calibration, options.preprocess, options.seed)
    sha256 = None if pictures is None else pictures.sha256
    with Store.open(options.db) as store:
        newest = max((one.measured_at for one in measured(store, setup)), default="")
        stored = [document for _, document in store.plans.all(setup.network.sha256)]
    for document in stored:
        if _is_of(document, setup, key, sha256) and document["created_at"][:19] >= newest[:19]:
            return documents.Plan.model_validate({**document, "verified": None})
    return None


def _is_of(document: Mapping[str, Any], setup: Setup, key: str, calibration: str | None) -> bool:
    """Whether a stored plan is of that search, device, policy and pictures."""
    device = documents.Fingerprint.of(setup.fingerprint).model_dump(mode="json")
    return (
        document.get("search", {}).get("asked_key") == key
        and document.get("device") == device
        and document["policies"][0] == setup.policy.to_json()
        and (document.get("calibration") or {}).get("sha256") == calibration
    )
