"""The Triton kernels compile for a GPU, on a machine that has none.

The interpreter runs what the compiler may refuse (a loop's variable that changes its type, a shape
that is no power of two) and knows nothing of shared memory.
"""

from dataclasses import replace

import pytest
import torch
import triton
from hstu_kernels import attention_backward_triton as backward
from hstu_kernels import attention_triton as forward
from hstu_kernels import group_layer_norm_triton as norm
from hstu_kernels import jagged_concat_triton as jagged
from hstu_kernels import linear_silu_triton as linear
from hstu_kernels.tuning import HOPPER_SHARED_MEMORY, Config, default_config
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, CompiledKernel

from .sass import hot_loops, registers, spills

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
    target: GPUTarget, kernel: triton.JITFunction, launch: dict[str, object]
) -> CompiledKernel:
    """``launch`` is a launch's keywords: the kernel's own constants, and the compiler's options."""
    constants = {name: value for name, value in launch.items() if name in kernel.arg_names}
    options = {name: value for name, value in launch.items() if name not in kernel.arg_names}
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
    return triton.compile(source, target=target, options=options)


def launch_of(name: str, config: Config, dim: int, windowed: bool) -> dict[str, object]:
    """An attention kernel's."""
    launch: dict[str, object] = {"HAS_START": windowed, **forward.dims(dim, dim)}
    if name == "dkdv":
        launch["CHUNK"] = backward.CHUNK
    return launch | config.launch()


def projection(config: Config, keep: bool) -> dict[str, object]:
    return {
        **{f"W{i}": 512 for i in range(4)},
        "K": 512,
        "KEEP": keep,
        "BLOCK_K": linear.STEP_BYTES // 2,
        "GROUP": linear.GROUP,
        **config.launch(),
    }


@pytest.mark.parametrize("target", [HOPPER, AMPERE], ids=["sm_90", "sm_80"])
@pytest.mark.parametrize(
    ("dim", "windowed"), [(64, True), (128, False), (256, False)], ids=["64", "128", "256"]
)
@pytest.mark.parametrize("name", list(KERNELS))
def test_attention(name: str, dim: int, windowed: bool, target: GPUTarget) -> None:
    """On tensor cores, within shared memory, and in its inner loops within registers."""
    shared_memory = HOPPER_SHARED_MEMORY if target == HOPPER else LEAST_SHARED_MEMORY
    config = default_config(name, torch.float16, dim, dim, shared_memory)
    compiled = compile_for(target, KERNELS[name], launch_of(name, config, dim, windowed))
    assert ("wgmma" if target == HOPPER else "mma.sync") in compiled.asm["ptx"]
    assert "tanh.approx" in compiled.asm["ptx"], "half precision needs no exact exponential"
    assert compiled.metadata.shared <= shared_memory
    loops = hot_loops(compiled.asm["sass"])
    assert len(loops) == (3 if windowed and name != "dkdv" else 2)
    assert [spills(loop) for loop in loops] == [[]] * len(loops)


def test_a_spill_in_a_loop_is_seen() -> None:
    """Two accumulators of 64 x 256 and 64 query rows are more than a thread's registers hold."""
    launch = launch_of("dkdv", Config(64, 64, 8, 2), 256, windowed=False)
    compiled = compile_for(HOPPER, KERNELS["dkdv"], launch)
    assert any(spills(loop) for loop in hot_loops(compiled.asm["sass"]))


@pytest.mark.parametrize(
    ("name", "free", "limit"),
    [
        ("forward", Config(128, 64, 8, 3), 128),
        ("dq", Config(128, 64, 8, 2), 128),
        ("dkdv", Config(64, 128, 8, 2), 128),
        ("linear_silu", Config(128, 128, 8, 3), 96),
    ],
)
def test_registers_can_be_limited(name: str, free: Config, limit: int) -> None:
    """So that two blocks of 8 warps share an SM's registers where one takes more than half."""

    def registers_of(config: Config) -> int:
        if name == "linear_silu":
            compiled = compile_for(HOPPER, linear._forward_kernel, projection(config, True))
        else:
            launch = launch_of(name, config, 128, windowed=False)
            compiled = compile_for(HOPPER, KERNELS[name], launch)
        return registers(compiled.asm["sass"])

    assert registers_of(free) > limit
    assert registers_of(replace(free, maxnreg=limit)) <= limit


def test_query_block_ranges() -> None:
    compile_for(HOPPER, backward._ranges_kernel, {"HAS_START": True, "BLOCK_M": 64})


@pytest.mark.parametrize("gated", [False, True])
def test_group_layer_norm(gated: bool) -> None:
    launch: dict[str, object] = {"D": 768, "BLOCK_D": 1024, "GATED": gated}
    compile_for(HOPPER, norm._forward_kernel, launch | {"BLOCK_T": 2})
    compile_for(HOPPER, norm._backward_kernel, launch | {"G": 3, "BLOCK_G": 4})


@pytest.mark.parametrize("keep", [False, True])
def test_linear_silu(keep: bool) -> None:
    config = default_config("linear_silu", torch.float16, 512, 2048, LEAST_SHARED_MEMORY)
    compiled = compile_for(HOPPER, linear._forward_kernel, projection(config, keep))
    assert "wgmma" in compiled.asm["ptx"], "the product should run on Hopper's tensor cores"
    assert compiled.metadata.shared <= LEAST_SHARED_MEMORY
    assert "STL" not in compiled.asm["sass"], "registers were spilled to local memory"


def test_linear_silu_backward() -> None:
    launch: dict[str, object] = {
        **{f"W{i}": 512 for i in range(4)},
        "STRETCH": linear.STRETCH,
        "BLOCK_M": linear.BACKWARD_BLOCK_M,
        "BLOCK_N": linear.BACKWARD_BLOCK_N,
    }
    compiled = compile_for(HOPPER, linear._backward_kernel, launch)
    assert "STL" not in compiled.asm["sass"], "registers were spilled to local memory"


@pytest.mark.parametrize("concat", [True, False])
def test_jagged_concat(concat: bool) -> None:
    launch: dict[str, object] = {"P": 4, "D": 512, "BLOCK_D": 512, "BLOCK_T": 8, "CONCAT": concat}
    compiled = compile_for(HOPPER, jagged._move_kernel, launch)
    for access in ("ld.global.v4.b32", "st.global.v4.b32"):
        assert compiled.asm["ptx"].count(access) == 4, "each thread moves 16 bytes four times"
