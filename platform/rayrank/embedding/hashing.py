"""64-bit mixing, the same in torch on every device and in compiled loops, and the vectors that ids
start with."""

import zlib

import numpy as np
import torch

from rayrank.embedding.compiled import compiled

# SplitMix64's constants (Steele, Lea, Flood: Fast splittable pseudorandom number generators,
# OOPSLA 2014) as signed integers: torch's signed 64-bit arithmetic wraps, and it has no other.
_GAMMA = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX_1 = 0xBF58476D1CE4E5B9 - (1 << 64)
_MIX_2 = 0x94D049BB133111EB - (1 << 64)


def _shift_right(x: torch.Tensor, bits: int) -> torch.Tensor:
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def mix(x: torch.Tensor) -> torch.Tensor:
    """A bijection of int64 that spreads every input bit over all output bits."""
    x = (x ^ _shift_right(x, 30)) * _MIX_1
    x = (x ^ _shift_right(x, 27)) * _MIX_2
    return x ^ _shift_right(x, 31)


@compiled(inline="always")
def mix_one(x: int) -> np.uint64:
    """As `mix`, of one id, for compiled loops."""
    mixed = np.uint64(x)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def table_seed(name: str, seed: int) -> int:
    """The seed of a table, so that one id starts differently in each: 64 bits without a sign."""
    return zlib.crc32(name.encode()) * 0x1_0000_0001 ^ seed


def signed(bits: int) -> int:
    """A number's lower 64 bits, as torch's integers have them."""
    return (bits + (1 << 63)) % (1 << 64) - (1 << 63)


def initial_vectors(
    ids: torch.Tensor, dim: int, seed: int | torch.Tensor, std: float
) -> torch.Tensor:
    """The vectors [n, dim] that ids [n] start with: uniform, mean 0, standard deviation `std`.

    A function of (seed, id) alone; seed: a table's, or int64 [n] of each id's (`signed`). dim must
    be a multiple of 4: each hash gives four 16-bit draws.
    """
    if isinstance(seed, int):
        seed = torch.tensor(signed(seed), device=ids.device)
    seed_N1 = seed.view(-1, 1)
    quads = torch.arange(1, dim // 4 + 1, device=ids.device) * _GAMMA
    words = mix(mix(ids.unsqueeze(1) * _GAMMA + seed_N1) + (quads + seed_N1))
    draws = torch.stack([_shift_right(words, bits) & 0xFFFF for bits in (0, 16, 32, 48)], dim=2)
    uniform = (draws.view(len(ids), dim).to(torch.float32) + 0.5) / 0x10000 - 0.5
    return uniform * (std * 12**0.5)
