"""Workers of a fleet as SLURM jobs, one a node: python examples/fleet/slurm.py 8

Needs `pip install dask-jobqueue` where jobs are submitted, RANKWISE_DB, and the three files of
RANKWISE_TLS_CA and its kin where every node sees them. The scheduler runs in this process, on port
8786; the service is started with `--cluster tls://THIS-MACHINE:8786`. Ends with Ctrl-C, and the
SLURM jobs with it.
"""

from __future__ import annotations

import signal
import sys
from typing import Any

from dask_jobqueue import SLURMCluster

from rankwise.fleet.security import security_for

WORKER = [
    *("--preload", "rankwise.fleet.preload"),
    *("--memory-limit", "0"),  # a job's processes have limits of their own
    *("--backend", "torch-cuda:device=0"),
    *("--label", "slurm"),
]


def cluster(**more: Any) -> SLURMCluster:
    """A scheduler here, and workers where SLURM puts them: each has a whole node, because nothing
    may run beside what is timed."""
    return SLURMCluster(
        cores=1,
        processes=1,
        memory="16GB",
        walltime="08:00:00",
        job_extra_directives=["--exclusive", "--gres=gpu:1"],
        job_script_prologue=["export OMP_NUM_THREADS=1"],
        worker_extra_args=WORKER,
        **more,
    )


if __name__ == "__main__":
    address = "tls://:8786"
    options = {"host": address, "dashboard": False}
    with cluster(
        protocol="tls://", security=security_for(address), scheduler_options=options
    ) as own:
        own.scale(int(sys.argv[1]))
        print(own.scheduler_address, flush=True)
        signal.pause()
