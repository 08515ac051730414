"""Runs the Triton cases in a process of their own, as the kernels' `test_triton.py` does."""

import os
import subprocess
import sys
from pathlib import Path

import torch


def test_triton_id_map() -> None:
    interpret = "0" if torch.cuda.is_available() else "1"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "triton_id_map_cases.py"],
        cwd=Path(__file__).parent,
        env=os.environ | {"TRITON_INTERPRET": interpret, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,  # a way that does not end is a fault too
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
