"""The contract of kinds, for each kind that rankwise brings."""

from __future__ import annotations

from rankwise.lowrank import KINDS
from rankwise.lowrank.builtin_kinds import BUILT_IN
from rankwise.testing import KindContract


class TestOriginal(KindContract):
    kind = KINDS["original"]


class TestSvd(KindContract):
    kind = KINDS["svd"]


class TestChannelSvd(KindContract):
    kind = KINDS["channel_svd"]


class TestInputSvd(KindContract):
    kind = KINDS["input_svd"]


class TestSpatialSvd(KindContract):
    kind = KINDS["spatial_svd"]


class TestTucker2(KindContract):
    kind = KINDS["tucker2"]


class TestBranchedTucker(KindContract):
    kind = KINDS["branched_tucker"]


class TestCp(KindContract):
    kind = KINDS["cp"]


def test_every_built_in_kind_is_held_to_the_contract() -> None:
    assert {one.kind.name for one in KindContract.__subclasses__()} >= {k.name for k in BUILT_IN}
