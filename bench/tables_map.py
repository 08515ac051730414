"""The id map beside others that do as much: pandas' khash, and TorchRec's managed collisions."""

import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from pandas._libs.hashtable import Int64HashTable, Int64Vector  # type: ignore[import-not-found]
from rayrank.embedding.hashing import mix
from rayrank.embedding.id_map import id_map
from torchrec.modules.mc_modules import LFU_EvictionPolicy, MCHManagedCollisionModule
from torchrec.sparse.jagged_tensor import JaggedTensor

Ways = dict[str, Callable[[torch.Tensor], object]]
BATCH = 100_000
NEW = 0.1
"""Of the ids that may come, the share that is not there at first."""


def zipf(ids: int, batches: int, seed: int = 0) -> torch.Tensor:
    """int64 [batches, BATCH]: keys of `ids` ids, the n-th most popular of which comes with
    probability 1 / n, in an order that says nothing of it."""
    generator = np.random.default_rng(seed)
    # The inverse of the harmonic distribution, as it is for many ids.
    drawn = np.exp(generator.random((batches, BATCH)) * np.log(ids)).astype(np.int64)
    return mix(torch.from_numpy(np.minimum(drawn, ids) * 0x9E3779B1))


def everyone(ids: int) -> torch.Tensor:
    """int64 [ids]: the keys that `zipf` draws from, in a random order."""
    order = torch.randperm(ids, generator=torch.Generator().manual_seed(1))
    return mix((order + 1) * 0x9E3779B1)


def over_khash(ids: int, batches: int) -> dict[str, float]:
    """How many times as fast this map is as khash, in the same order of calls: to find or insert,
    where most ids are there and some are new; to find."""
    there = everyone(ids)[: int(ids * (1 - NEW))]
    ours, count = id_map(ids), torch.zeros((), dtype=torch.int64)
    khash = Int64HashTable(ids)
    ours.find_or_insert(there, count)
    khash.map_locations(there.numpy())

    def of_khash(keys: torch.Tensor) -> object:
        return khash.get_labels(keys.numpy(), Int64Vector(), count_prior=len(khash))

    asked = zipf(ids, batches)
    inserting: Ways = {"ours": lambda keys: ours.find_or_insert(keys, count), "khash": of_khash}
    inserted = _in_turns(inserting, asked)
    finding: Ways = {"ours": ours.find, "khash": lambda keys: khash.lookup(keys.numpy())}
    found = _in_turns(finding, asked)
    return {
        "find_or_insert_over_khash": inserted["khash"] / inserted["ours"],
        "find_over_khash": found["khash"] / found["ours"],
        "find_or_insert_per_s": BATCH / inserted["ours"],
        "find_per_s": BATCH / found["ours"],
    }


def over_mch(ids: int, batches: int) -> float:
    """How many times as fast as TorchRec's least-frequent managed collisions, with as many rows as
    there are ids, of which it chooses anew every tenth batch."""
    ours, count = id_map(ids), torch.zeros((), dtype=torch.int64)
    ours.find_or_insert(everyone(ids), count)
    mch = MCHManagedCollisionModule(
        zch_size=ids,
        device=torch.device("cpu"),
        eviction_interval=10,
        eviction_policy=LFU_EvictionPolicy(),
    )
    mch.train()

    def of_mch(keys: torch.Tensor) -> object:
        lengths = torch.ones(len(keys), dtype=torch.int64)
        told = mch.profile({"t": JaggedTensor(values=keys & ((1 << 62) - 1), lengths=lengths)})
        return mch.remap(told)

    ways: Ways = {"ours": lambda keys: ours.find_or_insert(keys, count), "mch": of_mch}
    took = _in_turns(ways, zipf(ids, batches), of=lambda seconds: sum(seconds) / len(seconds))
    return took["mch"] / took["ours"]


def growth_worst_over_median(ids: int, rounds: int = 3) -> float:
    """Of batches of new ids, from none to all: the slowest over the median, each the best of
    several times that all were inserted, since others use this machine too."""
    batches = everyone(ids).split(BATCH)
    best = [float("inf")] * len(batches)
    for _ in range(rounds):
        ours, count = id_map(ids), torch.zeros((), dtype=torch.int64)
        for number, batch in enumerate(batches):
            begun = time.perf_counter()
            ours.find_or_insert(batch, count)
            best[number] = min(best[number], time.perf_counter() - begun)
    return max(best) / median(best)


def distinct(ids: int) -> dict[str, float]:
    """Ids that all differ, one after the other: every one has a slot of its own, and keeps it."""
    keys = mix(torch.arange(ids))
    ours, count = id_map(ids), torch.zeros((), dtype=torch.int64)
    begun = time.perf_counter()
    slots = torch.cat([ours.find_or_insert(part, count) for part in keys.split(BATCH)])
    took = time.perf_counter() - begun
    collisions = ids - int(torch.equal(slots, torch.arange(ids)) and ids)
    lost = int((torch.cat([ours.find(part) for part in keys.split(BATCH)]) != slots).sum())
    return {"ids": ids, "collisions": collisions, "lost": lost, "inserted_per_s": ids / took}


def _in_turns(
    ways: Ways,
    batches: torch.Tensor,
    of: Callable[[list[float]], float] = median,
) -> dict[str, float]:
    """Seconds of a batch in each way; all ways take the same batches, each after the other."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for batch in batches:
        for name, way in ways.items():
            begun = time.perf_counter()
            way(batch)
            seconds[name].append(time.perf_counter() - begun)
    return {name: of(each) for name, each in seconds.items()}
