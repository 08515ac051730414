"""What tables did over an epoch, for a person: which ids went, and which got no row."""

from collections.abc import Mapping

from rayrank.embedding.facts import TableFacts


class Tally:
    """Of the steps since the last `take`."""

    def __init__(self) -> None:
        self._sums: dict[str, list[int]] = {}
        self._last: dict[str, TableFacts] = {}
        self._told = False

    def add(self, tables: Mapping[str, TableFacts]) -> str | None:
        """Of a step. What is to be said at once: that ids have begun to go."""
        self._last = dict(tables)
        for name, of in tables.items():
            new = [of.asked, of.inserted, of.refused, of.evicted]
            before = self._sums.get(name, [0] * len(new))
            self._sums[name] = [a + b for a, b in zip(before, new, strict=True)]
        gone = [f"{of.evicted:,} of {name}" for name, of in tables.items() if of.evicted]
        if not gone or self._told:
            return None
        self._told = True
        return f"ids of tables begin to go (train.tables): {', '.join(gone)}"

    def take(self) -> str | None:
        """What is to be said at the end of an epoch, of tables of which ids went or were refused a
        row; None where there is none."""
        said = []
        for name, (asked, inserted, refused, evicted) in self._sums.items():
            if evicted or refused:
                of = self._last[name]
                waiting = f", {of.waiting:,} wait" if of.waiting else ""
                said.append(
                    f"{name}: {of.ids:,} ids of {of.capacity:,}{waiting}; {inserted:,} came, "
                    f"{evicted:,} went, {refused / asked:.1%} of lookups got no row, "
                    f"{1 - (inserted + refused) / asked:.1%} were there"
                )
        self._sums = {}
        return "tables in this epoch: " + "; ".join(said) if said else None
