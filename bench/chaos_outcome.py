"""What a scenario found, and what of it is not as asked."""

from rayrank.strict import Strict

from bench.chaos_load import Counts


class Outcome(Strict):
    """Of a scenario in which no request may fail."""

    asked: Counts

    def faults(self) -> list[str]:
        """Counts that are not what they must be; none where all is well."""
        return failures(self.asked)


def failures(found: Counts) -> list[str]:
    """A line, where any request failed."""
    return [f"{found.failures} failures: {found.statuses}"] if found.failures else []
