"""`python run_notebook.py NOTEBOOK OUT`: run a notebook in the working directory, and write it with
its outputs. A process of its own, because what the kernel's client leaves open is not ours."""

from __future__ import annotations

import sys


def run(source: str, target: str) -> None:
    import nbformat
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    notebook = nbformat.read(source, as_version=4)
    # files in place of ports, which others could reach
    kernel = AsyncKernelManager(kernel_name="python3", transport="ipc")
    place = {"metadata": {"path": "."}}
    NotebookClient(notebook, km=kernel, timeout=240, resources=place).execute()
    nbformat.write(notebook, target)


if __name__ == "__main__":
    run(*sys.argv[1:])
