"""Vectors of ids from a frozen table, beside `functional.embedding`, which is told their rows."""

import itertools

import torch
from benchmarks.cpu_measure import best_of
from rayrank.embedding.frozen import FrozenTables, freeze
from rayrank.embedding.hashing import mix
from rayrank.embedding.tables import LearnedRows

IDS, DIM, ASKED, ROUNDS = 4_000_000, 32, 200_000, 9


def frozen() -> dict[str, float]:
    """Each round asks for other ids, so that neither way finds its rows in a cache."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(-(1 << 62), 1 << 62, (IDS,), generator=generator)
    vectors_ND = torch.randn(IDS, DIM, generator=generator)
    rows = LearnedRows(mix(ids), vectors_ND)
    table = FrozenTables({"t": freeze("t", rows, init_std=0.02, seed=0)})
    places = [torch.randint(IDS, (ASKED,), generator=generator) for _ in range(ROUNDS)]
    of_embedding, of_frozen = itertools.cycle(places), itertools.cycle([ids[p] for p in places])
    with torch.inference_mode():
        found = best_of(
            {
                "embedding": lambda: torch.nn.functional.embedding(next(of_embedding), vectors_ND),
                "frozen": lambda: table({"t": next(of_frozen)}),
            },
            ROUNDS,
        )
    return {"frozen_over_embedding": found["embedding"] / found["frozen"]}
