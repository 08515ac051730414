"""Runs the Triton cases in a process of their own.

Without a GPU they need Triton's interpreter, which must be chosen before Triton is first imported;
another test may have done that already in this process.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

KERNELS = ["attention", "group_layer_norm", "jagged_concat", "linear_silu"]


@pytest.mark.parametrize("kernel", KERNELS)
def test_triton(kernel: str) -> None:
    interpret = "0" if torch.cuda.is_available() else "1"
    cases = f"triton_{kernel}_cases.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", cases],
        cwd=Path(__file__).parent,
        env=os.environ | {"TRITON_INTERPRET": interpret, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
