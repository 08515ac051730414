"""What an engine tells of itself: what it did, what waits, for how long it has been busy."""

import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from rayrank.infer.bundle import load_bundle
from rayrank.infer.engine import Counts, Engine, tokens_of

from ..clusters import wait_until
from ..model.rows import table
from .bundles import USERS, trained, write


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(load_bundle(tmp_path / write(tmp_path, trained("mtgr"), "mtgr").version))


def test_what_it_did(engine: Engine) -> None:
    assert engine.counts() == Counts(0, 0, 0, 0, 0, 0, 0)
    rows = table(USERS)
    for asked in (rows, rows.slice(0, 2)):
        engine.submit(asked).result()
    tokens = tokens_of(rows) + tokens_of(rows.slice(0, 2))
    assert engine.counts() == Counts(0, 2, tokens, encoded=3, extended=0, found=2, dropped=0)
    engine.close()


def test_what_waits_and_for_how_long(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a batch is held, and none after it."""
    rows, held, score = table(USERS), threading.Event(), engine.scorer.score

    def holding(of: pa.Table) -> Any:
        held.wait(30)
        return score(of)

    monkeypatch.setattr(engine.scorer, "score", holding)
    assert engine.busy_s() == 0
    first = engine.submit(rows)
    wait_until("the first is being scored", lambda: engine.busy_s() > 0)
    before = engine.busy_s()
    second = engine.submit(rows.slice(0, 1))
    assert engine.counts().waiting_tokens == tokens_of(rows.slice(0, 1))
    wait_until("time passes", lambda: engine.busy_s() > before)
    held.set()
    first.result()
    second.result()
    engine.close()
    assert engine.busy_s() == 0
    assert engine.counts().waiting_tokens == 0


def test_a_fresh_engine_knows_what_a_batch_costs_beside_its_tokens(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch takes a tenth of a second whatever is in it: so do twenty small requests together."""
    score = engine.scorer.score

    def slow(of: pa.Table) -> Any:
        threading.Event().wait(0.1)
        return score(of)

    monkeypatch.setattr(engine.scorer, "score", slow)
    engine.warm()
    small = tokens_of(table(USERS[:1]))
    assert engine._pace.seconds(small, 1) < engine._pace.seconds(20 * small, 1) < 1.0
    engine.close()
