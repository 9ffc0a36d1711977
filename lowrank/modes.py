"""Compression modes: named selectors of layers, read from TOML (see modes.toml)."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..errors import UsageError, did_you_mean
from ..records import LayerUse

KEYS = ("description", "include", "extends", "only", "exclude", "final_dense_ratio")


@dataclass(frozen=True)
class Layout:
    """A network as selectors see it. `faster`: names of the layers whose best candidate is
    FASTER on the device; None where nothing of that is known."""

    layers: Sequence[LayerUse]
    faster: Collection[str] | None = None

    @cached_property
    def stem(self) -> str:
        """The first convolution; the first layer of a network without any."""
        convolutions = [use.name for use in self.layers if _is_conv(use)]
        return next(iter(convolutions), self.layers[0].name if self.layers else "")

    @cached_property
    def final_dense(self) -> str:
        """The last layer, if it is linear; else none."""
        last = self.layers[-1] if self.layers else None
        return last.name if last is not None and last.op == "linear" else ""

    @cached_property
    def stages(self) -> dict[str, int]:
        """Convolutions behind the stem, counted by the size of their outputs: a new size begins
        a new stage. Outputs of a single pixel (squeeze and excitation) begin none."""
        sizes: dict[tuple[int, ...], int] = {}
        stages, current = {}, 1
        for use in self.layers:
            if use.spec is None or not _is_conv(use) or use.name == self.stem:
                continue
            size = use.spec.output_shape[1:]
            if max(size) > 1:
                current = sizes.setdefault(size, len(sizes) + 1)
            stages[use.name] = current
        return stages


def _is_conv(use: LayerUse) -> bool:
    return use.op.startswith("conv")


def _kernel(use: LayerUse) -> tuple[int, ...]:
    """The kernel's size, if the layer is a convolution that can be replaced; else (0,)."""
    return use.spec.kernel_size if use.spec and use.spec.dimensions else (0,)


def _is_faster(use: LayerUse, layout: Layout) -> bool:
    if layout.faster is None:
        raise UsageError(
            "this mode needs to know which layers are faster on a device: use it with "
            "`rankwise plan`, after `rankwise profile`"
        )
    return use.name in layout.faster


Selects = Callable[[LayerUse, Layout], bool]

SELECTORS: dict[str, Selects] = {
    "all": lambda _use, _layout: True,
    "stem": lambda use, layout: use.name == layout.stem,
    "final_dense": lambda use, layout: use.name == layout.final_dense,
    "first_stage": lambda use, layout: layout.stages.get(use.name) == 1,
    "spatial": lambda use, _layout: max(_kernel(use)) > 1,
    "pointwise": lambda use, _layout: set(_kernel(use)) == {1},
    "linear": lambda use, _layout: use.op == "linear",
    "faster": _is_faster,
}
WITH_ARGUMENT: dict[str, Callable[[str, LayerUse, Layout], bool]] = {
    "name": lambda text, use, _layout: fnmatchcase(use.name, text),
    "stage": lambda text, use, layout: str(layout.stages.get(use.name)) == text,
}


def _selects(selector: str, use: LayerUse, layout: Layout) -> bool:
    name, colon, argument = selector.partition(":")
    if colon:
        return WITH_ARGUMENT[name](argument, use, layout)
    return SELECTORS[name](use, layout)


@dataclass(frozen=True, slots=True)
class Mode:
    """One compression mode."""

    name: str
    description: str = ""
    include: tuple[str, ...] = ()
    only: tuple[tuple[str, ...], ...] = ()
    """Each a set of selectors, one of which a layer has to fit."""
    exclude: tuple[str, ...] = ()
    final_dense_ratio: float | None = None

    def select(self, layers: Sequence[LayerUse], faster: Collection[str] | None = None) -> set[str]:
        """Names of the layers that may be decomposed. `UsageError` if the mode asks for what is
        faster and that is not known."""
        layout = Layout(layers, faster)
        return {use.name for use in layers if self._may(use, layout)}

    def _may(self, use: LayerUse, layout: Layout) -> bool:
        def fits(selectors: Collection[str]) -> bool:
            return any(_selects(selector, use, layout) for selector in selectors)

        return fits(self.include) and all(map(fits, self.only)) and not fits(self.exclude)


