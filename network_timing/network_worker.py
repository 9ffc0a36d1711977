"""The measuring process for whole torch networks: `profiler.worker`, which also loads networks by
their names.

`python -m rankwise.network_timing.network_worker REQUESTS ANSWERS PARENT`
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from ..backends.base import Workload
from ..profiler import worker


def workload_from_json(document: Mapping[str, Any]) -> Workload:
    if "source" in document:
        from .named_networks import NamedNetwork  # files need none of what it loads

        return NamedNetwork.from_json(document).workload()
    return worker.workload_from_json(document)


if __name__ == "__main__":
    worker.main(sys.argv[1:], workload_from_json)
