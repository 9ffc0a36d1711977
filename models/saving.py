"""A network written to a file, with an open batch where that is wanted and possible."""

from __future__ import annotations

from pathlib import Path

from ..errors import ModelError
from ..reporter import Reporter
from .network import Network

CAN_BE_OPEN = (".onnx", ".pt2")


def save_network(network: Network, path: Path, dynamic_batch: bool, reporter: Reporter) -> Path:
    """Write as `Network.save` does; with `dynamic_batch` an `.onnx` or `.pt2` that is exported
    from torch has an open batch, where it answers as the module does at other batches, too.

    Where not, it has the network's own batch, and the reporter hears why.
    """
    path = Path(path)
    is_own = path.suffix == f".{network.framework}"  # a file that is rewritten keeps its batch
    if not dynamic_batch or path.suffix not in CAN_BE_OPEN or is_own:
        return network.save(path)
    from .open_batch import write_open  # torch's

    try:
        return write_open(network, path)
    except ModelError as error:
        reporter.message(
            f"{path.name} is written with a fixed batch of {network.inputs.batch}: {error}"
        )
    return network.save(path)
