"""Who may import whom, read from the sources; and what a bare start may load.

An import counts wherever it stands: in a function and under TYPE_CHECKING, too.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOT_OURS = {"tests", "docs", "benchmarks", "examples", "build", "dist"}

# A unit is a module or a package right below the root.
VALUES = {"records", "content_keys", "stats", "random_effects", "documents"}
BOTTOM = {
    "errors",
    "files",
    "clock",
    "version",
    "reporter",
    "display",
    "pace",
    "collector",
    "instruction_sets",
} | VALUES
OPTIONS = {"options"} | BOTTOM
OPS = {"ops"} | BOTTOM
LOWRANK = {"lowrank"} | OPS
MODELS = {"models", "sources", "integrity", "layering", "inputs"} | LOWRANK
CAMPAIGN = {"campaign", "profiler", "backends", "db", "search"} | MODELS
FACTORS = {"factors", "training"} | MODELS
QUANTIZATION = {"quantization"} | MODELS
NETWORK_TIMING = {"network_timing", "factors", "training"} | CAMPAIGN
PLANNER = {"planner"} | NETWORK_TIMING | QUANTIZATION
SKIN = {"workflow", "report", "tracking"} | OPTIONS
MAY_IMPORT: dict[str, set[str]] = {
    **dict.fromkeys(BOTTOM, BOTTOM),
    "options": OPTIONS,
    "ops": OPS,
    "lowrank": LOWRANK,
    "layering": {"layering"} | OPS,
    "backends": {"backends"} | OPS,
    "sources": {"sources"} | OPS,
    "integrity": {"integrity", "inputs"} | OPS,
    "inputs": {"inputs"} | OPS,
    "models": MODELS,
    "training": {"training"} | MODELS,
    "quantization": QUANTIZATION,
    "profiler": {"profiler", "backends"} | LOWRANK,
    "db": {"db"} | BOTTOM,
    "search": {"search"} | BOTTOM,
    "testing": {"testing", "backends"} | LOWRANK,
    "report": {"report"} | BOTTOM,
    "tracking": {"tracking"} | BOTTOM,
    "campaign": CAMPAIGN,
    "factors": FACTORS,
    "network_timing": NETWORK_TIMING,
    "planner": PLANNER,
    "workflow": {"workflow", "report"} | OPTIONS | PLANNER,
    "jobs": {"jobs", "workflow"} | OPTIONS | PLANNER,
    "fleet": {"fleet", "jobs", "workflow", "profiler", "backends", "db"} | OPTIONS,
    "commands": {"commands", "service", "jobs", "fleet"} | SKIN,
    "cli": {"commands"},
    "service": {"service", "jobs", "fleet"} | SKIN,
    "__init__": SKIN,
    "__main__": {"cli"},
}
HEAVY = {
    *("torch", "onnx", "onnxruntime", "onnxscript", "optuna", "numpy", "scipy", "pandas"),
    *(
        "sqlalchemy",
        "alembic",
        "dask",
        "distributed",
        "pydantic",
        "safetensors",
        "PIL",
        "fastapi",
        "uvicorn",
        "matplotlib",
        "plotly",
        "psycopg",
        "httpx",
        "pyarrow",
        "pytest",
    ),
}


def _modules() -> dict[str, Path]:
    """Dotted name below the root (`ops.chain`, `ops` for its `__init__`) -> file."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[0] in NOT_OURS or any(part.startswith(".") for part in parts):
            continue
        if any((parent / "pyvenv.cfg").exists() for parent in path.parents):
            continue
        name = parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts
        found[".".join(name)] = path
    return found


MODULES = _modules()


def _imports(name: str) -> Iterator[tuple[int, str, str]]:
    """(line, imported module below the root or `` for the root itself, name taken from it)."""
    path = MODULES[name]
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        up = node.level - 1
        assert up <= len(package), f"{path}:{node.lineno} climbs out of the package"
        base = package[: len(package) - up] + tuple((node.module or "").split("."))
        target = ".".join(part for part in base if part)
        for alias in node.names:
            yield node.lineno, target, alias.name


