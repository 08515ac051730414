# Triton reads a kernel's annotations as its own, so kernels have none for mypy.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

"""What the Triton bodies share; most of it is attention's: where a block is, what it sees."""

import triton
import triton.language as tl

# A GPU's own hyperbolic tangent: one instruction. The interpreter knows no assembly.
HAS_TANH = tl.constexpr(not triton.knobs.runtime.interpret)

# For float32: three TF32 products in place of one keep its accuracy on the tensor cores. Half
# precision has its own products and does not look at this.
PRECISION = tl.constexpr("tf32x3")


@triton.jit
def locate(slot, offsets_ptr, B, BLOCK: tl.constexpr):
    """The sequence a block belongs to, and the block's number in it.

    Sequence b's blocks start at slot ``offsets[b] // BLOCK + b``: room enough for each however
    lengths fall, known without a prefix sum over block counts and without reading the device.
    A slot may be left over; its block then starts at or behind the sequence's end.
    """
    low, high = 0, B
    while high - low > 1:
        middle = (low + high) // 2
        before = tl.load(offsets_ptr + middle) // BLOCK + middle <= slot
        low = tl.where(before, middle, low)
        high = tl.where(before, high, middle)
    return low, slot - first_slot(tl.load(offsets_ptr + low), low, BLOCK)


@triton.jit
def first_slot(first, sequence, BLOCK: tl.constexpr):
    """The slot of block 0 of a sequence that starts at row `first`; see `locate`."""
    return (first // BLOCK).to(tl.int32) + sequence


@triton.jit
def rows_of(sequence, offsets_ptr, B, total):
    """A sequence's first row, its length, and how many rows from there on are its to write: behind
    the last sequence there may be rows of nobody's, up to `total`, which it fills with zeros."""
    first = tl.load(offsets_ptr + sequence)
    length = (tl.load(offsets_ptr + sequence + 1) - first).to(tl.int32)
    written = tl.where(sequence == B - 1, (total - first).to(tl.int32), length)
    return first, length, written


@triton.jit
def visible_range(row, first, queries, keys, end_ptr, start_ptr, HAS_START: tl.constexpr):
    """What query rows see, cut to the sequence's keys; (0, 0) for rows behind its queries."""
    inside = row < queries
    end = tl.load(end_ptr + first + row, mask=inside, other=0).to(tl.int32)
    end = tl.minimum(end, keys)
    if HAS_START:
        start = tl.load(start_ptr + first + row, mask=inside, other=0).to(tl.int32)
        start = tl.maximum(start, 0)
    else:
        start = tl.zeros_like(end)
    return start, end


@triton.jit
def keys_of_block(inside, start, end, keys):
    """The keys [low, high) that some row of the block sees, and [all_low, all_high) that every row
    of the sequence sees; low >= high if none sees any. A row behind the end counts for neither: its
    q and gradient are 0, so what it adds is 0."""
    sees = end > start
    low, high = tl.min(tl.where(sees, start, keys)), tl.max(tl.where(sees, end, 0))
    all_low = tl.max(tl.where(inside, start, 0))
    all_high = tl.min(tl.where(inside, end, keys))
    return low, high, all_low, all_high


@triton.jit
def steps_of_block(inside, start, end, keys, BLOCK_N: tl.constexpr):
    """The keys in steps of BLOCK_N: [first, whole), then [whole, rest) that every row sees, so that
    nothing there is masked, then [rest, high)."""
    low, high, all_low, all_high = keys_of_block(inside, start, end, keys)
    first = low // BLOCK_N * BLOCK_N
    whole = tl.maximum(tl.minimum(tl.cdiv(all_low, BLOCK_N) * BLOCK_N, high), first)
    rest = tl.maximum(all_high // BLOCK_N * BLOCK_N, whole)
    return first, whole, rest, high


@triton.jit
def load_rows(
    base_ptr, stride, row, length, D: tl.constexpr, BLOCK_D: tl.constexpr, MASKED: tl.constexpr
):
    """[rows, BLOCK_D], zero behind D and, if MASKED, behind the sequence's end."""
    d = tl.arange(0, BLOCK_D)
    pointer = base_ptr + row[:, None] * stride + d[None, :]
    if MASKED:
        x = tl.load(pointer, mask=(row[:, None] < length) & (d[None, :] < D), other=0.0)
    elif D == BLOCK_D:
        x = tl.load(pointer)
    else:
        x = tl.load(pointer, mask=d[None, :] < D, other=0.0)
    return x


@triton.jit
def store_rows(base_ptr, stride, row, written, x, D: tl.constexpr, BLOCK_D: tl.constexpr):
    d = tl.arange(0, BLOCK_D)
    pointer = base_ptr + row[:, None] * stride + d[None, :]
    mask = (row[:, None] < written) & (d[None, :] < D)
    tl.store(pointer, x.to(base_ptr.dtype.element_ty), mask=mask)


@triton.jit
def dot_rows(
    a_ptr, stride_a, row_a, b_ptr, stride_b, row_b, inside,
    D: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """a_i . b_i of pairs of rows, float32 [rows], 0 for those not `inside`; a slice of D at a time,
    for few registers."""
    SLICE: tl.constexpr = min(BLOCK_D, 32)
    total = tl.zeros([BLOCK], dtype=tl.float32)
    for first in range(0, BLOCK_D, SLICE):
        d = first + tl.arange(0, SLICE)[None, :]
        mask = inside[:, None] & (d < D)
        a = tl.load(a_ptr + row_a[:, None] * stride_a + d, mask=mask, other=0.0)
        b = tl.load(b_ptr + row_b[:, None] * stride_b + d, mask=mask, other=0.0)
        total += tl.sum(a.to(tl.float32) * b.to(tl.float32), 1)
    return total


@triton.jit
def tanh(x):
    return tl.inline_asm_elementwise(
        "tanh.approx.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
    )


@triton.jit
def silu_of_twice(h, HALF: tl.constexpr):
    """silu(2 h), float32. HALF: what comes of it is rounded to half precision anyway.

    An exact sigmoid is an exponential and a division. Hopper computes 16 of either per clock and
    multiprocessor, and at dim 128 forward's tensor cores want 8 sigmoids: they would wait. The
    tangent is one instruction, off by at most 2^-11: no more than rounding to float16. And
    silu(2 h) = h + h tanh(h) takes one more.
    """
    if HALF and HAS_TANH:
        return h * tanh(h) + h
    return 2.0 * h * tl.sigmoid(2.0 * h)


@triton.jit
def silu_and_twice_slope(h, HALF: tl.constexpr):
    """silu(2 h), and twice the derivative of silu at 2 h; see `silu_of_twice`.

    With s = sigmoid(x), silu(x) = x s and silu'(x) = s + x s (1 - s). At x = 2 h, with t = 2 s:
    silu = h t, and 2 silu' = t + t (2 h - h t) = t + t (2 h - silu).
    """
    twice_sigmoid = 1.0 + tanh(h) if HALF and HAS_TANH else 2.0 * tl.sigmoid(2.0 * h)
    silu = h * twice_sigmoid
    return silu, twice_sigmoid * (2.0 * h - silu) + twice_sigmoid
