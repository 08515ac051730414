"""The simulated log: repeatable, causal, of known difficulty, with the truth beside it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from rayrank.data.attribution import Outcomes, attribute
from rayrank.data.config import SimulateConfig
from rayrank.data.log import tables_needed
from rayrank.data.simulate import simulate
from rayrank.errors import ConfigError
from rayrank.metrics.ranking import gauc
from rayrank.schema import load_schema

DAY_MS = 86_400_000
TABLES = ["exposures", "items", "users", "events"]


@dataclass(frozen=True)
class Simulated:
    folder: Path
    exposures: pd.DataFrame
    items: pd.DataFrame
    events: pd.DataFrame
    users: pd.DataFrame


def run(folder: Path, config: SimulateConfig) -> Simulated:
    simulate(config, folder)
    names = ("exposures", "items", "events", "users")
    frames = (pd.read_parquet(folder / f"{name}.parquet") for name in names)
    return Simulated(folder, *frames)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    return run(tmp_path_factory.mktemp("simulated") / "log", SimulateConfig(users=500))


def day_of(exposures: pd.DataFrame) -> pd.Series:
    midnight = pd.Timestamp("2026-03-02", tz="Asia/Shanghai").value // 1_000_000
    return (exposures.time_ms - midnight) // DAY_MS


def row_lengths(exposures: pd.DataFrame) -> pd.Series:
    """Clicks up to the end of each user-day, and its own exposures."""
    days = exposures.groupby(["user_id", day_of(exposures)]).click
    return days.sum().groupby("user_id").cumsum() + days.size()


def test_same_seed_same_log_other_seed_other_log(tmp_path: Path) -> None:
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        simulate(SimulateConfig(users=30, seed=seed), tmp_path / folder)
    for table in TABLES:
        a, b, c = (pq.read_table(tmp_path / folder / f"{table}.parquet") for folder in "abc")
        assert a.equals(b), table
        assert not a.equals(c), table


def test_schema_names_columns_that_exist_and_never_the_truth(log: Simulated) -> None:
    schema = load_schema(log.folder / "schema.yaml")
    columns = {t: set(pq.read_schema(log.folder / f"{t}.parquet").names) for t in TABLES}
    for table, needed in tables_needed(schema).items():
        assert set(needed) <= columns[table]
    for name, feature in schema.features.items():
        assert feature.as_of is None or feature.as_of in columns["exposures"]
        assert schema.column(name) not in {"p_click", "p_order"}
    assert len({table.dim for table in schema.tables.values()}) <= 2


@pytest.mark.parametrize("seed", [0, 1])
def test_difficulty(tmp_path: Path, seed: int) -> None:
    exposures = run(tmp_path / "log", SimulateConfig(users=500, seed=seed)).exposures
    clicks = exposures.groupby("item_id").click.cumsum() - exposures.click
    rate = (clicks + 2.5) / (exposures.groupby("item_id").cumcount() + 5)
    last = slice(int(0.8 * len(exposures)), None)
    user, click = exposures.user_id.to_numpy()[last], exposures.click.to_numpy()[last]
    oracle = gauc(user, click, exposures.p_click.to_numpy()[last])
    running = gauc(user, click, rate.to_numpy()[last])
    assert 0.70 <= oracle <= 0.85
    assert 0.2 < (running - 0.5) / (oracle - 0.5) < 0.6


def attributed_orders(log: Simulated) -> np.ndarray:
    e = log.exposures
    outcomes = attribute(
        load_schema(log.folder / "schema.yaml"),
        e.user_id.to_numpy(),
        e.item_id.to_numpy(),
        e.time_ms.to_numpy(),
        Outcomes.of_columns(
            {"click": e.click.to_numpy(np.float32)}, {"click": e.time_ms.to_numpy()}
        ),
        log.events.rename(columns={"user_id": "user", "item_id": "item"}),
        complete_until_ms=0,
    )
    return outcomes.happened["order"]


def test_truth_is_calibrated(log: Simulated) -> None:
    """Observed rates lie within four standard errors of the true ones, over all and by decile."""
    e = log.exposures
    for label, p in ((e.click, e.p_click), (pd.Series(attributed_orders(log)), e.p_order)):
        for part in (pd.Series(0, e.index), pd.qcut(p, 10, labels=False)):
            error = (label - p).groupby(part).sum()
            assert (error.abs() < 4 * np.sqrt((p * (1 - p)).groupby(part).sum())).all()


def test_rates_are_those_of_a_feed(log: Simulated) -> None:
    click_rate = log.exposures.click.mean()
    assert 0.10 < click_rate < 0.25
    assert 0.15 < attributed_orders(log).mean() / click_rate < 0.35


def test_some_orders_come_too_late(log: Simulated) -> None:
    late = 1 - attributed_orders(log).sum() / len(log.events)
    assert 0.03 < late < 0.10


def test_statistics_know_only_the_past(log: Simulated) -> None:
    """Recomputed one exposure at a time from what happened up to `stats_as_of_ms`."""
    e = log.exposures.merge(log.items[["item_id", "cuisine"]], on="item_id", how="left")
    assert (e.stats_as_of_ms < e.groupby("request_id").time_ms.transform("min")).all()
    columns = {c: e[c].to_numpy() for c in e.columns}
    users = e.groupby("user_id").size().sort_values().index[[len(e.user_id.unique()) // 2, -1]]
    for row in e[e.user_id.isin(users)].groupby("user_id").tail(150).itertuples():
        known = columns["time_ms"] <= row.stats_as_of_ms
        mine = known & (columns["user_id"] == row.user_id)
        cuisine = columns["click"][mine & (columns["cuisine"] == row.cuisine)]
        pair = columns["click"][mine & (columns["item_id"] == row.item_id)]
        item = columns["click"][known & (columns["item_id"] == row.item_id)]
        assert row.user_cuisine_count == len(cuisine)
        assert row.user_cuisine_ctr == pytest.approx((cuisine.sum() + 1) / (len(cuisine) + 6))
        assert row.user_item_clicks == pair.sum()
        assert row.item_count == len(item)
        assert row.item_ctr == pytest.approx((item.sum() + 1) / (len(item) + 6))


def test_sessions_and_slates(log: Simulated) -> None:
    e = log.exposures.merge(log.items[["item_id", "cuisine"]], on="item_id", how="left")
    assert e.time_ms.is_monotonic_increasing
    assert not e.duplicated(["user_id", "time_ms"]).any()
    assert not e.duplicated(["request_id", "cuisine"]).any()
    slates = e.groupby("request_id")
    assert slates.size().between(6, 12).all()
    assert (slates.user_id.nunique() == 1).all()
    assert (slates.cumcount() == e.position).all()
    assert ((slates.time_ms.max() - slates.time_ms.min()) < 5 * 60_000).all()
    session = (e.groupby("user_id").time_ms.diff() > 30 * 60_000).groupby(e.user_id).cumsum()
    assert not pd.DataFrame({"u": e.user_id, "s": session, "i": e.item_id}).duplicated().any()
    per_day = session.groupby([e.user_id, day_of(e)]).nunique()
    assert per_day.between(1, 3).all()
    local = pd.to_datetime(e.time_ms, unit="ms", utc=True).dt.tz_convert("Asia/Shanghai")
    assert (local.dt.hour == e.hour).all()
    assert day_of(e).min() == 0


def test_rows_have_the_mean_asked_for_and_a_long_tail(log: Simulated) -> None:
    lengths = row_lengths(log.exposures)
    assert lengths.mean() == pytest.approx(60, rel=0.05)
    assert lengths.quantile(0.99) > 4 * lengths.mean()
    assert lengths.median() < 0.8 * lengths.mean()


def test_long_rows_and_their_cap(tmp_path: Path) -> None:
    log = run(tmp_path / "log", SimulateConfig(users=60, mean_length=600, max_length=2000))
    lengths = row_lengths(log.exposures)
    assert lengths.mean() == pytest.approx(600, rel=0.05)
    assert 1990 <= lengths.max() <= 2000


def test_mean_length_out_of_reach(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"mean_length: .* 1 days .* found 2000"):
        simulate(SimulateConfig(users=50, days=1, mean_length=2000), tmp_path / "log")


def test_a_whole_log_is_left_alone_and_a_cut_one_made_whole(tmp_path: Path) -> None:
    log = tmp_path / "log"
    simulate(SimulateConfig(users=10, seed=1), log)
    whole = {path: path.read_bytes() for path in log.iterdir()}
    simulate(SimulateConfig(users=10, seed=2), log)
    assert {path: path.read_bytes() for path in log.iterdir()} == whole

    (log / "schema.yaml").unlink()  # the last one to be written
    (log / "events.parquet").write_bytes(b"half of it")
    simulate(SimulateConfig(users=10, seed=1), log)
    assert {path: path.read_bytes() for path in log.iterdir()} == whole


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="disk full"):
        simulate(SimulateConfig(users=10), tmp_path / "log")
    assert list(tmp_path.iterdir()) == []


def test_the_world_is_the_one_whose_figures_are_shown(tmp_path: Path) -> None:
    """The README's tables are of this log: whoever changes the world makes them anew."""
    world = run(tmp_path, SimulateConfig(users=120, days=3, seed=3))
    exposures = world.exposures
    assert (len(exposures), int(exposures["click"].sum()), len(world.events)) == (15312, 2841, 874)
    means = exposures[
        ["item_id", "position", "hour", "distance_km", "user_cuisine_ctr", "p_click", "p_order"]
    ].mean()
    expected = [199.17522, 4.23674, 16.38369, 4.47985, 0.1778, 0.18362, 0.05558]
    assert means.round(5).tolist() == expected
    assert world.items[["price", "rating"]].mean().round(5).tolist() == [35.8325, 4.20325]
    assert world.users[["age", "is_member"]].mean().round(5).tolist() == [41.7, 0.25833]
