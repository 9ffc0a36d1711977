"""What is done with an ONNX file and its plan needs no torch, whose start takes longer than all the
rest of such a command. (`plan` takes gradients, so it does.)"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

DONE = """
import sys
import rankwise as rw
network, plan, db = sys.argv[1], "plan.json", "sqlite:///store.db"
rw.layers(network)
rw.profile(network, backend="fake:step=16", db=db)
rw.table(db=db)
rw.what_if(plan, network, db=db)
rw.apply(plan, network, output="small.onnx", db=db)
rw.verify(plan, network, db=db)
print("torch" in sys.modules)
"""


def test_files_are_read_timed_and_written_without_torch(
    planned_folder: Path, network_file: Path, tmp_path: Path
) -> None:
    shutil.copytree(planned_folder, tmp_path, dirs_exist_ok=True)
    words = [sys.executable, "-P", "-c", DONE, str(network_file)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["False"]
