"""Pools and what makes room in them, against `budgets`: random steps, any policy."""

import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.embedding.budget import TableRules, TablesConfig, rules_of
from rayrank.embedding.evict import All, threshold
from rayrank.embedding.evict import orders as orders_of
from rayrank.embedding.facts import counts_of, facts_of
from rayrank.embedding.hashing import mix
from rayrank.errors import CapacityError
from torch._C._distributed_c10d import HashStore

from ..effort import examples
from .budgets import Budgeted
from .held import CPU, TABLES, Held, Saved

ROOT = Path(__file__).parents[2]

STEPS = st.lists(
    st.fixed_dictionaries({name: st.lists(st.integers(0, 60), max_size=20) for name in TABLES}),
    min_size=1,
    max_size=25,
)
OWN = st.builds(
    TableRules,
    capacity=st.none() | st.integers(1, 20) | st.just("1KiB"),
    admit_after=st.none() | st.integers(1, 3),
    time_to_live=st.none() | st.integers(1, 40),
    priority=st.integers(0, 7),
)
CONFIGS = st.builds(
    TablesConfig,
    budget=st.none() | st.integers(1, 60) | st.sampled_from(["1KiB", "3KB"]),
    evict=st.sampled_from(["least_recent", "least_frequent"]),
    half_life=st.none() | st.integers(1, 6),
    admit_after=st.integers(1, 3),
    time_to_live=st.none() | st.integers(1, 20),
    only=st.dictionaries(st.sampled_from(list(TABLES)), OWN, max_size=2),
)


@pytest.fixture(scope="module", autouse=True)
def one_rank() -> Iterator[None]:
    dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@settings(max_examples=examples(300), deadline=None)
@given(config=CONFIGS, steps=STEPS)
def test_who_goes(config: TablesConfig, steps: list[dict[str, list[int]]]) -> None:
    held = Held(config)
    dims = {name: table.dim for name, table in TABLES.items()}
    expected = Budgeted(dims, held.rules, config)
    for asked in steps:
        keys = {n: mix(torch.tensor(of, dtype=torch.int64)).tolist() for n, of in asked.items()}
        assert held.take(asked) == expected.take(keys)
        assert held.content() == expected.held


class World:
    """So many ranks, a process each."""

    def __init__(self, size: int, folder: Path) -> None:
        here = [sys.executable, "-m", "tests.embedding.held"]
        self.ranks = [
            subprocess.Popen(
                [*here, str(rank), str(size), str(folder / f"meeting-{size}")],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for rank in range(size)
        ]

    def all(self, what: str, *told: object) -> list[Any]:
        """What every rank answers."""
        for rank in self.ranks:
            assert rank.stdin is not None
            pickle.dump((what, told if what != "new" else told[0]), rank.stdin)
            rank.stdin.flush()
        return [pickle.load(rank.stdout) for rank in self.ranks if rank.stdout]


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, World]]:
    folder = tmp_path_factory.mktemp("worlds")
    worlds = {size: World(size, folder) for size in (1, 2, 3)}
    yield worlds
    for world in worlds.values():
        for rank in world.ranks:
            rank.communicate()  # it ends with its input
            assert rank.returncode == 0


def together(of_ranks: list[dict[str, Any]]) -> dict[str, Any]:
    """Sets or dicts of every rank, which have nothing in common, by table."""
    found = dict(of_ranks[0])
    for of in of_ranks[1:]:
        for name, told in of.items():
            assert not set(told) & set(found[name])
            found[name] = found[name] | told
    return found


@settings(max_examples=examples(40), deadline=None)
@given(config=CONFIGS, stays=st.lists(st.tuples(st.sampled_from([1, 2, 3]), STEPS), max_size=4))
def test_who_goes_in_worlds_that_change(
    worlds: dict[int, World], config: TablesConfig, stays: list[tuple[int, Any]]
) -> None:
    """Each goes on with what the one before had saved."""
    dims = {name: table.dim for name, table in TABLES.items()}
    expected = Budgeted(dims, rules_of(TABLES, config), config)
    saved: list[Saved] = []
    for size, steps in stays:
        world = worlds[size]
        world.all("new", config)
        world.all("load", saved)
        for asked in steps:
            keys = {n: mix(torch.tensor(of, dtype=torch.int64)).tolist() for n, of in asked.items()}
            assert together(world.all("take", asked)) == expected.take(keys)
        assert together(world.all("content")) == expected.held
        saved = world.all("save")


