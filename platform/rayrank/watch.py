"""How long work says how far it is: it calls a `Watch`, and a caller draws a bar, or does not."""

from collections.abc import Callable

Watch = Callable[[int, int], None]
"""Called with how much is done, and of how much."""
