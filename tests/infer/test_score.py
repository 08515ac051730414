"""Scores of tables are those of the user rows that the builder would make of them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
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

from ..data.logs import DAY, HOUR, START, Records, logs, ordered, searched, shop_schema, shown
from ..data.reference import outcomes
from ..effort import examples
from ..model.rankers import tables_with_rows
from .bundles import REFERENCE

CONFIGS: dict[str, ModelConfig] = {
    "mtgr": MTGRConfig(size=None, layers=2, d_model=32, heads=2, attention_length=4),
    "dlrm": DLRMConfig(hidden=[16]),
}
SCHEMA = shop_schema({f"sequences.{name}.keep": 3 for name in ("views", "clicks", "orders")})
Tables = dict[str, pa.Table]
COLUMNS = ["u", "i", "t", "ctr"]
"""All that candidates of the shop must have."""


@cache
def bundle(kind: str = "mtgr") -> Bundle:
    """A ranker of the shop with random weights, as a bundle holds it."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    ids: IdTypes = dict.fromkeys(["city", "i", "cat", "tags", "click", "query"], "integer")
    manifest = Manifest(
        format=3,
        version="",
        ranker=kind,
        schema_={},
        model={},
        id_types=ids,
        ranges={},
        reference=REFERENCE,
        metrics={},
        made_from={},
        trained_steps=0,
        sha256={},
    )
    ranker = build_model(SCHEMA, CONFIGS[kind], tables_with_rows(SCHEMA), {}).eval()
    return Bundle(manifest, SCHEMA, ranker)


def sequences_of(log: Records) -> Tables:
    """What the log says its users did, a table for each sequence."""
    exposures = sorted(log.exposures, key=lambda e: (e["u"], e["t"]))
    found = outcomes(SCHEMA, exposures, log.events)["order"]
    bought = [
        exposure | {"known_at": order.known_at}
        for exposure, order in zip(exposures, found, strict=True)
        if order.label
    ]
    return {
        "views": Records(exposures).table("exposures"),
        "clicks": Records([e for e in exposures if e["click"]]).table("exposures"),
        "buys": Records(bought).table("exposures", {"known_at": pa.int64()}),
        "orders": log.table("events"),
        "searches": log.table("searches"),
    }


def scored(
    lines: list[int], log: Records, sequences: Tables | None, kind: str = "mtgr"
) -> np.ndarray:
    """P [candidates, tasks] of some of the log's exposures."""
    candidates = shown_in(log, lines)
    table = score(
        bundle(kind),
        candidates,
        sequences=sequences,
        users=log.table("users"),
        items=log.table("items"),
    )
    assert table.column_names == [*COLUMNS, "p.click", "p.order"]
    assert table.select(COLUMNS).equals(candidates)
    return np.column_stack([table["p.click"].to_numpy(), table["p.order"].to_numpy()])


def shown_in(log: Records, lines: list[int]) -> pa.Table:
    return log.table("exposures").select(COLUMNS).take(pa.array(lines, pa.int64()))


