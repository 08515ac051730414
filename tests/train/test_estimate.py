"""What ranks would hold, send and wait for, against numbers worked out by hand."""

import pytest
from rayrank.embedding.budget import row_bytes
from rayrank.errors import ConfigError
from rayrank.schema import Table
from rayrank.train.asked import Asked, Dense, Distinct
from rayrank.train.config import TrainConfig
from rayrank.train.devices import Device
from rayrank.train.estimate import (
    Moved,
    TablesHeld,
    estimate,
    exchange_s,
    tables_held,
    widths_on,
)

TABLES = {"item": Table(dim=8, capacity=1000), "city": Table(dim=4, capacity=100)}
ASKED = Asked(
    batches=9,
    looked_at=2,
    tokens=500.0,
    forward_flops=1e12,
    tables={"item": Distinct((100.0, 150.0)), "city": Distinct((50.0, 50.0))},
    dense=Dense(numbers=1000, in_blocks=600),
)
DEVICE = Device(
    tflops=100, memory_gb=1, memory_gb_per_s=1000, host_gb_per_s=100, network_gb_per_s=10
)
PLAIN = TrainConfig()


def train(**told: object) -> TrainConfig:
    return TrainConfig.model_validate(told)


def test_two_ranks() -> None:
    found = estimate(TABLES, PLAIN, ASKED, DEVICE, 2)
    # Half of all ids are another rank's: 8 bytes there, a vector back, its gradient there.
    assert found.moved.tables_sent == 0.5 * (100 * (8 + 2 * 32) + 50 * (8 + 2 * 16)) == 4600
    assert found.moved.dense_sent == 0.5 * 2 * 4 * 1000
    assert found.moved.rows_asked == 100 + 50
    # 150 and 50 distinct ones of both, half of them here.
    assert found.moved.rows_read == 75 + 25
    of_item = 100 * (64 + 2 * 32) + 75 * (32 + 2 * 36)
    of_city = 50 * (64 + 2 * 16) + 25 * (16 + 2 * 20)
    assert found.moved.memory == of_item + of_city + 7 * 4 * 1000
    assert found.dense == 16_000
    assert found.compute_s == pytest.approx(3e12 / 40e12)
    assert found.exchange_s == pytest.approx((4600 + 4000) / 50e9)
    assert found.memory_s == pytest.approx(found.moved.memory / 500e9)
    step_s = found.step_s()
    assert step_s is not None
    assert step_s > 0.075
    assert step_s - 0.075 == pytest.approx(found.exchange_s + found.memory_s, rel=1e-6)
    assert found.steps == 5


def test_batches_of_a_step_add_up() -> None:
    one, three = (estimate(TABLES, train(accumulate=n), ASKED, DEVICE, 2) for n in (1, 3))
    for what in ("tables_sent", "rows_asked", "rows_read"):
        assert getattr(three.moved, what) == 3 * getattr(one.moved, what)
    assert three.compute_s == pytest.approx(0.225)
    # Dense gradients are sent, and weights updated, once a step.
    assert three.moved.dense_sent == one.moved.dense_sent
    assert three.moved.memory - 28_000 == 3 * (one.moved.memory - 28_000)
    assert three.steps == 2


def test_layers_that_are_computed_again_take_another_forward_pass() -> None:
    assert estimate(TABLES, train(recompute=True), ASKED, DEVICE, 1).compute_s == pytest.approx(0.1)


def test_a_model_that_does_not_tell_flops_has_no_step() -> None:
    found = estimate(TABLES, PLAIN, ASKED._replace(forward_flops=None), DEVICE, 2)
    assert (found.compute_s, found.step_s()) == (None, None)
    assert found.exchange_s > 0


def test_sharded_dense_parameters() -> None:
    found = estimate(TABLES, train(dense="sharded", accumulate=3), ASKED, DEVICE, 4)
    assert found.dense == 16_000 / 4
    # In each batch all are gathered once, those of blocks twice, and all gradients shared out.
    assert found.moved.dense_sent == 0.75 * 3 * 4 * (1000 + 600 + 1000)


def test_one_rank_sends_nothing_and_more_send_ever_more_up_to_all_of_it() -> None:
    found = [estimate(TABLES, PLAIN, ASKED, DEVICE, 1 << k) for k in range(11)]
    assert (found[0].moved.tables_sent, found[0].moved.dense_sent) == (0, 0)
    assert found[0].exchange_s == 0
    for what, most in (("tables_sent", 9200), ("dense_sent", 8000)):
        sent = [getattr(of.moved, what) for of in found]
        assert sent == sorted(set(sent))
        assert most * 0.999 < sent[-1] < most


def test_links_within_a_host_and_the_network() -> None:
    # Of 15 others 7 are in the host; to the other 8 a tenth of the speed.
    tables = Moved(tables_sent=15e9, dense_sent=0, rows_asked=0, rows_read=0, memory=0)
    assert exchange_s(tables, DEVICE, 8) == pytest.approx(15 / 50)
    assert exchange_s(tables, DEVICE, 16) == pytest.approx(8 / 5)
    # A ring leaves a host by all eight ways.
    dense = tables._replace(tables_sent=0, dense_sent=10e9)
    assert exchange_s(dense, DEVICE, 8) == pytest.approx(10 / 50)
    assert exchange_s(dense, DEVICE, 16) == pytest.approx(10 / 40)
    # Links that are slower than eight ways to the network are what a ring waits for.
    assert exchange_s(dense, DEVICE._replace(network_gb_per_s=90), 16) == pytest.approx(10 / 50)


def test_one_rank_holds_what_the_tables_may() -> None:
    found = tables_held(TABLES, PLAIN, 1)
    # Maps of 2,048 and of 256 places of 12 bytes and one more; a budget counts two for each id.
    maps = 12 * (2049 - 2 * 1000) + 12 * (257 - 2 * 100)
    assert found == TablesHeld(1000 * row_bytes(8) + 100 * row_bytes(4), maps)


def test_ranks_hold_together_what_one_does_and_room_for_the_uneven() -> None:
    for ranks in (2, 4, 8):
        found = tables_held(TABLES, PLAIN, ranks)
        assert found is not None
        rows = [-(-capacity // ranks) for capacity in (1000, 100)]
        assert found.rows == sum(
            (even + even // 4 + 16) * row_bytes(dim) for even, dim in zip(rows, (8, 4), strict=True)
        )


def test_rows_are_kept_free_for_new_ids_where_tables_evict() -> None:
    told = {"max_cost": 50, "accumulate": 3, "tables": {"evict": "least_recent"}}
    found = tables_held(TABLES, train(**told), 1)
    assert found is not None
    # Two ids a token, 50 tokens, three batches.
    assert found.rows == (1000 + 300) * row_bytes(8) + (100 + 300) * row_bytes(4)


def test_more_rows_than_32_bits_count() -> None:
    vast = TABLES | {"item": Table(dim=8, capacity=1 << 32)}
    assert widths_on(vast, PLAIN, 1) is None
    found = estimate(vast, PLAIN, ASKED, DEVICE, 1)
    assert (found.tables, found.held()) == (None, None)
    held = estimate(vast, PLAIN, ASKED, DEVICE, 4).held()
    assert held is not None
    assert held > (1 << 30) * row_bytes(8)


def test_rules_of_no_table_are_a_fault_and_not_a_dash() -> None:
    with pytest.raises(ConfigError, match="not a table of the schema"):
        widths_on(TABLES, train(tables={"only": {"shop": {"priority": 1}}}), 1)
