"""The measuring process for whole torch networks: `profiler.child`, which also loads networks by
their names.

`python -m rankwise.workflow.network_child REQUESTS ANSWERS PARENT`
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from ..backends.base import Workload
from ..profiler import child
from .named_networks import NamedNetwork


def workload_from_json(document: Mapping[str, Any]) -> Workload:
    if "source" in document:
        return NamedNetwork.from_json(document).workload()
    return child.workload_from_json(document)


if __name__ == "__main__":
    child.main(sys.argv[1:], workload_from_json)
