"""What a device could do at most, which is what MFU is a share of."""

import re

import torch

PEAK_TFLOPS = {
    "B200": 2250.0,
    "GH200": 989.0,
    "H200": 989.0,
    "H100 NVL": 835.0,
    "H100 PCIe": 756.0,
    "H100": 989.0,
    "H20": 148.0,
    "A100": 312.0,
    "L40S": 362.0,
    "L4": 121.0,
}
"""Of NVIDIA's GPUs by their names, the more special first: dense bfloat16 with sums in float32, as
the data sheets say (not the sparse figures, which are twice those)."""


def peak_flops(told: float | None, device: torch.device) -> float | None:
    """FLOPs per second of one device at most: what is told (in TFLOP/s), or known of its kind; None
    where neither is. What a CPU could do at most nobody can say for its name."""
    tflops = told
    if told is None and device.type == "cuda":
        tflops = known_tflops(torch.cuda.get_device_name(device))
    return None if tflops is None else tflops * 1e12


def known_tflops(name: str) -> float | None:
    """Of a GPU, as CUDA names it. None for a slice of one (MIG), and for any other kind."""
    if "MIG" in name:
        return None
    known = (peak for kind, peak in PEAK_TFLOPS.items() if re.search(rf"\b{kind}\b", name))
    return next(known, None)
