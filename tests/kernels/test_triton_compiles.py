"""The Triton kernels compile for a GPU, on a machine that has none.

The interpreter runs what the compiler may refuse (a loop's variable that changes its type, a shape
that is no power of two) and knows nothing of shared memory.
"""

import pytest
import torch
import triton
from hstu_kernels import attention_backward_triton as backward
from hstu_kernels import attention_triton as forward
from hstu_kernels import group_layer_norm_triton as norm
from hstu_kernels import jagged_concat_triton as jagged
from hstu_kernels import linear_silu_triton as linear
from hstu_kernels.tuning import HOPPER_SHARED_MEMORY, default_config
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, CompiledKernel

from .sass import hot_loops, spills

HOPPER, AMPERE = GPUTarget("cuda", 90, 32), GPUTarget("cuda", 80, 32)
# What sm_86 and sm_89 let one block have, the least among GPUs with bfloat16.
LEAST_SHARED_MEMORY = 99 * 1024
POINTERS = {
    "offsets": "i64",
    "query_offsets": "i64",
    "end": "i32",
    "start": "i32",
    "low": "i32",
    "high": "i32",
}
POINTERS |= {"low": "i32", "high": "i32", "all_low": "i32", "all_high": "i32"}
POINTERS |= {"group": "i64", "mean": "fp32", "rstd": "fp32", "dweight": "fp32", "dbias": "fp32"}
POINTERS |= {"weight": "fp32", "bias": "fp32"}
KERNELS = {"forward": forward._forward_kernel, "dq": backward._dq_kernel}
KERNELS |= {"dkdv": backward._dkdv_kernel}


def compile_for(
    target: GPUTarget,
    kernel: triton.JITFunction,
    constants: dict[str, object],
    num_warps: int,
    num_stages: int,
) -> CompiledKernel:
    signature = {}
    for name in kernel.arg_names:
        if name in constants:
            signature[name] = "constexpr"
        elif name.endswith("_ptr"):
            signature[name] = "*" + POINTERS.get(name.removesuffix("_ptr"), "fp16")
        else:
            signature[name] = "fp32" if name in ("alpha", "scale", "eps") else "i32"
    # The launcher says the same of what PyTorch allocates and of the usual widths.
    aligned = {
        (position,): [["tt.divisibility", 16]]
        for position, name in enumerate(kernel.arg_names)
        if name.endswith("_ptr") or name.startswith("stride")
    }
    source = ASTSource(kernel, signature, constexprs=constants, attrs=aligned)
    options = {"num_warps": num_warps, "num_stages": num_stages}
    return triton.compile(source, target=target, options=options)


@pytest.mark.parametrize("target", [HOPPER, AMPERE], ids=["sm_90", "sm_80"])
@pytest.mark.parametrize(
    ("dim", "windowed"), [(64, True), (128, False), (256, False)], ids=["64", "128", "256"]
)
@pytest.mark.parametrize("name", list(KERNELS))
def test_attention(name: str, dim: int, windowed: bool, target: GPUTarget) -> None:
    """On tensor cores, within shared memory, and in its inner loops within registers."""
    shared_memory = HOPPER_SHARED_MEMORY if target == HOPPER else LEAST_SHARED_MEMORY
    config = default_config(name, torch.float16, dim, dim, shared_memory)
    constants: dict[str, object] = {
        "HAS_START": windowed,
        "BLOCK_M": config.block_m,
        "BLOCK_N": config.block_n,
        **forward.dims(dim, dim),
    }
    if name == "dkdv":
        constants["CHUNK"] = backward.CHUNK
    compiled = compile_for(target, KERNELS[name], constants, config.num_warps, config.num_stages)
    assert ("wgmma" if target == HOPPER else "mma.sync") in compiled.asm["ptx"]
    assert "tanh.approx" in compiled.asm["ptx"], "half precision needs no exact exponential"
    assert compiled.metadata.shared <= shared_memory
    loops = hot_loops(compiled.asm["sass"])
    assert len(loops) == (3 if windowed and name != "dkdv" else 2)
    assert [spills(loop) for loop in loops] == [[]] * len(loops)


def test_a_spill_in_a_loop_is_seen() -> None:
    """Two accumulators of 64 x 256 and 64 query rows are more than a thread's registers hold."""
    constants: dict[str, object] = {
        "HAS_START": False,
        "BLOCK_M": 64,
        "BLOCK_N": 64,
        "CHUNK": backward.CHUNK,
        **forward.dims(256, 256),
    }
    compiled = compile_for(HOPPER, KERNELS["dkdv"], constants, 8, 2)
    assert any(spills(loop) for loop in hot_loops(compiled.asm["sass"]))


def test_query_block_ranges() -> None:
    compile_for(HOPPER, backward._ranges_kernel, {"HAS_START": True, "BLOCK_M": 64}, 4, 1)


@pytest.mark.parametrize("gated", [False, True])
def test_group_layer_norm(gated: bool) -> None:
    constants: dict[str, object] = {"D": 768, "BLOCK_D": 1024, "GATED": gated}
    compile_for(HOPPER, norm._forward_kernel, constants | {"BLOCK_T": 2}, 4, 1)
    compile_for(HOPPER, norm._backward_kernel, constants | {"G": 3, "BLOCK_G": 4}, 4, 1)


@pytest.mark.parametrize("keep", [False, True])
def test_linear_silu(keep: bool) -> None:
    config = default_config("linear_silu", torch.float16, 512, 2048, LEAST_SHARED_MEMORY)
    constants: dict[str, object] = {
        **{f"W{i}": 512 for i in range(4)},
        "K": 512,
        "KEEP": keep,
        "BLOCK_M": config.block_m,
        "BLOCK_N": config.block_n,
        "BLOCK_K": linear.STEP_BYTES // 2,
        "GROUP": linear.GROUP,
    }
    compiled = compile_for(
        HOPPER, linear._forward_kernel, constants, config.num_warps, config.num_stages
    )
    assert "wgmma" in compiled.asm["ptx"], "the product should run on Hopper's tensor cores"
    assert compiled.metadata.shared <= LEAST_SHARED_MEMORY
    assert "STL" not in compiled.asm["sass"], "registers were spilled to local memory"


def test_linear_silu_backward() -> None:
    constants: dict[str, object] = {
        **{f"W{i}": 512 for i in range(4)},
        "STRETCH": linear.STRETCH,
        "BLOCK_M": linear.BACKWARD_BLOCK_M,
        "BLOCK_N": linear.BACKWARD_BLOCK_N,
    }
    compiled = compile_for(HOPPER, linear._backward_kernel, constants, 4, 3)
    assert "STL" not in compiled.asm["sass"], "registers were spilled to local memory"


@pytest.mark.parametrize("concat", [True, False])
def test_jagged_concat(concat: bool) -> None:
    constants: dict[str, object] = {"P": 4, "D": 512, "BLOCK_D": 512, "BLOCK_T": 8}
    compiled = compile_for(HOPPER, jagged._move_kernel, constants | {"CONCAT": concat}, 4, 1)
    for access in ("ld.global.v4.b32", "st.global.v4.b32"):
        assert compiled.asm["ptx"].count(access) == 4, "each thread moves 16 bytes four times"