def ids(*of_item: int) -> dict[str, list[int]]:
    return {"item": list(of_item), "tag": [], "city": []}


def sizes(held: Held) -> int:
    return len(held.content()["item"])


def test_the_least_recent_go_until_a_sixteenth_is_free() -> None:
    own = TableRules(capacity=32)
    held = Held(TablesConfig(evict="least_recent", only={"item": own}))
    for one in range(32):
        assert held.take(ids(one))["item"] == set()
    held.take(ids(0, 1))
    assert held.take(ids(100))["item"] == set(mix(torch.tensor([2, 3, 4])).tolist())
    assert sizes(held) == 30


def test_what_was_seen_often_stays() -> None:
    own = TableRules(capacity=3)
    held = Held(TablesConfig(evict="least_frequent", only={"item": own}))
    for asked in (ids(1, 2), ids(1, 2), ids(3), ids(4)):
        gone = held.take(asked)["item"]
    assert gone == set(mix(torch.tensor([3])).tolist()), "of two seen once the older one"


def test_an_id_seen_once_has_no_row() -> None:
    held = Held(TablesConfig(evict="least_recent", admit_after=2))
    (pool, _) = held.pools[8], held.pools[4]
    key = mix(torch.tensor([7]))
    assert pool.seen_in(0, "item", key).tolist() == [0]
    assert pool.seen_in(0, "item", key).tolist() == [0], "the same step"
    assert pool.seen_in(1, "item", key).tolist() == [1]
    told = facts_of([pool], [8], counts_of([pool])).tables["item"]
    assert (told.ids, told.asked, told.inserted, told.refused) == (1, 3, 1, 2)
    assert told.hit_rate == 0


def test_an_id_that_went_waits_anew() -> None:
    config = TablesConfig(
        evict="least_recent", admit_after=2, only={"item": TableRules(capacity=1)}
    )
    held = Held(config)
    for asked in (ids(1), ids(1), ids(2), ids(2), ids(1)):
        held.take(asked)
    assert set(held.content()["item"]) == set(mix(torch.tensor([2])).tolist())


def test_without_a_policy_the_end_of_a_table_is_an_error() -> None:
    held = Held(TablesConfig())
    with pytest.raises(CapacityError, match="table 'item' has met 25 ids and holds 24"):
        held.take(ids(*range(25)))


def test_more_new_ids_than_there_is_room_for() -> None:
    held = Held(TablesConfig(evict="least_recent"), new_ids=5)
    with pytest.raises(CapacityError, match="tables item, tag: a step brings 55 ids more"):
        held.take(ids(*range(100)))


def test_more_ids_than_have_room_to_wait() -> None:
    held = Held(TablesConfig(evict="least_recent", admit_after=2), new_ids=5)
    with pytest.raises(CapacityError, match="tables item, tag: a step brings 55 ids more"):
        held.take(ids(*range(100)))


def test_recency_is_told_apart_after_any_number_of_steps() -> None:
    """A table that has trained for years: of the last 2^24 steps all differ."""
    held, now = Held(TablesConfig(evict="least_recent")), (1 << 30) + 7
    pool = held.pools[8]
    pool.seen_in(0, "item", mix(torch.arange(4)))
    pool.last[1:5] = torch.tensor([now - 1, now, now - (1 << 24) + 2, now - (1 << 25)]).int()
    assert orders_of(pool, now, by_sightings=False).argsort().tolist() == [3, 2, 0, 1]


@settings(max_examples=examples(200), deadline=None)
@given(
    orders=st.lists(
        st.lists(st.integers(0, 40) | st.integers(0, (1 << 63) - 1), max_size=40),
        min_size=1,
        max_size=3,
    ).filter(any),
    share=st.floats(0, 1),
)
def test_the_threshold(orders: list[list[int]], share: float) -> None:
    costs = [1, 7, 20][: len(orders)]
    each = sorted((one, cost) for of, cost in zip(orders, costs, strict=True) for one in of)
    excess = max(1, int(share * sum(cost for _, cost in each)))
    upto = threshold(
        [torch.tensor(of, dtype=torch.int64) for of in orders], costs, excess, All(CPU)
    )
    spent = {one: sum(cost for other, cost in each if other <= one) for one, _ in each}
    assert upto == min(one for one, cost in spent.items() if cost >= excess)
