"""What devices could do at most, by their data sheets, for estimates where none is at hand."""

from typing import NamedTuple

from rayrank.train.peak import PEAK_TFLOPS

HOST = 8
"""Devices of a host, which have links of their own among them."""


class Device(NamedTuple):
    """One of a kind."""

    tflops: float
    """Dense bfloat16, as `PEAK_TFLOPS`."""
    memory_gb: float
    memory_gb_per_s: float
    host_gb_per_s: float
    """To the others of its host, each way at once."""
    network_gb_per_s: float
    """To other hosts, each way at once: its share of what its host has."""


DEVICES = {
    "H100": Device(PEAK_TFLOPS["H100"], 80, 3350, 450, 50),
    "H200": Device(PEAK_TFLOPS["H200"], 141, 4800, 450, 50),
    "A100": Device(PEAK_TFLOPS["A100"], 80, 2039, 300, 25),
}
"""NVIDIA's SXM modules in hosts of eight, as DGX has them: half of what NVLink does both ways; a
port of 400 Gb/s for each device, of 200 Gb/s beside an A100."""
