"""What a GPU sets aside for ids is what its maps and pools take."""

import pytest
from rayrank.embedding.budget import SLOT_BYTES, Rules, Width
from rayrank.embedding.id_map_triton import TritonIdMap
from rayrank.embedding.on_gpu import ID_BYTES, beyond_budget, map_bytes
from rayrank.embedding.pool import Pool

PLAIN = Rules(capacity=100, admit_after=1, time_to_live=None, priority=0)


@pytest.mark.parametrize("rows", [1, 2, 1000, 1024, 1025])
def test_a_map_takes_what_is_said(rows: int) -> None:
    assert TritonIdMap(rows, "cpu").bytes() == map_bytes(rows)


def test_a_pool_keeps_of_an_id_what_is_said() -> None:
    pool = Pool(["a"], 1000, {"a": PLAIN})
    # Row 0 is nobody's.
    assert pool.bytes() - pool.maps["a"].bytes() == ID_BYTES * 1001


def test_every_table_has_a_map_of_all_rows_of_its_width() -> None:
    one = beyond_budget([Width(8, ("a",), 1000)], {"a": PLAIN})
    three = beyond_budget([Width(8, ("a", "b", "c"), 1000)], dict.fromkeys("abc", PLAIN))
    assert one == 12 * 2049 + 1000 * 18 - 1000 * SLOT_BYTES
    assert three == one + 2 * 12 * 2049


def test_ids_that_wait_have_a_map_and_all_that_is_kept_of_an_id() -> None:
    width, waits = Width(8, ("a", "b"), 1000), PLAIN._replace(admit_after=2)
    without = beyond_budget([width], {"a": PLAIN, "b": PLAIN})
    assert beyond_budget([width], {"a": waits, "b": PLAIN}) == without + 12 * 2049 + 1000 * 18
