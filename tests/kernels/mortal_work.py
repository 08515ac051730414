"""Work for other processes, in a module of its own: to import torch in each would take seconds."""

import os


def mortal_work(job: int) -> str | None:
    """Kills its process for multiples of 5, and says no to 7."""
    if job % 5 == 0:
        os._exit(1)
    return "no sevens" if job == 7 else None
