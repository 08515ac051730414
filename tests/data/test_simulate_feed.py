"""The simulated feed: repeatable, exact, and moved by what its world says moves it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from rayrank.data import simulate_feed_world as rules
from rayrank.data.config import SimulateConfig
from rayrank.data.log import Log, tables_needed
from rayrank.data.partition import build_rows
from rayrank.data.simulate import simulate
from rayrank.data.simulate_feed_world import Feed, cooled, draw_feed, propensity
from rayrank.evaluate.baselines import oracle
from rayrank.evaluate.candidates import candidate_table
from rayrank.metrics.ranking import gauc
from rayrank.schema import load_schema

DAY_MS = 86_400_000
TRUTH = {"p_click", "p_like", "propensity"}


def told(**sizes: float) -> SimulateConfig:
    return SimulateConfig.model_validate(
        {"world": "feed", "users": 400, "items": 1000, "days": 8, "mean_length": 40} | sizes
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("feed") / "log"
    simulate(told(), out)
    return out


@pytest.fixture(scope="module")
def shown(folder: Path) -> pd.DataFrame:
    table: pd.DataFrame = pq.read_table(folder / "exposures.parquet").to_pandas()
    return table


def day_of(shown: pd.DataFrame) -> pd.Series:
    return (shown.time_ms - pd.Timestamp("2026-03-02", tz="Asia/Shanghai").value // 10**6) // DAY_MS


def small_feed(items: int = 360) -> Feed:
    return draw_feed(np.random.default_rng(0), users=300, items=items, days=60)


def test_same_seed_same_log_other_seed_other_log(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        simulate(told(users=30, items=400, seed=seed), tmp_path / name)
    for table in ("exposures", "items", "users", "events"):
        a, b, c = (pq.read_table(tmp_path / name / f"{table}.parquet") for name in "abc")
        assert a.equals(b), table
        assert not a.equals(c), table


def test_schema_names_columns_that_exist_and_never_the_truth(folder: Path) -> None:
    schema = load_schema(folder / "schema.yaml")
    for table, needed in tables_needed(schema).items():
        assert set(needed) <= set(pq.read_schema(folder / f"{table}.parquet").names) - TRUTH


def test_truth_is_calibrated(shown: pd.DataFrame) -> None:
    """Observed rates lie within four standard errors of the true ones: over all, by decile, where
    it stood, on each day and at each hour."""
    for label, p in ((shown.click, shown.p_click), (shown.like, shown.p_like)):
        deciles = pd.qcut(p, 10, labels=False)
        for part in (0 * deciles, deciles, shown.position, day_of(shown), shown.hour):
            error = (label - p).groupby(part).sum()
            assert (error.abs() < 4 * np.sqrt((p * (1 - p)).groupby(part).sum())).all()


def test_truth_is_calibrated_after_every_behaviour(shown: pd.DataFrame, folder: Path) -> None:
    """It is that given the past: so too where the user's last hour holds a click, a like, a save,
    and where it holds none."""
    saves = pq.read_table(folder / "events.parquet").to_pandas()
    for done in (shown[shown.click == 1], shown[shown.like == 1], saves):
        last = pd.merge_asof(
            shown[["user_id", "stats_as_of_ms", "click", "p_click"]].sort_values("stats_as_of_ms"),
            done[["user_id", "time_ms"]].sort_values("time_ms"),
            left_on="stats_as_of_ms",
            right_on="time_ms",
            by="user_id",
        )
        recent = last.stats_as_of_ms - last.time_ms < 3_600_000
        assert recent.sum() > 1000
        error = (last.click - last.p_click).groupby(recent).sum()
        spread = np.sqrt((last.p_click * (1 - last.p_click)).groupby(recent).sum())
        assert (error.abs() < 4 * spread).all()


def test_a_click_is_a_look_and_an_attraction(shown: pd.DataFrame) -> None:
    """What is shown does not depend on where it stands, so neither does what it attracts."""
    assert np.array_equal(shown.propensity, propensity(shown.position.to_numpy()))
    assert propensity(np.arange(3)).tolist() == [1.0, 2**-0.2, 3**-0.2]
    attraction = shown.p_click / shown.propensity
    assert attraction.between(0, 1).all()
    by_position = attraction.groupby(shown.position).agg(["mean", "sem"])
    off = (by_position["mean"] - attraction.mean()).abs()
    assert (off < 4 * by_position["sem"]).all()


def test_interests_come_go_and_come_back() -> None:
    feed = small_feed()
    own = np.zeros(feed.wish.shape[1:], bool)
    for user, (topics, several) in enumerate(zip(feed.interests, feed.several, strict=True)):
        own[user, topics[:several]] = True
        assert len(set(topics)) == rules.INTERESTS[1]
    on = feed.wish > 0
    assert not on[:, ~own].any()
    days = on[:, own]  # [days, interests of all users]
    assert days.mean() == pytest.approx(rules.RETURNS / (rules.RETURNS + rules.ENDS), abs=0.02)
    assert (~days[1:])[days[:-1]].mean() == pytest.approx(rules.ENDS, abs=0.02)
    assert days[1:][~days[:-1]].mean() == pytest.approx(rules.RETURNS, abs=0.02)


def test_an_interest_has_its_time_of_day() -> None:
    feed = small_feed()
    day, user, topic = (a[0] for a in np.nonzero(feed.wish))
    item = np.flatnonzero(feed.topics[:, 0] == topic)[:1]
    feed.share[item] = [1, 0]
    best = feed.part[user, topic]
    wanted = [
        feed.wanted(*(np.array([a]) for a in (user, [item[0]], day, part)))[0, 0]
        for part in range(rules.PARTS)
    ]
    wish = feed.wish[day, user, topic]
    assert wanted[best] == pytest.approx(wish * (1 + rules.RHYTHM))
    assert np.mean(wanted) == pytest.approx(wish)
    assert np.argmax(wanted) == best


@pytest.mark.parametrize(
    ("looked", "click", "like", "save", "expected"),
    [
        (0, 0, 0, 0, 0.4),
        (1, 0, 0, 0, 0.4 + rules.PASSED),
        (1, 1, 0, 0, 0.4 + rules.CLICKED),
        (1, 1, 1, 0, 0.4 + rules.CLICKED + rules.LIKED),
        (1, 1, 1, 1, rules.SPENT),
    ],
)
def test_heat(looked: int, click: int, like: int, save: int, expected: float) -> None:
    feed = small_feed()
    feed.share[0] = [1, 0]
    topic = feed.topics[0, 0]
    onward = feed.leads_to[topic]
    assert onward != topic
    outcomes = (np.array([[bool(of)]]) for of in (looked, click, like, save))
    before = np.full((1, rules.TOPICS), 0.4)
    heat = feed.after(before.copy(), np.array([[0]]), *outcomes)[0]
    assert heat[topic] == pytest.approx(expected)
    assert heat[onward] == pytest.approx(0.4 + rules.LEADS_ON * click)
    others = np.delete(heat, [topic, onward])
    assert others.tolist() == [0.4] * len(others)


def test_a_save_ends_what_the_same_slate_began_and_heat_has_bounds() -> None:
    feed = small_feed()
    items = np.flatnonzero(feed.topics[:, 0] == feed.topics[0, 0])[None, :8]
    feed.share[items] = [1, 0]
    click, save = np.ones(items.shape, bool), np.zeros(items.shape, bool)
    heat = np.zeros((1, rules.TOPICS))
    assert feed.after(heat, items, click, click, click, save).max() == rules.HOTTEST
    save[0, 0] = True
    feed.after(heat, items, click, click, click, save)
    assert heat[0, feed.topics[0, 0]] == rules.SPENT


def test_heat_and_cold_fade() -> None:
    heat = np.array([[2.0, -1.0], [2.0, -1.0], [2.0, -1.0]])
    hours = np.array([0.0, 1.0, 2.0]) * rules.HALF_LIFE_H
    assert cooled(heat, hours).tolist() == [[2, -1], [1, -0.5], [0.5, -0.25]]


def test_new_items_arrive(shown: pd.DataFrame) -> None:
    popularity = small_feed(items=2000).popularity
    there = popularity > 0
    assert (there[1:] >= there[:-1]).all()  # nobody leaves
    assert 0.6 < there[0].mean() < 0.7
    assert there[-1].all()
    first = day_of(shown).groupby(shown.item_id).min()
    assert (first >= 4).mean() > 0.1


def test_content_and_channel_tell_the_topic_and_nothing_else_does(folder: Path) -> None:
    feed = draw_feed(np.random.default_rng(0), 400, 1000, 8)
    content = np.stack(pq.read_table(folder / "items.parquet")["content"].to_numpy())
    assert content.shape == (1000, rules.CONTENT)
    topic = feed.topics[:, 0]
    middle = np.stack([content[topic == t].mean(0) for t in range(rules.TOPICS)])
    nearest = np.linalg.norm(content[:, None] - middle, axis=2).argmin(1)
    assert (nearest == topic).mean() > 0.9
    filed = pq.read_table(folder / "items.parquet")["channel"].to_numpy()
    # The other topic of an item may be its main one again.
    share = 1 - rules.MISFILED * (1 - 1 / rules.TOPICS)
    assert (filed == topic).mean() == pytest.approx(share, abs=4 * (0.13 / 1000) ** 0.5)
    names = ["item_id", "author_id", "channel", "content"]
    assert pq.read_schema(folder / "items.parquet").names == names


def test_statistics_know_only_the_past(shown: pd.DataFrame, folder: Path) -> None:
    """Recomputed one exposure at a time from what happened up to `stats_as_of_ms`."""
    authors = pq.read_table(folder / "items.parquet")["author_id"].to_numpy()
    columns = {c: shown[c].to_numpy() for c in ("user_id", "item_id", "time_ms", "click")}
    author = authors[columns["item_id"]]
    assert (shown.stats_as_of_ms < shown.groupby("request_id").time_ms.transform("min")).all()
    for at in np.random.default_rng(0).integers(0, len(shown), 300):
        row = shown.iloc[at]
        known = columns["time_ms"] <= row.stats_as_of_ms
        user, item = columns["user_id"] == row.user_id, columns["item_id"] == row.item_id
        for name, of in (("user", user), ("item", item)):
            clicks, count = columns["click"][known & of].sum(), (known & of).sum()
            assert row[f"{name}_count"] == count
            assert row[f"{name}_ctr"] == pytest.approx((clicks + 1) / (count + 6))
        pair = known & user & (author == author[at])
        assert row.user_author_clicks == columns["click"][pair].sum()
        assert row.user_author_count == pair.sum()


def test_slates_and_lengths(shown: pd.DataFrame) -> None:
    assert not shown.duplicated(["request_id", "item_id"]).any()
    assert not shown.duplicated(["user_id", "time_ms"]).any()
    slates = shown.groupby("request_id")
    assert slates.size().between(1, 12).all()
    assert slates.size().mean() > 8.5
    assert (slates.user_id.nunique() == 1).all()
    assert (slates.cumcount() == shown.position).all()
    local = pd.to_datetime(shown.time_ms, unit="ms", utc=True).dt.tz_convert("Asia/Shanghai")
    assert (local.dt.hour == shown.hour).all()
    days = shown.groupby(["user_id", day_of(shown)]).click
    lengths = days.sum().groupby("user_id").cumsum() + days.size()
    assert lengths.mean() == pytest.approx(40, rel=0.1)


def test_long_rows_are_cut(tmp_path: Path) -> None:
    simulate(told(users=40, items=400, mean_length=200, max_length=400), tmp_path / "log")
    shown = pq.read_table(tmp_path / "log" / "exposures.parquet").to_pandas()
    days = shown.groupby(["user_id", day_of(shown)]).click
    longest = (days.sum().groupby("user_id").cumsum() + days.size()).max()
    assert 350 < longest <= 400


def test_the_oracle_knows_and_running_rates_do_not(folder: Path, shown: pd.DataFrame) -> None:
    log, schema = Log(str(folder)), load_schema(folder / "schema.yaml")
    tables = {table: log.read(table, columns) for table, columns in tables_needed(schema).items()}
    rows = build_rows(tables, schema, split_times_ms=[]).rows
    candidates = candidate_table(rows, schema, None)
    assert len(candidates) == len(shown)
    user, users = candidates["user"].to_numpy(), shown.user_id.to_numpy()
    scores = oracle(log, schema, candidates)
    best, rate = {}, {}
    for task in ("click", "like"):
        label = candidates[f"label.{task}"].to_numpy()
        assert scores[task].sum() == pytest.approx(shown[f"p_{task}"].sum())
        best[task] = gauc(user, label, scores[task])
        rate[task] = gauc(users, shown[task].to_numpy(), shown.item_ctr.to_numpy())
    assert 0.75 < best["click"] < 0.85
    assert best["like"] > best["click"]
    for task in ("click", "like"):
        assert 0.05 < (rate[task] - 0.5) / (best[task] - 0.5) < 0.4
