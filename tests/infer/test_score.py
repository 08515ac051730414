"""Scores of tables are those of the user rows that the builder would make of them."""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.data.ids import IdTypes
from rayrank.data.jagged import to_jagged
from rayrank.data.partition import build_rows
from rayrank.errors import DataError
from rayrank.infer.bundle import Bundle, Manifest
from rayrank.infer.score import score
from rayrank.model.build import build_model
from rayrank.model.dlrm import DLRMConfig
from rayrank.model.mtgr import MTGRConfig
from rayrank.model.ranker import ModelConfig

from ..data.logs import DAY, HOUR, START, Record, Records, logs, shop_schema, shown
from ..data.reference import outcomes
from ..model.rankers import tables_with_rows

CONFIGS: dict[str, ModelConfig] = {
    "mtgr": MTGRConfig(size=None, layers=2, d_model=32, heads=2, attention_length=4),
    "dlrm": DLRMConfig(hidden=[16]),
}
SELECTIONS: list[Record | None] = [None, {"behaviours": "click"}, {"behaviours": "order"}]
COLUMNS = ["u", "i", "t", "ctr"]
"""All that candidates of the shop must have."""


@cache
def bundle(kind: str = "mtgr", selection: int = 0) -> Bundle:
    """A ranker of the shop with random weights, as a bundle holds it."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    schema = shop_schema(SELECTIONS[selection])
    ids: IdTypes = dict.fromkeys(["city", "i", "cat", "tags", "click"], "integer")
    manifest = Manifest(
        format=2,
        version="",
        ranker=kind,
        schema_={},
        model={},
        seed=0,
        max_history=3,
        id_types=ids,
        metrics={},
        made_from={},
        trained_steps=0,
        sha256={},
    )
    ranker = build_model(schema, CONFIGS[kind], tables_with_rows(schema), {}).eval()
    return Bundle(manifest, schema, ranker)


def behaviours_of(log: Records, selection: int) -> pa.Table:
    """What the log says its users did: exposures, with their outcomes and when those were known."""
    schema = shop_schema(SELECTIONS[selection])
    exposures = sorted(log.exposures, key=lambda e: (e["u"], e["t"]))
    found = outcomes(schema, exposures, log.events)
    did = [
        exposure | {"order": order.label, "k": max(exposure["k"], order.known_at)}
        for row, (exposure, order) in enumerate(zip(exposures, found["order"], strict=True))
        if schema.behaviours is None or found[schema.behaviours][row].label
    ]
    return Records(exposures=did).table("exposures", {"order": pa.int64()})


def scored(
    lines: list[int],
    log: Records,
    behaviours: pa.Table | None,
    kind: str = "mtgr",
    selection: int = 0,
) -> np.ndarray:
    """P [candidates, tasks] of some of the log's exposures."""
    candidates = shown_in(log, lines)
    table = score(
        bundle(kind, selection),
        candidates,
        behaviours=behaviours,
        users=log.table("users"),
        items=log.table("items"),
    )
    assert table.column_names == [*COLUMNS, "p.click", "p.order"]
    assert table.select(COLUMNS).equals(candidates)
    return np.column_stack([table["p.click"].to_numpy(), table["p.order"].to_numpy()])


def shown_in(log: Records, lines: list[int]) -> pa.Table:
    return log.table("exposures").select(COLUMNS).take(pa.array(lines, pa.int64()))


@settings(deadline=None, max_examples=60)
@given(logs(), st.sampled_from(list(CONFIGS)), st.integers(0, len(SELECTIONS) - 1), st.data())
def test_scores_are_those_of_the_builders_rows(
    log: Records, kind: str, selection: int, data: st.DataObject
) -> None:
    """Bit for bit where lines come as the builder sorts them; of several users and days at once."""
    one = bundle(kind, selection)
    built = build_rows(log.tables(), one.schema, [], one.manifest.max_history)
    with torch.inference_mode():
        batch = to_jagged(built.rows, one.schema)
        expected = one.ranker.probabilities(one.ranker(batch)).numpy()
    exposures, behaviours = log.exposures, behaviours_of(log, selection)
    lines = sorted(range(len(exposures)), key=lambda e: (exposures[e]["u"], exposures[e]["t"]))
    assert np.array_equal(scored(lines, log, behaviours, kind, selection), expected)

    of_line = np.empty_like(expected)
    of_line[lines] = expected
    mixed = data.draw(st.permutations(lines))
    found = scored(mixed, log, behaviours, kind, selection)
    np.testing.assert_allclose(found, of_line[mixed], rtol=1e-5, atol=1e-7)


