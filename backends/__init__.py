"""One device family a file: prepare a workload, run it on the device's own clock."""
