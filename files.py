"""Files that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a path to write to, of the same name, in a hidden folder beside `path`.

    At the end of the block the file takes the place of `path` in one step; a block that raises
    leaves `path` as it was. Raises `OSError` where the folder cannot be written to.
    """
    with TemporaryDirectory(
        prefix=f".{path.name[:60]}.", dir=path.parent, ignore_cleanup_errors=True
    ) as folder:
        temporary = Path(folder, path.name)
        yield temporary
        temporary.replace(path)


def write_text(path: Path, text: str) -> None:
    """Write a text as `atomic_write` does: a reader sees the old file or the new one."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
