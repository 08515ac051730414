"""What tables with a budget hold, as docs/tables.md says it, with dicts and sorting."""

from dataclasses import dataclass, field

from rayrank.embedding.budget import Rules, TablesConfig, bytes_of, row_bytes

Ids = dict[int, list[int]]
"""Key -> the step in which it was last seen, the number of steps in which it was."""


@dataclass
class Budgeted:
    """All tables of one process."""

    dims: dict[str, int]
    rules: dict[str, Rules]
    config: TablesConfig
    held: dict[str, Ids] = field(default_factory=dict)
    waiting: dict[str, Ids] = field(default_factory=dict)
    step: int = 0

    def __post_init__(self) -> None:
        self.held = {name: {} for name in self.dims}
        self.waiting = {name: {} for name in self.dims}

    def take(self, asked: dict[str, list[int]]) -> dict[str, set[int]]:
        """One step, which looks up these keys; the keys that go at its end."""
        for name, keys in asked.items():
            for key in dict.fromkeys(keys):
                self._see(name, key)
        gone = self._end()
        self.step += 1
        return gone

    def _see(self, name: str, key: int) -> None:
        held, waiting = self.held[name], self.waiting[name]
        wanted = self.rules[name].admit_after
        if key not in held and wanted > 1:
            _, times = waiting.get(key, (0, 0))
            waiting[key] = [self.step, times + 1]
            if times + 1 < wanted:
                return
        _, times = held.get(key, (0, 0))
        held[key] = [self.step, times + 1]

    def _end(self) -> dict[str, set[int]]:
        config, gone = self.config, {name: set[int]() for name in self.dims}
        if config.half_life and self.step and self.step % config.half_life == 0:
            for held in self.held.values():
                for told in held.values():
                    told[1] //= 2
        crowded = config.evict != "never" and self._is_crowded()
        swept = [name for name in self.dims if self._is_swept(name)]
        full = (len(ids) > self.rules[name].capacity for name, ids in self.waiting.items())
        if crowded or swept or any(full):
            self._tidy_waiting()
        for name in swept:
            lives = self.rules[name].time_to_live
            assert lives is not None
            gone[name] |= {k for k, t in self.held[name].items() if t[0] <= self.step - lives}
        if crowded:
            self._make_room(gone)
        for name, keys in gone.items():
            for key in keys:
                del self.held[name][key]
        return gone

    def _tidy_waiting(self) -> None:
        frequent = self.config.evict == "least_frequent"
        for name, waiting in self.waiting.items():
            rules = self.rules[name]
            for key in [k for k, told in waiting.items() if told[1] >= rules.admit_after]:
                del waiting[key]
            over = len(waiting) - rules.capacity
            if over > 0:
                order = {(name, k): self._order(name, k, t, frequent) for k, t in waiting.items()}
                costs = dict.fromkeys(order, 1)
                for _, key in self._least(order, costs, over + rules.capacity // 16):
                    del waiting[key]

    def _make_room(self, gone: dict[str, set[int]]) -> None:
        budget = self.config.budget
        for name, rules in self.rules.items():
            self._shrink(gone, [name], {name: 1}, rules.capacity)
        if isinstance(budget, str):
            costs = {name: row_bytes(dim) for name, dim in self.dims.items()}
            self._shrink(gone, list(self.dims), costs, bytes_of(budget))
        elif budget is not None:
            self._shrink(gone, list(self.dims), dict.fromkeys(self.dims, 1), budget)

    def _is_crowded(self) -> bool:
        budget, sizes = self.config.budget, {name: len(ids) for name, ids in self.held.items()}
        if isinstance(budget, str):
            over = sum(row_bytes(self.dims[n]) * s for n, s in sizes.items()) > bytes_of(budget)
        else:
            over = budget is not None and sum(sizes.values()) > budget
        return over or any(size > self.rules[name].capacity for name, size in sizes.items())

    def _is_swept(self, name: str) -> bool:
        lives = self.rules[name].time_to_live
        return lives is not None and self.step % max(1, -(-lives // 16)) == 0

    def _order(self, name: str, key: int, told: list[int], frequent: bool) -> tuple[int, ...]:
        last, times = told
        return (self.rules[name].priority, times if frequent else 0, last, (key >> 8) % (1 << 20))

    def _shrink(
        self, gone: dict[str, set[int]], names: list[str], costs: dict[str, int], allowed: int
    ) -> None:
        frequent = self.config.evict == "least_frequent"
        order = {
            (name, key): self._order(name, key, told, frequent)
            for name in names
            for key, told in self.held[name].items()
            if key not in gone[name]
        }
        of = {(name, key): costs[name] for name, key in order}
        over = sum(of.values()) - allowed
        if over > 0:
            for name, key in self._least(order, of, over + allowed // 16):
                gone[name].add(key)

    @staticmethod
    def _least(
        order: dict[tuple[str, int], tuple[int, ...]],
        costs: dict[tuple[str, int], int],
        excess: int,
    ) -> list[tuple[str, int]]:
        """Of the least orders, until they cost `excess` together; with all of the last order."""
        found: list[tuple[str, int]] = []
        for one in sorted(order, key=lambda one: order[one]):
            if excess <= 0 and order[one] != order[found[-1]]:
                break
            found.append(one)
            excess -= costs[one]
        return found