@settings(deadline=None, max_examples=examples(60))
@given(logs(), st.sampled_from(list(CONFIGS)), st.data())
def test_scores_are_those_of_the_builders_rows(
    log: Records, kind: str, data: st.DataObject
) -> None:
    """Bit for bit where lines come as the builder sorts them; of several users and days at once."""
    one = bundle(kind)
    built = build_rows(log.tables(), one.schema, [])
    with torch.inference_mode():
        batch = to_jagged(built.rows, one.schema)
        expected = one.ranker.predictions(one.ranker(batch)).numpy()
    exposures, sequences = log.exposures, sequences_of(log)
    lines = sorted(range(len(exposures)), key=lambda e: (exposures[e]["u"], exposures[e]["t"]))
    assert np.array_equal(scored(lines, log, sequences, kind), expected)

    of_line = np.empty_like(expected)
    of_line[lines] = expected
    mixed = data.draw(st.permutations(lines))
    found = scored(mixed, log, sequences, kind)
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
    searches=[searched(2, 7, START + DAY)],
)
ALL = list(range(5))


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_user_and_a_day_are_scored_alike_in_any_company(kind: str) -> None:
    sequences = sequences_of(LOG)
    together = scored(ALL, LOG, sequences, kind)
    for lines in ([0], [1, 2], [3], [4], [4, 0], [2, 1, 3]):
        alone = scored(lines, LOG, sequences, kind)
        np.testing.assert_allclose(alone, together[lines], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", CONFIGS)
def test_of_behaviours_only_ones_own_and_those_known_before_count(kind: str) -> None:
    first, sequences = [0, 1, 2], sequences_of(LOG)
    alone = scored(first, LOG, sequences, kind)
    views = sequences["views"]

    def seeing(views: pa.Table) -> np.ndarray:
        return scored(first, LOG, sequences | {"views": views}, kind)

    assert np.array_equal(seeing(views.filter(pa.compute.equal(views["u"], 1))), alone)
    late = Records([shown(1, 3, START + DAY + 9 * HOUR)]).table("exposures")
    assert np.array_equal(seeing(pa.concat_tables([views, late])), alone)
    early = Records([shown(1, 3, START + DAY + 8 * HOUR)]).table("exposures")
    seen = seeing(pa.concat_tables([views, early]))
    np.testing.assert_allclose(seen[:2], alone[:2], rtol=1e-5, atol=1e-7)
    assert (np.abs(seen[2] - alone[2]) > 1e-4).all()


def test_every_sequence_counts_and_none_is_an_empty_table_too() -> None:
    sequences, without = sequences_of(LOG), scored(ALL, LOG, None)
    empty = {name: table.slice(0, 0) for name, table in sequences.items()}
    assert np.array_equal(scored(ALL, LOG, empty), without)
    frame = pd.DataFrame(columns=sequences["views"].column_names)  # which knows no types
    typeless = {"views": pa.Table.from_pandas(frame)}
    assert np.array_equal(scored(ALL, LOG, typeless), without)
    for name in ("views", "clicks", "searches"):
        assert len(sequences[name])
        one = scored(ALL, LOG, {name: sequences[name]})
        assert not np.allclose(one, without, rtol=1e-3), name


def test_nothing_to_score() -> None:
    assert scored([], LOG, None).shape == scored([], LOG, sequences_of(LOG)).shape == (0, 2)


def test_pandas_and_arrow_are_alike() -> None:
    candidates, sequences = shown_in(LOG, ALL), sequences_of(LOG)
    users, items = LOG.table("users"), LOG.table("items")
    expected = score(bundle(), candidates, sequences=sequences, users=users, items=items)
    frame = candidates.to_pandas().set_index(pd.Index(list("edcba")))
    found = score(
        bundle(),
        frame,
        sequences={name: table.to_pandas() for name, table in sequences.items()},
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
        (without("views", "u"), "views: no column 'u'; it has"),
        (without("views", "t"), "views: no column 't'; it has"),
        (without("views", "k"), "views: no column 'k'; it has"),
        (without("views", "watched"), "views: no column 'watched'; it has"),
        (without("clicks", "k"), "clicks: no column 'k'; it has"),
        (without("buys", "known_at"), "buys: no column 'known_at'; it has"),
        (without("orders", "i"), "orders: no column 'i'; it has"),
        (without("searches", "at"), "searches: no column 'at'; it has"),
        (without("searches", "seen"), "searches: no column 'seen'; it has"),
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
            holding("views", "click", ["yes"] * 5),
            "views: column 'click': its ids are of type string",
        ),
        (holding("candidates", "ctr", ["much"] * 5), "candidates: column 'ctr': expected numbers"),
        (holding("candidates", "t", [1] * 5), "column 't': row 0 holds 1, which in ms"),
        (holding("candidates", "ctr", [0.5, None] * 2 + [0.5]), "candidates: column 'ctr': row"),
        (holding("searches", "seen", [START]), "searches: column 'seen' says that an outcome was"),
        (holding("users", "u", [1, 1]), "users: column 'u': a key occurs twice"),
    ],
)
def test_what_does_not_fit_is_named(change: Change, message: str) -> None:
    # A log whose user buys, so that there is something of every sequence.
    log = replace(LOG, events=[ordered(1, 1, START + 2 * HOUR)])
    tables = change(
        {
            **sequences_of(log),
            "candidates": shown_in(log, ALL),
            "users": log.table("users"),
            "items": log.table("items"),
        }
    )
    told = {name: tables.pop(name, None) for name in ("candidates", "users", "items")}
    with pytest.raises(DataError) as fault:
        score(bundle(), **told, sequences=tables)
    assert message in str(fault.value)


def test_an_index_is_no_column() -> None:
    frame = shown_in(LOG, ALL).to_pandas().set_index(pd.Index(list("edcba"))).drop(columns="ctr")
    with pytest.raises(DataError, match=r"candidates: no column .ctr.; it has u, i, t$"):
        score(bundle(), frame, users=LOG.table("users"), items=LOG.table("items"))


def test_a_sequence_of_no_schema_is_named() -> None:
    with pytest.raises(DataError, match="no sequence 'carts'; the schema has views, clicks, buys"):
        score(bundle(), shown_in(LOG, ALL), sequences={"carts": LOG.table("events")})
