"""Bits that are part of every bundle's and every checkpoint's format.

A bundle keeps what was learned, not what an id starts with: were a single bit of a start another
one, every trained vector would be too. So these are written down, not computed by what they check.
"""

import math
import struct
import zlib

import numpy as np
import pytest
import torch
from rayrank.data.mixing import mix as mix_in_numpy
from rayrank.embedding.hashing import initial_vectors, mix, table_seed

MASK = (1 << 64) - 1
GAMMA = 0x9E3779B97F4A7C15
SEED = 12345
STARTS = {
    0: "3dc59995 bdd280f3 bd5a87db bde71d78 bccd0d9c bdbfaaec be137ca1 3b9271e5",
    1: "bd07ff9b bdc53b5c bdaa9f8d bdb17c8b bd8afb18 3d86f9b8 3ad50ad1 3e032db1",
    -1: "3ac943a9 39dc511e 3d82d9dd bda8ffdb bdac874b 3cb1fd68 3dc7e518 bd9d2813",
    1 << 62: "3e1fca31 be00bf8a bc8df695 3d66334c bd5007b6 bc76839e 3da8d384 3d988332",
    -(1 << 63): "bd7abf30 be103bdc 3dc20c9a be205a4c bd87d4a7 3d3bb8ca 3d6ec09c be156460",
}
"""Ids of table `cat` -> float32 [8], big-endian hex, for SEED and a deviation of 0.1."""

EXTREMES = [0, 1, -1, 2, -2, 7, 1 << 32, -(1 << 32), (1 << 62) + 1, (1 << 63) - 1, -(1 << 63)]
# The first outputs of SplitMix64, as its authors' C program prints them for two seeds.
PUBLISHED = {0: [0xE220A8397B1DCDAF], 1234567: [6457827717110365317, 3203168211198807973]}


def signed(x: int) -> int:
    x &= MASK
    return x - (1 << 64) if x >> 63 else x


def splitmix64(x: int) -> int:
    """SplitMix64's finaliser on Python's integers."""
    x &= MASK
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK
    return x ^ (x >> 31)


def start(number: int, dim: int, seed: int, std: float) -> list[str]:
    """The definition in words: four draws of 16 bits, low ones first, from each word of the
    stream that (seed, id) starts; each the middle of its 1/65536 of a uniform distribution."""
    state = splitmix64(number * GAMMA + seed)
    bits = []
    for quad in range(1, dim // 4 + 1):
        word = splitmix64(state + quad * GAMMA + seed)
        for low in (0, 16, 32, 48):
            uniform = ((word >> low & 0xFFFF) + 0.5) / 65536 - 0.5
            rounded = np.float32(uniform) * np.float32(std * math.sqrt(12))
            bits.append(struct.pack(">f", rounded).hex())
    return bits


@pytest.mark.parametrize("number", STARTS)
def test_what_an_id_starts_with(number: int) -> None:
    seed = table_seed("cat", SEED)
    found = initial_vectors(torch.tensor([number]), 8, seed, 0.1)[0]
    assert [struct.pack(">f", value).hex() for value in found.tolist()] == STARTS[number].split()
    seed = zlib.crc32(b"cat") * 0x1_0000_0001 ^ SEED
    assert STARTS[number].split() == start(number, 8, seed, 0.1)


def test_the_seed_of_a_table() -> None:
    assert table_seed("cat", SEED) == 0x9E5E43A8_9E5E7391


@pytest.mark.parametrize("seed", PUBLISHED)
def test_mix_gives_splitmix64s_published_outputs(seed: int) -> None:
    states = [signed(seed + (n + 1) * GAMMA) for n in range(len(PUBLISHED[seed]))]
    assert mix(torch.tensor(states)).tolist() == [signed(x) for x in PUBLISHED[seed]]
    assert mix_in_numpy(np.array(states).view(np.uint64)).tolist() == PUBLISHED[seed]


def test_mix_is_one_function_in_its_two_places() -> None:
    """Of signed integers in torch, of unsigned ones in numpy: the same bits."""
    draw = np.random.default_rng(0)
    numbers = np.concatenate([EXTREMES, draw.integers(-(1 << 63), (1 << 63) - 1, 200)])
    expected = [splitmix64(int(x)) for x in numbers]
    assert mix(torch.from_numpy(numbers)).tolist() == [signed(x) for x in expected]
    assert mix_in_numpy(numbers.view(np.uint64)).tolist() == expected