# Two users, two days; the first user's second day has a behaviour in the morning.
LOG = Records(
    exposures=[
        shown(1, 1, START + HOUR, click=1),
        shown(1, 2, START + DAY + HOUR),
        shown(1, 3, START + DAY + 9 * HOUR),
        shown(2, 2, START + 2 * HOUR, click=1, watched=0.75),
        shown(2, 1, START + DAY + 3 * HOUR),
    ],
    users=[{"u": 1, "city": 3, "age": 30}, {"u": 2, "city": 4, "age": 20}],
    items=[{"i": i, "cat": i, "tags": [i, 5], "price": 0.5 * i} for i in (1, 2, 3)],
)
ALL = list(range(5))


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_user_and_a_day_are_scored_alike_in_any_company(kind: str) -> None:
    behaviours = behaviours_of(LOG, 0)
    together = scored(ALL, LOG, behaviours, kind)
    for lines in ([0], [1, 2], [3], [4], [4, 0], [2, 1, 3]):
        alone = scored(lines, LOG, behaviours, kind)
        np.testing.assert_allclose(alone, together[lines], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", CONFIGS)
def test_of_behaviours_only_ones_own_and_those_known_before_count(kind: str) -> None:
    first = [0, 1, 2]
    behaviours = behaviours_of(LOG, 0)
    alone = scored(first, LOG, behaviours, kind)
    own = behaviours.filter(pa.compute.equal(behaviours["u"], 1))
    assert np.array_equal(scored(first, LOG, own, kind), alone)
    late = pa.Table.from_pylist(
        [shown(1, 3, START + DAY + 9 * HOUR) | {"order": 1}], schema=behaviours.schema
    )
    assert np.array_equal(scored(first, LOG, pa.concat_tables([behaviours, late]), kind), alone)
    early = late.set_column(3, "k", pa.array([START + DAY + 8 * HOUR]))
    early = early.set_column(2, "t", pa.array([START + DAY + 8 * HOUR]))
    seen = scored(first, LOG, pa.concat_tables([behaviours, early]), kind)
    np.testing.assert_allclose(seen[:2], alone[:2], rtol=1e-5, atol=1e-7)
    assert (np.abs(seen[2] - alone[2]) > 1e-4).all()


def test_no_behaviours_are_an_empty_table_too() -> None:
    without = scored(ALL, LOG, None)
    behaviours = behaviours_of(LOG, 0)
    assert np.array_equal(scored(ALL, LOG, behaviours.slice(0, 0)), without)
    frame = pd.DataFrame(columns=behaviours.column_names)  # which knows no types
    assert np.array_equal(scored(ALL, LOG, pa.Table.from_pandas(frame)), without)
    assert not np.allclose(scored(ALL, LOG, behaviours), without, rtol=0.01)


def test_nothing_to_score() -> None:
    assert scored([], LOG, None).shape == scored([], LOG, behaviours_of(LOG, 0)).shape == (0, 2)


def test_pandas_and_arrow_are_alike() -> None:
    candidates, behaviours = shown_in(LOG, ALL), behaviours_of(LOG, 0)
    users, items = LOG.table("users"), LOG.table("items")
    expected = score(bundle(), candidates, behaviours=behaviours, users=users, items=items)
    frame = candidates.to_pandas().set_index(pd.Index(list("edcba")))
    found = score(
        bundle(),
        frame,
        behaviours=behaviours.to_pandas(),
        users=users.to_pandas(),
        items=items.to_pandas(),
    )
    assert isinstance(found, pd.DataFrame)
    assert list(found.columns) == expected.column_names
    assert list(found.index) == list("edcba")
    assert found["p.click"].dtype == np.float32
    for task in ("p.click", "p.order"):
        assert np.array_equal(found[task], expected[task])
    assert list(frame.columns) == COLUMNS


Tables = dict[str, pa.Table]
Change = Callable[[Tables], Tables]


def without(table: str, column: str) -> Change:
    return lambda tables: tables | {table: tables[table].drop_columns([column])}


def holding(table: str, column: str, values: Sequence[object]) -> Change:
    def change(tables: Tables) -> Tables:
        place = tables[table].column_names.index(column)
        return tables | {table: tables[table].set_column(place, column, pa.array(values))}

    return change


def missing(table: str) -> Change:
    return lambda tables: {name: t for name, t in tables.items() if name != table}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("candidates", "u"), "candidates: no column 'u'; it has i, t, ctr"),
        (without("candidates", "i"), "candidates: no column 'i'; it has"),
        (without("candidates", "t"), "candidates: no column 't'; it has"),
        (without("candidates", "ctr"), "candidates: no column 'ctr'; it has"),
        (without("behaviours", "u"), "behaviours: no column 'u'; it has"),
        (without("behaviours", "t"), "behaviours: no column 't'; it has"),
        (without("behaviours", "k"), "behaviours: no column 'k'; it has"),
        (without("behaviours", "watched"), "behaviours: no column 'watched'; it has"),
        (without("users", "u"), "users: no column 'u'; it has city, age"),
        (without("users", "age"), "users: no column 'age'; it has u, city"),
        (without("items", "cat"), "items: no column 'cat'; it has"),
        (missing("users"), "users: not given, and feature 'city' is there"),
        (missing("items"), "items: not given, and feature 'cat' is there"),
        (
            holding("candidates", "i", ["one"] * 5),
            "candidates: column 'i': its ids are of type string, those that the ranker learned "
            "integer: they would never meet",
        ),
        (
            holding("behaviours", "click", ["yes"] * 5),
            "behaviours: column 'click': its ids are of type string",
        ),
        (holding("candidates", "ctr", ["much"] * 5), "candidates: column 'ctr': expected numbers"),
        (holding("candidates", "t", [1] * 5), "t: row 0 holds 1, which in ms lies outside"),
        (holding("candidates", "ctr", [0.5, None] * 2 + [0.5]), "candidates: column 'ctr': row"),
        (holding("users", "u", [1, 1]), "users: column 'u': a key occurs twice"),
    ],
)
def test_what_does_not_fit_is_named(change: Change, message: str) -> None:
    tables = change(
        {
            "candidates": shown_in(LOG, ALL),
            "behaviours": behaviours_of(LOG, 0),
            "users": LOG.table("users"),
            "items": LOG.table("items"),
        }
    )
    with pytest.raises(DataError) as fault:
        score(bundle(), **tables)
    assert message in str(fault.value)
