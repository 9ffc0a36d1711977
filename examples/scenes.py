"""Some hundred photos of places and animals, out of Debian's package gcompris-qt-data.

    python examples/scenes.py          # prints the folder

Where `photos` and `snapshots` of `assets.py` are too few: the network errors of two sets of ten
photos differ by a third by chance. The package's files of Qt resources hold pictures as they
are, each after its length. `apt-get` and `dpkg-deb` must be there; nothing is installed.
"""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from assets import AssetError, cache_folder
from PIL import Image, UnidentifiedImageError

PACKAGE = "gcompris-qt-data=3.1-2"
"""GPL-3+ and CC BY-SA; whose the photos are, the package's copyright file says."""
MEMBERS = {
    "erase": "0c92974491a4a4e90bebe79156720122adaf084b2e2fcc4513ce6907c3e14d6b",
    "explore_farm_animals": "1d17b5eb6c72b3a26aa37d6767fbeaf5a943064602c82b2d9c21ba006f748ba8",
    "explore_monuments": "337878371e443f7401d4fe4798c88dde44569953bf5fa8f2738d45be4ec59ab1",
    "explore_world_animals": "85599f387a1f0da48d8e9e4502e6ef1ba9e826391bc4d6feb3b1f614d2d0ebdd",
    "explore_world_music": "e95b9b7aaa52d4b029c7161b4ff945ff6e1743f96cee47beb413b07e763f9207",
}
"""SHA-256 of the resource files."""
STARTS = re.compile(rb"RIFF....WEBP|\xff\xd8\xff", re.DOTALL)
MIN_SIDE = 300


def fetch_scenes() -> Path:
    """The folder of photos, downloaded if it is not there yet.

    Raises `AssetError` where the package cannot be had, or is not the one that is expected.
    """
    place = cache_folder() / "scenes"
    if not place.is_dir():
        cache_folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache_folder(), prefix=".fetch-") as folder:
            made = Path(folder, "scenes")
            made.mkdir()
            for name, content in _resources(_package(Path(folder))):
                for number, picture in enumerate(_photos(content)):
                    Path(made, f"{name}-{number:02d}.webp").write_bytes(picture)
            made.replace(place)
    return place


def _package(folder: Path) -> Path:
    command = ["apt-get", "download", "--quiet", "-o", "APT::Sandbox::User=", PACKAGE]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError as error:
        raise AssetError(
            f"scenes come from a Debian package, and there is no apt: {error}"
        ) from None
    found = sorted(folder.glob("*.deb"))
    if done.returncode or not found:
        said = done.stderr.strip().splitlines() or ["apt-get gave no reason"]
        raise AssetError(f"{PACKAGE} could not be downloaded: {said[-1]}")
    return found[0]


def _resources(package: Path) -> Iterator[tuple[str, bytes]]:
    """The members by name, each checked."""
    made = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(made.stdout)) as archive:
        for name, sha256 in MEMBERS.items():
            file = archive.extractfile(f"./usr/share/gcompris-qt/rcc/{name}.rcc")
            content = file.read() if file else b""
            if hashlib.sha256(content).hexdigest() != sha256:
                raise AssetError(f"{name}.rcc of {PACKAGE} is not the file expected")
            yield name, content


def _photos(content: bytes) -> Iterator[bytes]:
    """Pictures that are large enough, and of more than one texture."""
    for start in (match.start() for match in STARTS.finditer(content)):
        length = int.from_bytes(content[start - 4 : start], "big")
        picture = content[start : start + length]
        try:
            image = Image.open(io.BytesIO(picture)).convert("RGB")
        except (UnidentifiedImageError, OSError):
            continue
        flat = max(high - low for low, high in image.resize((8, 8)).getextrema()) < 32
        if min(image.size) >= MIN_SIDE and not flat:
            yield picture


if __name__ == "__main__":
    try:
        print(fetch_scenes())
    except AssetError as error:
        sys.exit(f"scenes: {error}")