def _unit(target: str, taken: str) -> str:
    """The unit that `from <target> import <taken>` reaches; `` for a name of the root's own."""
    if target:
        return target.split(".")[0]
    return taken if taken in MODULES or (ROOT / taken).is_dir() else ""


@pytest.mark.parametrize("name", MODULES)
def test_imports_only_what_its_layer_may(name: str) -> None:
    unit = name.split(".")[0]
    assert unit in MAY_IMPORT, f"{unit} is new: say in MAY_IMPORT what it may import"
    allowed = MAY_IMPORT[unit]
    wrong = []
    for line, target, taken in _imports(name):
        reached = _unit(target, taken)
        if reached and reached not in allowed:
            wrong.append(f"{MODULES[name]}:{line}: {unit} must not import {reached}")
        elif not reached:
            wrong.append(f"{MODULES[name]}:{line}: takes {taken} from the root package")
    assert not wrong, "\n".join([*wrong, f"{unit} may import {', '.join(sorted(allowed))}"])


@pytest.mark.parametrize("name", MODULES)
def test_imports_itself_relatively(name: str) -> None:
    """`import rankwise.x` inside the tree loads a module twice when the folder is named else."""
    path = MODULES[name]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        else:
            continue
        absolute = [n for n in names if n.split(".")[0] == "rankwise"]
        assert not absolute, f"{path}:{node.lineno} imports {absolute[0]}; write it relatively"


def _imported_modules(name: str) -> set[str]:
    """The modules that one imports: `from a import b` is the module `a.b` if there is one, else
    the module `a`, which is its `__init__` where it is a package."""
    reached = set()
    for _, target, taken in _imports(name):
        submodule = f"{target}.{taken}" if target else taken
        reached.add(submodule if submodule in MODULES else target or "__init__")
    return reached - {name}


def test_no_circle_of_modules() -> None:
    """Strongly connected modules could be read, tested and changed only together."""
    sorter = TopologicalSorter({name: _imported_modules(name) for name in MODULES})
    try:
        sorter.prepare()
    except CycleError as error:
        pytest.fail("these import each other: " + " <- ".join(error.args[1]))


def test_the_table_of_layers_has_no_cycle() -> None:
    """`a` may import `b` and `b` may import `a` only within the bottom layer."""
    both = {
        (a, b)
        for a, allowed in MAY_IMPORT.items()
        for b in allowed - {a}
        if a in MAY_IMPORT.get(b, set())
    }
    assert {unit for pair in both for unit in pair} <= BOTTOM


@pytest.mark.parametrize(
    "start",
    [
        "import rankwise",
        "import rankwise.cli",
        "from rankwise.cli import main; sys.argv = ['rankwise', '--help']; main()",
        "from rankwise.cli import main; sys.argv = ['rankwise', 'tune', '--help']; main()",
        "from rankwise.cli import main; sys.argv = ['rankwise', 'db', 'export', '--help']; main()",
    ],
    ids=lambda start: start.partition("argv = ")[2] or start,
)
def test_starts_without_heavy_libraries(start: str) -> None:
    code = f"""
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))
{start}
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    loaded = {name.split(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}
    assert "rankwise" in loaded
    assert not loaded & HEAVY, f"{start!r} loads {sorted(loaded & HEAVY)}: import them where used"


def test_each_module_is_loaded_once_and_as_rankwise() -> None:
    """Neither pytest nor a test may load a file of ours under a second name."""
    import rankwise.records

    assert Path(rankwise.records.__file__).resolve() == MODULES["records"]
    ours = {path.resolve() for path in MODULES.values()}
    names = [
        name
        for name, module in list(sys.modules.items())
        if (file := getattr(module, "__file__", None)) and Path(file).resolve() in ours
    ]
    strays = [name for name in names if name.split(".")[0] not in ("rankwise", "__mp_main__")]
    assert not strays, f"loaded under another name as well: {strays}"
