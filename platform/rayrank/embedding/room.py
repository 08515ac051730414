"""At the end of a step: whether tables hold more than they may, and which ids go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from rayrank.embedding.budget import TablesConfig, bytes_of, row_bytes
from rayrank.embedding.evict import FREED, All, orders, threshold
from rayrank.embedding.facts import StepTables
from rayrank.embedding.pool import Pool
from rayrank.errors import CapacityError

SWEEPS = 16
"""In the time that an id lives unseen, how often it is looked for those that are beyond theirs."""


@dataclass
class _Held:
    """Rows of a pool, and which of them stay."""

    pool: Pool
    cost: int
    stays: torch.Tensor
    """bool [rows in use]: of rows 1, 2, …"""

    @staticmethod
    def all_of(pool: Pool, cost: int = 1) -> "_Held":
        stays = torch.ones(int(pool.count), dtype=torch.bool, device=pool.device)
        return _Held(pool, cost, stays)

    def of(self, table: str | None) -> torch.Tensor:
        """bool [rows in use]: those that stay, of a table or of all."""
        if table is None or len(self.pool.tables) == 1:
            return self.stays
        rows = slice(1, len(self.stays) + 1)
        return self.stays & (self.pool.table[rows] == self.pool.tables.index(table))

    def let_go(self, which: torch.Tensor) -> None:
        """which: bool [rows in use]."""
        self.stays &= ~which

    def gone(self) -> torch.Tensor:
        """int64 ascending."""
        return (~self.stays).nonzero().flatten() + 1


class Room:
    """Of all tables on one rank; every rank decides the same."""

    def __init__(self, pools: Mapping[int, Pool], config: TablesConfig) -> None:
        """pools: by width."""
        self._pools, self._config = dict(pools), config
        told = config.budget
        in_bytes = isinstance(told, str)
        self._costs = {dim: row_bytes(dim) if in_bytes else 1 for dim in pools}
        self._budget = bytes_of(told) if isinstance(told, str) else told
        self._lives = {
            name: rules.time_to_live
            for pool in pools.values()
            for name, rules in pool.rules.items()
            if rules.time_to_live is not None
        }

    def demand(self, told: StepTables) -> None:
        """Raises CapacityError, before anything is changed, on every rank, where tables hold more
        than they may and no id is to go, or where a step brings more than there are rows for."""
        if self._config.evict == "never":
            self._demand_budget(told)
        for dim, beyond in told.beyond.items():
            if beyond:
                raise CapacityError(
                    f"tables {', '.join(self._pools[dim].tables)}: a step brings {beyond:,} ids "
                    f"more than its ranks have rows for ({self._pools[dim].rows:,} each); raise "
                    "their capacity, or lower train.max_cost"
                )

    def _demand_budget(self, told: StepTables) -> None:
        for name, facts in told.tables.items():
            if facts.ids > facts.capacity:
                raise CapacityError(
                    f"table {name!r} has met {facts.ids:,} ids and holds {facts.capacity:,}; raise "
                    f"tables.{name}.capacity in schema.yaml, or let ids go (train.tables.evict)"
                )
        if self._is_over_budget(told):
            raise CapacityError(
                f"tables hold {sum(of.ids for of in told.tables.values()):,} ids, more than "
                f"train.tables.budget: {self._config.budget}; raise it, or let ids go "
                "(train.tables.evict)"
            )

    def gone(self, step: int, told: StepTables, all_: All) -> dict[int, torch.Tensor]:
        """Width -> the rows whose ids go at the end of a step, int64 ascending. Collective in a
        step in which ids may go; in others nothing is looked at. told: of this step."""
        if self._config.half_life is not None and step and step % self._config.half_life == 0:
            for pool in self._pools.values():
                pool.sightings //= 2
        swept = {n: lives for n, lives in self._lives.items() if step % -(-lives // SWEEPS) == 0}
        full = any(facts.ids > facts.capacity for facts in told.tables.values())
        crowded = self._config.evict != "never" and (full or self._is_over_budget(told))
        if swept or crowded or any(of.waiting > of.capacity for of in told.tables.values()):
            self._tidy_waiting(step, all_)
        if not swept and not crowded:
            return {}
        held = {dim: _Held.all_of(pool, self._costs[dim]) for dim, pool in self._pools.items()}
        for of in held.values():
            for name in swept.keys() & of.pool.rules:
                last = of.pool.last[1 : len(of.stays) + 1]
                of.let_go(of.of(name) & (last <= step - swept[name]))
        if crowded:
            for of in held.values():
                for name, rules in of.pool.rules.items():
                    self._shrink(step, [_Held(of.pool, 1, of.stays)], rules.capacity, all_, name)
            if self._budget is not None:
                self._shrink(step, list(held.values()), self._budget, all_)
        return {dim: of.gone() for dim, of in held.items()}

    def _tidy_waiting(self, step: int, all_: All) -> None:
        """Ids that have a row by now wait no more; of the others there are as many as there may be
        ids in their table, those that were seen last."""
        for pool in self._pools.values():
            for name, waiting in pool.waiting.items():
                held, rules = _Held.all_of(waiting), pool.rules[name]
                seen = waiting.sightings[1 : len(held.stays) + 1]
                held.let_go(seen >= rules.admit_after)
                self._shrink(step, [held], rules.capacity, all_)
                waiting.drop(held.gone(), step)

    def _shrink(
        self,
        step: int,
        held: Sequence[_Held],
        allowed: int,
        all_: All,
        table: str | None = None,
    ) -> None:
        """Let ids of the least orders go where all together cost more than `allowed`."""
        may_go = [of.of(table) for of in held]
        spent = sum(of.cost * int(which.sum()) for of, which in zip(held, may_go, strict=True))
        over = int(all_.sum(torch.tensor([spent]))) - allowed
        if over <= 0:
            return
        frequent = self._config.evict == "least_frequent"
        every = [orders(of.pool, step, by_sightings=frequent) for of in held]
        of_those = [found[which] for found, which in zip(every, may_go, strict=True)]
        upto = threshold(of_those, [of.cost for of in held], over + allowed // FREED, all_)
        for of, found, which in zip(held, every, may_go, strict=True):
            of.let_go(which & (found <= upto))

    def _is_over_budget(self, told: StepTables) -> bool:
        if self._budget is None:
            return False
        spent = (
            told.tables[name].ids * self._costs[dim]
            for dim, pool in self._pools.items()
            for name in pool.tables
        )
        return sum(spent) > self._budget
