"""All kinds by name: the built-in ones, and those that other packages bring.

A package names a `Kind` in the entry-point group `rankwise.decompositions`, which is not looked
into before somebody asks for more than a built-in kind.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points

from ..errors import LayerError, did_you_mean
from .builtin_kinds import BUILT_IN
from .kinds import Kind

GROUP = "rankwise.decompositions"

_log = logging.getLogger(__name__)


class Registry(Mapping[str, Kind]):
    """A kind that cannot be loaded is left out, said once in the log; to ask for it by name is
    an error with the same sentence."""

    def __init__(self, built_in: Iterable[Kind]) -> None:
        self._built_in = {kind.name: kind for kind in built_in}

    def __getitem__(self, name: str) -> Kind:
        built_in = self._built_in.get(name)
        return self._brought[name] if built_in is None else built_in

    def __iter__(self) -> Iterator[str]:
        yield from self._built_in
        yield from self._brought

    def __len__(self) -> int:
        return len(self._built_in) + len(self._brought)

    def find(self, name: str) -> Kind:
        """As `[name]`, but `LayerError` with one sentence for one that is not there."""
        if name in self:
            return self[name]
        if name in self.failures:
            raise LayerError(self.failures[name])
        hint = did_you_mean(name, self)
        raise LayerError(f"unknown kind {name!r}{hint}; known are {', '.join(self)}")

    @property
    def failures(self) -> Mapping[str, str]:
        """By name: why a kind that a package names cannot be used, in one sentence."""
        return self._loaded[1]

    @property
    def _brought(self) -> Mapping[str, Kind]:
        return self._loaded[0]

    @cached_property
    def _loaded(self) -> tuple[dict[str, Kind], dict[str, str]]:
        kinds: dict[str, Kind] = {}
        failures: dict[str, str] = {}
        entries = list(entry_points(group=GROUP))
        counts = Counter(entry.name for entry in entries)
        for entry in entries:
            if entry.name in failures:
                continue
            try:
                kinds[entry.name] = self._load(entry, counts[entry.name])
            except Exception as error:  # whatever the import of a foreign package may raise
                failures[entry.name] = _sentence(entry, error)
                _log.warning(failures[entry.name])
        return kinds, failures

    def _load(self, entry: EntryPoint, count: int) -> Kind:
        if entry.name in self._built_in:
            raise LayerError("a built-in kind has that name")
        if count > 1:
            raise LayerError("another package has a kind of that name")
        kind = entry.load()
        if not isinstance(kind, Kind):
            raise LayerError(f"{entry.value} is a {type(kind).__name__}, not a Kind")
        if kind.name != entry.name:
            raise LayerError(f"{entry.value} calls itself {kind.name!r}")
        return kind


def _sentence(entry: EntryPoint, error: Exception) -> str:
    package = entry.dist.name if entry.dist else entry.module
    reason = " ".join(str(error).split()) or type(error).__name__
    return (
        f"kind {entry.name!r} of package {package} cannot be used: {reason}; "
        "repair or uninstall the package"
    )


KINDS = Registry(BUILT_IN)
"""By name, built-in kinds first; those of other packages are looked for when they are needed."""


def find_kind(name: str, groups: int = 1) -> Kind:
    """The kind of that name, in so many branches; `LayerError` that lists the known ones."""
    return KINDS.find(name).with_groups(groups)
