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

HOPPER = GPUTarget("cuda", 90, 32)
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


def compile_for_hopper(
    kernel: triton.JITFunction, constants: dict[str, object], num_warps: int, num_stages: int
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
    return triton.compile(source, target=HOPPER, options=options)


@pytest.mark.parametrize("shared_memory", [LEAST_SHARED_MEMORY, HOPPER_SHARED_MEMORY])
@pytest.mark.parametrize(
    ("name", "dim", "windowed"),
    [
        ("forward", 128, False),
        ("dq", 128, False),
        ("dkdv", 128, False),
        ("forward", 64, True),
        ("dkdv", 64, True),
    ],
)
def test_attention(name: str, dim: int, windowed: bool, shared_memory: int) -> None:
    config = default_config(name, torch.float16, dim, dim, shared_memory)
    constants: dict[str, object] = {
        "HAS_START": windowed,
        "BLOCK_M": config.block_m,
        "BLOCK_N": config.block_n,
        **forward.dims(dim, dim),
    }
    if name == "dkdv":
        constants["CHUNK"] = backward.CHUNK
    compiled = compile_for_hopper(KERNELS[name], constants, config.num_warps, config.num_stages)
    assert "wgmma" in compiled.asm["ptx"], "the products should run on Hopper's tensor cores"
    assert "tanh.approx" in compiled.asm["ptx"], "half precision needs no exact exponential"
    assert compiled.metadata.shared <= shared_memory


def test_query_block_ranges() -> None:
    compile_for_hopper(backward._ranges_kernel, {"HAS_START": True, "BLOCK_M": 64}, 4, 1)


@pytest.mark.parametrize("gated", [False, True])
def test_group_layer_norm(gated: bool) -> None:
    constants: dict[str, object] = {"D": 768, "BLOCK_D": 1024, "GATED": gated}
    compile_for_hopper(norm._forward_kernel, constants | {"BLOCK_T": 2}, 4, 1)
    compile_for_hopper(norm._backward_kernel, constants | {"G": 3, "BLOCK_G": 4}, 4, 1)


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
    compiled = compile_for_hopper(
        linear._forward_kernel, constants, config.num_warps, config.num_stages
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
    compiled = compile_for_hopper(linear._backward_kernel, constants, 4, 3)
    assert "STL" not in compiled.asm["sass"], "registers were spilled to local memory"


@pytest.mark.parametrize("concat", [True, False])
def test_jagged_concat(concat: bool) -> None:
    constants: dict[str, object] = {"P": 4, "D": 512, "BLOCK_D": 512, "BLOCK_T": 8}
    compiled = compile_for_hopper(jagged._move_kernel, constants | {"CONCAT": concat}, 4, 1)
    for access in ("ld.global.v4.b32", "st.global.v4.b32"):
        assert compiled.asm["ptx"].count(access) == 4, "each thread moves 16 bytes four times"