def final_dense(layers: Sequence[LayerUse]) -> str:
    """The name of the network's last layer if it is linear; else empty."""
    return Layout(layers).final_dense


def shipped_modes() -> dict[str, Mode]:
    text = files(__package__).joinpath("modes.toml").read_text(encoding="utf-8")
    return _parsed(tomllib.loads(text), "modes.toml", {})


def find_mode(text: str) -> Mode:
    """The mode that `text` names: `mode1`, `mine.toml` (with one mode in it), `mine.toml:NAME`.

    A user's modes may extend the shipped ones. Raises `UsageError` with one sentence.
    """
    shipped = shipped_modes()
    path, _, name = text.partition(".toml:")
    if not name and not text.endswith(".toml"):
        if text not in shipped:
            raise UsageError(
                f"unknown mode {text!r}{did_you_mean(text, shipped)}; known are "
                f"{', '.join(shipped)}, or give a .toml file"
            )
        return shipped[text]
    file = Path(f"{path}.toml" if name else text)
    modes = _parsed(_read(file), str(file), shipped)
    if not name and len(modes) != 1:
        raise UsageError(f"{file} has {len(modes)} modes: name one, such as {file}:NAME")
    chosen = name or next(iter(modes))
    if chosen not in modes:
        raise UsageError(f"{file} has no mode {chosen!r}; it has {', '.join(modes)}")
    return modes[chosen]


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"modes {file} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is not TOML: {error}") from None


def _parsed(tables: Mapping[str, Any], file: str, known: Mapping[str, Mode]) -> dict[str, Mode]:
    """Modes in the file's order; each may extend one above it, or a known one."""
    modes: dict[str, Mode] = {}
    for name, table in tables.items():
        where = f"{file}: mode {name!r}"
        if not isinstance(table, dict):
            raise UsageError(f"{file}: {name!r} is not a table that describes a mode")
        strange = sorted(set(table) - set(KEYS))
        if strange:
            raise UsageError(f"{where} has no setting {strange[0]!r}; it takes {', '.join(KEYS)}")
        modes[name] = _mode(name, table, where, {**known, **modes})
    return modes


def _mode(name: str, table: Mapping[str, Any], where: str, known: Mapping[str, Mode]) -> Mode:
    if ("extends" in table) == ("include" in table):
        raise UsageError(f"{where} needs either `include` or `extends`")
    base = Mode(name)
    if "extends" in table:
        if table["extends"] not in known:
            raise UsageError(f"{where} extends {table['extends']!r}, which is not above it")
        base = known[table["extends"]]
    only = _selectors(table, "only", where)
    return replace(
        base,
        name=name,
        description=str(table.get("description", "")),
        include=_selectors(table, "include", where) or base.include,
        only=(*base.only, only) if only else base.only,
        exclude=(*base.exclude, *_selectors(table, "exclude", where)),
        final_dense_ratio=_ratio(table, where) or base.final_dense_ratio,
    )


def _selectors(table: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    given = table.get(key, [])
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise UsageError(f"{where}: `{key}` is a list of selectors")
    for selector in given:
        name, colon, _ = selector.partition(":")
        if name not in (WITH_ARGUMENT if colon else SELECTORS):
            choices = [*SELECTORS, *(f"{one}:..." for one in WITH_ARGUMENT)]
            raise UsageError(
                f"{where}: unknown selector {selector!r}; known are {', '.join(choices)}"
            )
    return tuple(given)


def _ratio(table: Mapping[str, Any], where: str) -> float | None:
    ratio = table.get("final_dense_ratio")
    if ratio is None:
        return None
    if isinstance(ratio, bool) or not isinstance(ratio, (int, float)) or not ratio > 0:
        raise UsageError(f"{where}: `final_dense_ratio` must be more than 0, not {ratio!r}")
    return float(ratio)
