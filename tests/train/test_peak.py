"""What a device could do at most."""

import pytest
import torch
from rayrank.train.peak import known_tflops, peak_flops


@pytest.mark.parametrize(
    ("name", "tflops"),
    [
        ("NVIDIA H100 80GB HBM3", 989.0),
        ("NVIDIA H100 PCIe", 756.0),
        ("NVIDIA H100 NVL", 835.0),
        ("NVIDIA H200", 989.0),
        ("NVIDIA H20", 148.0),
        ("NVIDIA GH200 480GB", 989.0),
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA L4", 121.0),
        ("NVIDIA L40S", 362.0),
        ("NVIDIA L40", None),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
        ("Tesla T4", None),
    ],
)
def test_known_gpus(name: str, tflops: float | None) -> None:
    assert known_tflops(name) == tflops


def test_a_cpu_has_none_unless_it_is_told() -> None:
    assert peak_flops(None, torch.device("cpu")) is None
    assert peak_flops(0.5, torch.device("cpu")) == 0.5e12
