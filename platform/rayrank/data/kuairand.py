"""KuaiRand's published files, or any log with its column names, as a rayrank data set.

"KuaiRand: An Unbiased Sequential Recommendation Dataset with Randomly Exposed Videos",
Gao et al., CIKM 2022.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from rayrank.data.running import running_counts, smoothed
from rayrank.data.whole import whole_folder
from rayrank.errors import DataError

LABELS = ("is_click", "long_view")
NEEDED = ("user_id", "video_id", "time_ms", "hourmin", "play_time_ms", "duration_ms", *LABELS)
# What a viewer did, next to the labels; the sets published differ in which of these they have.
ACTIONS = ("is_like", "is_follow", "is_comment", "is_forward", "is_hate", "is_profile_enter")
USER_COLUMNS = (
    "user_active_degree",
    "follow_user_num_range",
    "fans_user_num_range",
    "friend_user_num_range",
    "register_days_range",
)
VIDEO_COLUMNS = ("author_id", "video_type", "upload_type", "music_type")


def convert(source: Path, out: Path) -> None:
    """Read a file, or a folder with `log*.csv|tsv` (and KuaiRand's user and video feature files,
    where they are there), and write generic Parquet and its schema to the folder `out`.

    Candidates get the running click and long-view rates of their user and video, over exposures
    whose outcome was known strictly before. Raises DataError naming the file and the column.
    """
    exposures = _exposures(source)
    users = _features(source, "user_features", "user_id", USER_COLUMNS)
    videos = _features(source, "video_features_basic", "video_id", VIDEO_COLUMNS)
    with whole_folder(out) as writing:
        exposures.to_parquet(writing / "exposures.parquet", index=False)
        if users is not None:
            users.to_parquet(writing / "users.parquet", index=False)
        if videos is not None:
            videos.to_parquet(writing / "items.parquet", index=False)
        content = schema_of(exposures, users, videos)
        (writing / "schema.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def _exposures(source: Path) -> pd.DataFrame:
    logs = (
        [source]
        if source.is_file()
        else sorted(file for pattern in ("log*.csv", "log*.tsv") for file in source.glob(pattern))
    )
    if not logs:
        raise DataError(f"{source}: expected a log file, or a folder with log*.csv or log*.tsv")
    parts = []
    for file in logs:
        part = _read(file)
        for column in NEEDED:
            if column not in part:
                raise DataError(f"{file}: no column {column!r}; it has {', '.join(part.columns)}")
        if part.empty:
            raise DataError(f"{file}: empty; expected at least one exposure")
        for column in NEEDED:
            numbers = pd.to_numeric(part[column], errors="coerce")
            # Some published files leave the duration of a few videos out.
            numbers = numbers.fillna(0) if column == "duration_ms" else numbers
            if numbers.isna().any():
                row = int(numbers.isna().argmax())
                raise DataError(
                    f"{file}: column {column!r}: row {row} holds "
                    f"{part[column][row]!r}, expected a number"
                )
            part[column] = numbers.astype(np.int64)
        parts.append(part)
    log = pd.concat(parts, ignore_index=True).sort_values("time_ms", kind="stable")
    actions = [column for column in ACTIONS if column in log]
    log = log[[*NEEDED, *actions]].reset_index(drop=True)
    log[actions] = log[actions].fillna(0).astype(np.int64)

    time, watched = log["time_ms"].to_numpy(), log["play_time_ms"].to_numpy()
    # Nobody knows how long it was watched before the watching has ended.
    log["known_ms"] = time + np.maximum(watched, 0)
    log["hour"] = log["hourmin"] // 100
    log["watched_share"] = np.clip(watched / np.maximum(log["duration_ms"], 1000), 0, 3)
    log["known_before_ms"] = time
    for key in ("user", "video"):
        for label in LABELS:
            positives, count = running_counts(
                log[f"{key}_id"].to_numpy(), time, log["known_ms"].to_numpy(), log[label].to_numpy()
            )
            log[f"{key}_{label}_rate"] = smoothed(positives, count)
        log[f"{key}_count"] = count
    return log.drop(columns="hourmin")


def _read(file: Path) -> pd.DataFrame:
    header = file.open().readline()
    if not header.strip():
        raise DataError(f"{file}: empty; expected a line of column names")
    return pd.read_csv(file, sep="\t" if "\t" in header else ",")


def _features(source: Path, prefix: str, key: str, columns: tuple[str, ...]) -> pd.DataFrame | None:
    files = sorted(source.glob(f"{prefix}*.csv")) if source.is_dir() else []
    if not files:
        return None
    table = pd.concat([_read(file) for file in files]).drop_duplicates(key)
    if key not in table:
        raise DataError(f"{files[0]}: no column {key!r}; it has {', '.join(table.columns)}")
    # Ids beside missing values are read as floats: make them integers again.
    return table[[key, *(column for column in columns if column in table)]].convert_dtypes()


def schema_of(
    exposures: pd.DataFrame, users: pd.DataFrame | None, videos: pd.DataFrame | None
) -> dict[str, Any]:
    """The content of `schema.yaml` for what was read."""
    tables: dict[str, Any] = {"video": {"dim": 16}, "user": {"dim": 16}, "hour": {"dim": 16}}
    features: dict[str, Any] = {
        "user_id": {"tokens": ["profile"], "kind": "id", "table": "user"},
        "video_id": {"tokens": ["behaviour", "candidate"], "kind": "id", "table": "video"},
        "hour": {"tokens": ["candidate"], "kind": "id", "table": "hour"},
        "duration_ms": {
            "tokens": ["behaviour", "candidate"],
            "kind": "number",
            "transform": "log1p",
        },
        "play_time_ms": {"tokens": ["behaviour"], "kind": "number", "transform": "log1p"},
        "watched_share": {"tokens": ["behaviour"], "kind": "number"},
    }
    for label in (*LABELS, *(action for action in ACTIONS if action in exposures)):
        features[label] = {"tokens": ["behaviour"], "kind": "number"}
    for key in ("user", "video"):
        as_of = {"as_of": "known_before_ms", "tokens": ["candidate"], "kind": "number"}
        for label in LABELS:
            features[f"{key}_{label}_rate"] = dict(as_of)
        features[f"{key}_count"] = as_of | {"transform": "log1p"}
    for source, table, tokens in (
        ("users", users, ["profile"]),
        ("items", videos, ["behaviour", "candidate"]),
    ):
        for column in [] if table is None else list(table.columns[1:]):
            tables[column] = {"dim": 16}
            features[column] = {
                "tokens": tokens,
                "source": source,
                "kind": "id",
                "table": column,
                "default": -1,
            }
    outcomes = {"play_time_ms", "watched_share", *(a for a in ACTIONS if a in exposures)}
    return {
        "name": "kuairand",
        "user": "user_id",
        "item": "video_id",
        "time": "time_ms",
        "time_unit": "ms",
        "timezone": "Asia/Shanghai",
        "known_at": "known_ms",
        "outcomes": sorted(outcomes),
        "tables": tables,
        "features": features,
        "tasks": {"is_click": {"label": "is_click"}, "long_view": {"label": "long_view"}},
    }
