"""KuaiRand's published files, or any log with its column names, as a rayrank data set.

"KuaiRand: An Unbiased Sequential Recommendation Dataset with Randomly Exposed Videos",
Gao et al., CIKM 2022.
"""

from typing import Any

import numpy as np
import pandas as pd
import yaml

from rayrank.data.running import running_counts, smoothed
from rayrank.errors import DataError
from rayrank.storage import AnyPath, files_in, new_folder, reading_file

USERS, VIDEOS = "user_features*.csv", "video_features_basic*.csv"
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


def convert(source: AnyPath, out: AnyPath) -> None:
    """Read a file, or a folder with `log*.csv|tsv` (and KuaiRand's user and video feature files,
    where they are there), and write generic Parquet and, last, its schema to the folder `out`.

    Candidates get the running click and long-view rates of their user and video, over exposures
    whose outcome was known strictly before. Raises DataError naming the file and the column.
    """
    exposures = _exposures(_logs(source))
    users = _features(_files(source, USERS), "user_id", USER_COLUMNS)
    videos = _features(_files(source, VIDEOS), "video_id", VIDEO_COLUMNS)
    with new_folder(out.parent) as writing:
        exposures.to_parquet(writing.path / "exposures.parquet", index=False)
        if users is not None:
            users.to_parquet(writing.path / "users.parquet", index=False)
        if videos is not None:
            videos.to_parquet(writing.path / "items.parquet", index=False)
        content = schema_of(exposures, users, videos)
        (writing.path / "schema.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        writing.publish(out, last="schema.yaml")


def source_files(source: AnyPath) -> list[AnyPath]:
    """Every file that `convert` reads. Raises DataError where there is no log."""
    return _logs(source) + _files(source, USERS) + _files(source, VIDEOS)


def _logs(source: AnyPath) -> list[AnyPath]:
    logs = [source] if source.is_file() else _files(source, "log*.csv", "log*.tsv")
    if not logs:
        raise DataError(
            f"{source}: expected KuaiRand's log file, or a folder with log*.csv or log*.tsv"
            + ("" if source.exists() else "; there is no such file or folder")
        )
    return logs


def _files(source: AnyPath, *patterns: str) -> list[AnyPath]:
    return sorted((f for pattern in patterns for f in files_in(source, pattern)), key=str)


def _exposures(logs: list[AnyPath]) -> pd.DataFrame:
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


def _read(file: AnyPath) -> pd.DataFrame:
    with reading_file(file) as local:
        with local.open() as lines:
            header = lines.readline()
        if not header.strip():
            raise DataError(f"{file}: empty; expected a line of column names")
        return pd.read_csv(local, sep="\t" if "\t" in header else ",")


def _features(files: list[AnyPath], key: str, columns: tuple[str, ...]) -> pd.DataFrame | None:
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
        "video_id": {"tokens": ["views", "clicks", "candidate"], "kind": "id", "table": "video"},
        "hour": {"tokens": ["candidate"], "kind": "id", "table": "hour"},
        "duration_ms": {
            "tokens": ["views", "clicks", "candidate"],
            "kind": "number",
            "transform": "log1p",
        },
        "play_time_ms": {"tokens": ["views", "clicks"], "kind": "number", "transform": "log1p"},
        "watched_share": {"tokens": ["views", "clicks"], "kind": "number"},
    }
    for label in (*LABELS, *(action for action in ACTIONS if action in exposures)):
        features[label] = {"tokens": ["views"], "kind": "number"}
    for key in ("user", "video"):
        as_of = {"as_of": "known_before_ms", "tokens": ["candidate"], "kind": "number"}
        for label in LABELS:
            features[f"{key}_{label}_rate"] = dict(as_of)
        features[f"{key}_count"] = as_of | {"transform": "log1p"}
    for source, table, tokens in (
        ("users", users, ["profile"]),
        ("items", videos, ["views", "clicks", "candidate"]),
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
        "duplicates": "keep",  # as published
        "sequences": {
            "views": {"from": "exposures"},
            "clicks": {"from": "exposures", "where": "is_click"},
        },
        "tables": tables,
        "features": features,
        "tasks": {"is_click": {"label": "is_click"}, "long_view": {"label": "long_view"}},
    }
