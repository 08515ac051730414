"""The ids that one rank holds of the tables of one width, and what is known of each."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch

from rayrank.embedding.budget import Rules
from rayrank.embedding.gone import STATE as GONE
from rayrank.embedding.gone import Gone
from rayrank.embedding.id_map import EMPTY, id_map
from rayrank.embedding.tables import ShardRows
from rayrank.errors import CapacityError

NEVER = -1
"""The step of an id that was not seen."""


class Moved(NamedTuple):
    """How rows closed up after ids had gone; what belongs to a row goes with it."""

    source: torch.Tensor
    """int64 [m]: these rows went …"""
    target: torch.Tensor
    """int64 [m]: … to these, in whose place an id had gone."""
    freed: slice
    """Rows that no id has any more, the last ones."""


class Pool:
    """Rows 1, 2, … are ids of one or several tables, in the order in which they came, and closed up
    where some have gone; row 0 is everything that has no row.

    A step is told what it looked up as it goes (`seen_in`), and nothing waits for the device.
    """

    def __init__(
        self,
        tables: Sequence[str],
        rows: int,
        rules: Mapping[str, Rules],
        device: torch.device | str = "cpu",
    ) -> None:
        """rows: at most, beside row 0."""
        self.tables, self.rows, self.device = tuple(tables), rows, torch.device(device)
        self.rules = {name: rules[name] for name in tables}
        self.maps = {name: id_map(rows, device) for name in tables}
        self.waiting = {
            name: Pool([name], rows, {name: rules[name]._replace(admit_after=1)}, device)
            for name in tables
            if rules[name].admit_after > 1
        }
        """Ids that have not been seen often enough for a row, of each table that asks for it."""
        self.keys = torch.zeros(rows + 1, dtype=torch.int64, device=device)
        self.table = torch.zeros(rows + 1, dtype=torch.int16, device=device)
        self.last = torch.full((rows + 1,), NEVER, dtype=torch.int32, device=device)
        """The step in which the id was last seen."""
        self.sightings = torch.zeros(rows + 1, dtype=torch.int32, device=device)
        """The steps in which it was seen."""
        self.count = torch.zeros((), dtype=torch.int64, device=device)
        """Of ids that have a row, or would have one if there were more."""
        self.sizes = torch.zeros(len(self.tables), dtype=torch.int64, device=device)
        """Of them, each table's."""
        self.inserted = torch.zeros_like(self.sizes)
        self.refused = torch.zeros_like(self.sizes)
        """Since they were last told (`facts.counts_of`), like `asked` and `evicted`."""
        self.asked, self.evicted = [0] * len(self.tables), [0] * len(self.tables)
        self.gone = {name: Gone() for name in self.tables}

    def of_table(self, name: str, rows: torch.Tensor) -> torch.Tensor:
        """bool [n]: which rows are ids of a table."""
        return self.table[rows] == self.tables.index(name)

    def find(self, name: str, keys: torch.Tensor) -> torch.Tensor:
        """The row of each key, int64 [n]; 0 for one that has none."""
        return self.maps[name].find(keys) - EMPTY

    def seen_in(self, step: int, name: str, keys: torch.Tensor) -> torch.Tensor:
        """The row of each key, int64 [n], of which a step looks up the vectors to train them: new
        ids get one, unless they have not been seen in enough steps; those have row 0."""
        of, before = self.tables.index(name), self.count.clone()
        admitted = None
        if name in self.waiting:
            admitted = self._admitted(step, name, keys)
        slots = self.maps[name].find_or_insert(keys, self.count, admitted)
        rows = self._see(step, name, keys, slots)
        self.sizes[of] += self.count - before
        self.inserted[of] += self.count - before
        self.refused[of] += (rows == 0).sum()
        self.asked[of] += len(keys)
        return rows

    def _admitted(self, step: int, name: str, keys: torch.Tensor) -> torch.Tensor:
        """Bool [n]: which keys have a row, or have been seen often enough for one."""
        there, waiting = self.maps[name].find(keys) != EMPTY, self.waiting[name]
        slots = waiting.maps[name].find_or_insert(keys, waiting.count, ~there)
        rows = waiting._see(step, name, keys, torch.where(there, EMPTY, slots))
        return there | (waiting.sightings[rows] >= self.rules[name].admit_after)

    def _see(self, step: int, name: str, keys: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
        """Write down in which rows a step has seen keys; the row of each, int64 [n]."""
        # Beyond its end an id has none: who reads `count` says so, once a step.
        rows = torch.where(slots >= self.rows, 0, slots - EMPTY)
        self.keys[rows] = keys
        self.table[rows] = self.tables.index(name)
        # An id that comes several times in a step is written as often, and always the same.
        self.sightings[rows] += (self.last[rows] != step).to(torch.int32)
        self.last[rows] = step
        return rows

    def drop(self, gone: torch.Tensor, step: int) -> Moved:
        """Forget the ids of rows `gone`, int64 [k], distinct and ascending; the last rows take
        their places. The host waits."""
        count = int(self.count)
        left = count - len(gone)
        for of, name in enumerate(self.tables):
            mine = gone[self.table[gone] == of]
            keys = self.keys[mine]
            self.maps[name].remove(keys)
            self.gone[name].add(keys, step)
            self.sizes[of] -= len(mine)
            self.evicted[of] += len(mine)
        stays = torch.ones(len(gone), dtype=torch.bool, device=self.device)
        stays[gone[gone > left] - left - 1] = False
        source = torch.arange(left + 1, count + 1, device=self.device)[stays]
        target = gone[gone <= left]
        for of, name in enumerate(self.tables):
            mine = self.table[source] == of
            self.maps[name].assign(self.keys[source[mine]], target[mine] + EMPTY)
        moved = Moved(source, target, slice(left + 1, count + 1))
        for values, fresh in (
            (self.keys, 0),
            (self.table, 0),
            (self.last, NEVER),
            (self.sightings, 0),
        ):
            values[target] = values[source]
            values[moved.freed] = fresh
        self.count.fill_(left)
        return moved

    def load(self, rows: Mapping[str, ShardRows]) -> dict[str, torch.Tensor]:
        """Take in ids of some of the tables, distinct ones that are not there, in the order of
        their `row`; table -> the row of each here. Raises CapacityError where they are too many."""
        order = torch.cat([part.row for part in rows.values()]).argsort(stable=True)
        first = int(self.count) + 1
        self._demand_rows(first - 1 + len(order))
        to = torch.empty_like(order)
        to[order] = torch.arange(first, first + len(order))
        sizes, found = [len(part.keys) for part in rows.values()], dict[str, torch.Tensor]()
        for (name, held), at in zip(rows.items(), to.split(sizes), strict=True):
            part, found[name] = held.to(self.device), at.to(self.device)
            self._take(name, part.keys, found[name], part.last, part.sightings)
        return found

    def _take(
        self,
        name: str,
        keys: torch.Tensor,
        rows: torch.Tensor,
        last: torch.Tensor,
        sightings: torch.Tensor,
    ) -> None:
        ids, of = self.maps[name], self.tables.index(name)
        ids.find_or_insert(keys, torch.zeros_like(self.count))
        ids.assign(keys, rows + EMPTY)
        self.keys[rows], self.table[rows] = keys, of
        self.last[rows], self.sightings[rows] = last, sightings
        self.sizes[of] += len(keys)
        self.count += len(keys)

    def _demand_rows(self, wanted: int) -> None:
        if wanted > self.rows:
            raise CapacityError(
                f"tables {', '.join(self.tables)}: {wanted:,} ids on one rank, which has "
                f"{self.rows:,} rows for them; raise their capacity, or train.tables.budget"
            )

    def aside(self) -> dict[str, torch.Tensor]:
        """What is kept of ids without a row: `TABLE/waiting/keys` and so on, and of those that
        went (`gone`); on the CPU."""
        told = {}
        for name, waiting in self.waiting.items():
            used = slice(1, int(waiting.count) + 1)
            for what in ("keys", "last", "sightings"):
                told[f"{name}/waiting/{what}"] = getattr(waiting, what)[used].to("cpu", copy=True)
        for name in self.tables:
            told |= {f"{name}/gone/{what}": of for what, of in self.gone[name].state().items()}
        return told

    def load_aside(
        self, told: Mapping[str, torch.Tensor], mine: Callable[[torch.Tensor], torch.Tensor]
    ) -> None:
        """Take in what a rank's `aside` gave, or the part of it whose keys are `mine`."""
        for name in self.tables:
            keys = told.get(f"{name}/waiting/keys")
            if name in self.waiting and keys is not None:
                waiting, own = self.waiting[name], mine(keys)
                first = int(waiting.count) + 1
                waiting._demand_rows(first - 1 + int(own.sum()))
                last, sightings = (told[f"{name}/waiting/{of}"] for of in ("last", "sightings"))
                rows = torch.arange(first, first + int(own.sum()))
                waiting._take(
                    name,
                    *(of.to(self.device) for of in (keys[own], rows, last[own], sightings[own])),
                )
            if f"{name}/gone/keys" in told:
                keys, steps, since = (told[f"{name}/gone/{of}"] for of in GONE)
                self.gone[name].load(keys[mine(keys)], steps[mine(keys)], int(since))

    def bytes(self) -> int:
        """Of memory, beside the rows' vectors."""
        own = sum(v.nbytes for v in (self.keys, self.table, self.last, self.sightings))
        maps = sum(of.bytes() for of in self.maps.values())
        return own + maps + sum(of.bytes() for of in self.waiting.values())
