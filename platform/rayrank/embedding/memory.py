"""How much memory a rank has, so that the planner plans with what is there."""

import os
from pathlib import Path

import torch

LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where a container says what it may take: control groups of version 2, and of version 1."""


def memory_of(device: torch.device, ranks_here: int) -> int:
    """Bytes: of a GPU, all of its own; of a CPU, an even share of what the host, or the container,
    has for the ranks that it runs."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return host_memory() // ranks_here


def host_memory(limits: tuple[str, ...] = LIMITS) -> int:
    """Bytes of the host, or of the container that this process is in where that may take less."""
    of_host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    told = [Path(path).read_text().strip() for path in limits if Path(path).exists()]
    return min([of_host, *(int(of) for of in told if of.isdigit())])
