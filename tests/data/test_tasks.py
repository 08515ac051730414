"""What a build says of a task that failed."""

import os
import signal

import pytest
from rayrank.data.tasks import task, values_of
from rayrank.errors import DataError

pytestmark = pytest.mark.usefixtures("ray_cluster")


def faulty(number: int) -> int:
    if number % 2:
        raise DataError(f"fault {number}")
    return number


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_values_come_in_order_and_the_first_fault_as_it_was_raised() -> None:
    run = task(faulty, "faulty")
    assert list(values_of([run.remote(n) for n in (4, 2)], "")) == [4, 2]
    with pytest.raises(DataError, match=r"^fault 3$"):
        list(values_of([run.remote(n) for n in (2, 3, 1)], ""))


def test_of_several_values_the_first_is_the_fault() -> None:
    first, second = task(faulty, "faulty", returns=2).remote(5)
    with pytest.raises(DataError, match=r"^fault 5$"):
        list(values_of([first], ""))
    assert list(values_of([second], "")) == [None]


def test_a_worker_that_is_killed_is_not_tried_again() -> None:
    with pytest.raises(DataError, match="lost with its worker or node; run the build again"):
        list(values_of([task(killed, "killed").remote()], ""))
