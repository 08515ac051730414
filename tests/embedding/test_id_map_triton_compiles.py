"""The id map's kernels compile for a Hopper GPU, on a machine that has none."""

import re

import pytest
import rayrank.embedding.id_map_triton as body
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from ..kernels.sass import registers, spills

POINTERS = {"asking_ptr": "*i1", "slots_ptr": "*i32"}
SWAPPING = [body._first_kernel, body._give_kernel, body._put_kernel]
# An SM has 65,536 registers, and room for 2048 threads: as many looks into memory at once.
REGISTERS = 32


@pytest.mark.parametrize("size", ["i32", "i64"])
@pytest.mark.parametrize(
    "kernel", [body._find_kernel, *SWAPPING], ids=lambda kernel: kernel.__name__
)
def test_it_compiles(kernel: triton.JITFunction, size: str) -> None:
    """For maps of both sizes: with no more than its registers, and a key swapped at once."""
    signature = {
        name: POINTERS.get(name, "*i64") if name.endswith("_ptr") else size
        for name in kernel.arg_names
    }
    signature["BLOCK"] = "constexpr"
    source = ASTSource(kernel, signature, constexprs={"BLOCK": body.BLOCK})
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32))
    swaps = re.findall(r"atom\S+\.cas\S+", compiled.asm["ptx"])
    assert swaps == ["atom.global.relaxed.gpu.cas.b64"] * (kernel in SWAPPING)
    assert spills(compiled.asm["sass"].splitlines()) == []
    assert registers(compiled.asm["sass"]) <= REGISTERS
