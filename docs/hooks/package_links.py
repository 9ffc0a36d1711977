"""The package by itself, for what reads docstrings.

The checkout is the package, but holds tests and an environment as well. So the site is made from a
folder of links to what is shipped: build/docs/rankwise.
"""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LINKS = ROOT / "build" / "docs" / "rankwise"


def on_config(config: Any) -> Any:
    shutil.rmtree(LINKS, ignore_errors=True)
    LINKS.mkdir(parents=True)
    for path in shipped():
        (LINKS / path.name).symlink_to(path)
    return config


def shipped() -> list[Path]:
    """The root's own modules, and its packages, as pyproject.toml names them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    names = {
        name.split(".")[1] for name in project["tool"]["setuptools"]["packages"] if "." in name
    }
    return [*sorted(ROOT.glob("*.py")), *(ROOT / name for name in sorted(names))]
