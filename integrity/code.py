"""What source code says, whatever its comments, its lay-out and the version of Python."""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType, FunctionType, ModuleType
from typing import Any

from .places import is_trusted

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda


class Codes:
    """Hashes of classes and functions, each with what it calls by name in modules beside its own: a
    helper that changes makes a different network."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def of(self, thing: type | FunctionType) -> str:
        """Return the hash; the mere name for code that is trusted to keep its meaning."""
        name = f"{thing.__module__}.{thing.__qualname__}"
        if is_trusted(thing.__module__):
            return name
        if name not in self._known:
            self._known[name] = name  # what comes back to itself says so by its name
            self._known[name] = _hash([thing.__qualname__, *self._lines(thing)])
        return self._known[name]

    def _lines(self, thing: type | FunctionType) -> Iterator[str]:
        functions = functions_of(thing)
        source = _source(thing.__module__, thing.__qualname__)
        if source:
            yield from source
        else:
            yield from (line for one in functions for line in _compiled(one.__code__))
        if isinstance(thing, type):
            yield from (self.of(base) for base in thing.__bases__ if base is not object)
            yield from self._set_later(thing)
        for one in functions:
            yield from self._called(one)

    def _set_later(self, kind: type) -> Iterator[str]:
        """Yield what a class's source does not say: methods from elsewhere."""
        for name, value in sorted(vars(kind).items()):
            if name.startswith("__"):
                continue
            if isinstance(value, FunctionType) and value.__qualname__ != _inner(kind, name):
                yield f"{name}: {self.of(value)}"

    def _called(self, function: FunctionType) -> Iterator[str]:
        """Yield what a function looks up by name: code beside its own, and constants. Other values
        of a module may be counters and switches, which change while it runs."""
        for name in sorted(_names(function.__code__)):
            if name.startswith("__"):  # where the module lies, how it is called
                continue
            for where, value in _found(function, name):
                if name.isupper() and _is_plain(value):
                    yield f"{where} = {value!r}"
                elif isinstance(value, (type, FunctionType)) and _own(function, value):
                    yield f"{where}: {self.of(value)}"


def functions_of(thing: type | FunctionType) -> list[FunctionType]:
    """Return the function itself, or those that a class defines, properties' included."""
    if isinstance(thing, FunctionType):
        return [thing]
    found = []
    for _, value in sorted(vars(thing).items()):
        for part in (value, *(getattr(value, name, None) for name in ("fget", "__func__"))):
            inner = inspect.unwrap(part) if callable(part) else part
            if isinstance(inner, FunctionType):
                found.append(inner)
    return found


def _inner(kind: type, name: str) -> str:
    return f"{kind.__qualname__}.{name}"


def _is_plain(value: Any) -> bool:
    """Whether a value is a number, a text, or a tuple of such."""
    if isinstance(value, tuple):
        return all(_is_plain(one) for one in value)
    return value is None or isinstance(value, (bool, int, float, complex, str, bytes))


def _own(function: FunctionType, value: type | FunctionType) -> bool:
    """Whether both stand in one folder of modules: a library is not followed as a whole."""
    return value.__module__.rpartition(".")[0] == function.__module__.rpartition(".")[0]


def _found(function: FunctionType, name: str) -> Iterator[tuple[str, Any]]:
    """Yield what a name stands for among the function's globals, or in their modules."""
    known = function.__globals__
    if name in known:
        yield name, known[name]
    for other in sorted(_names(function.__code__) & known.keys()):
        module = known[other]
        own = isinstance(module, ModuleType) and not is_trusted(module.__name__)
        if own and name in vars(module):
            yield f"{other}.{name}", vars(module)[name]


def _names(code: CodeType) -> set[str]:
    """Return the names that the code, and functions inside it, look up."""
    inner = (one for one in code.co_consts if isinstance(one, CodeType))
    return set(code.co_names).union(*(_names(one) for one in inner))


def _compiled(code: CodeType) -> Iterator[str]:
    """Yield what is known of code without source, such as what was typed at a prompt: its names and
    constants, which are the same in each version of Python."""
    yield f"{code.co_name} {code.co_varnames} {code.co_names}"
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield from _compiled(one)
        else:
            yield repr(sorted(map(repr, one)) if isinstance(one, frozenset) else one)


def _source(module: str, name: str) -> tuple[str, ...]:
    """Return what the module's source says of what it defines under this qualified name: empty for
    none, lambdas in their order."""
    try:
        return _said_in(inspect.getsource(sys.modules[module]), name)
    except (KeyError, OSError, TypeError, SyntaxError):
        return ()


@lru_cache(maxsize=4096)
def _said_in(source: str, name: str) -> tuple[str, ...]:
    return tuple(said(one) for one in _definitions(source).get(name, ()))


@lru_cache(maxsize=64)
def _definitions(source: str) -> dict[str, list[ast.AST]]:
    """Return by qualified name what a module's source defines."""
    found: dict[str, list[ast.AST]] = {}
    _collect(ast.parse(source), "", found)
    return found


def _collect(node: ast.AST, inside: str, found: dict[str, list[ast.AST]]) -> None:
    for child in ast.iter_child_nodes(node):
        place = inside
        if isinstance(child, Definition):
            name = inside + getattr(child, "name", "<lambda>")
            found.setdefault(name, []).append(child)
            place = name + ("." if isinstance(child, ast.ClassDef) else ".<locals>.")
        _collect(child, place, found)


def said(node: ast.AST) -> str:
    """Return a syntax tree as text, without docstrings, places, and fields that are empty: newer
    versions of Python only add such."""
    fields = (
        f"{name}={_said_field(value)}"
        for name, value in ast.iter_fields(node)
        if value not in (None, [], ()) and name not in ("type_comment", "ctx", "kind")
    )
    return f"{type(node).__name__}({', '.join(fields)})"


def _said_field(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_said_field(one) for one in value if not _is_text(one))}]"
    return said(value) if isinstance(value, ast.AST) else repr(value)


def _is_text(node: Any) -> bool:
    """Whether a statement is nothing but text."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _hash(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
