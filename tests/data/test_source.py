"""Where a log comes from: it is made once, in a version of what it was made from."""

import json
from pathlib import Path

import pytest
from rayrank.data.config import DataConfig
from rayrank.data.kuairand import source_files
from rayrank.data.source import SCHEMA, check_source, open_log, prepare_log
from rayrank.errors import ConfigError, DataError, VersionError
from rayrank.storage import place
from rayrank.versions import MADE_FROM, versions

from .logs import TYPES, Records, shown, write
from .test_kuairand import HEADER, ROWS, source


def simulated(users: int = 5) -> DataConfig:
    return DataConfig.model_validate(
        {"source": "simulate", "simulate": {"users": users, "days": 3, "mean_length": 20}}
    )


def test_a_log_is_simulated_once(tmp_path: Path) -> None:
    logs = place(tmp_path / "logs")
    with pytest.raises(VersionError, match=r"nothing there yet; run jobs/build_rows\.py"):
        open_log(simulated(), logs)
    log, schema = prepare_log(simulated(), logs, new=False)
    assert schema.name == "food_delivery"
    (version,) = versions(logs)
    made = (tmp_path / "logs" / version / SCHEMA).stat().st_mtime_ns
    assert prepare_log(simulated(), logs, new=False)[0] == log == open_log(simulated(), logs)[0]
    assert (tmp_path / "logs" / version / SCHEMA).stat().st_mtime_ns == made

    with pytest.raises(VersionError, match=r"simulate\.users: 5 -> 6"):
        prepare_log(simulated(users=6), logs, new=False)
    other, _ = prepare_log(simulated(users=6), logs, new=True)
    assert other != log
    assert len(versions(logs)) == 2


def test_a_log_of_restaurants_keeps_the_name_it_had_before_there_were_worlds(
    tmp_path: Path,
) -> None:
    feed = simulated().simulate.model_copy(update={"world": "feed"})
    for config, worlds in ((simulated().simulate, []), (feed, ["feed"])):
        logs = place(tmp_path / config.world)
        told = DataConfig(source="simulate", simulate=config)
        _, schema = prepare_log(told, logs, new=False)
        (version,) = versions(logs)
        made = json.loads((logs / version / MADE_FROM).read_text())["simulate"]
        assert [made[key] for key in made if key == "world"] == worlds
    assert schema.name == "feed"


def test_kuairands_log_is_made_of_all_its_files(tmp_path: Path) -> None:
    file = source(tmp_path / "in")
    config = DataConfig(source="kuairand", path=str(file.parent))
    check_source(config)
    logs = place(tmp_path / "logs")
    _, schema = prepare_log(config, logs, new=False)
    assert schema.name == "kuairand"
    users = file.parent / "user_features_1k.csv"
    users.write_text("user_id,user_active_degree\n1,3\n")
    with pytest.raises(VersionError, match=r"user_features_1k\.csv"):
        prepare_log(config, logs, new=False)


def test_the_files_of_kuairand(tmp_path: Path) -> None:
    log = source(tmp_path / "in", lines=[HEADER, ROWS[0]])
    folder = log.parent
    for name in ("user_features_1k.csv", "video_features_basic_1k.csv", "notes.csv"):
        (folder / name).write_text("x\n1\n")
    names = [file.name for file in source_files(place(folder))]
    assert names == [log.name, "user_features_1k.csv", "video_features_basic_1k.csv"]


def test_parquet_is_read_where_it_lies(tmp_path: Path) -> None:
    config = DataConfig(source="parquet", path=str(tmp_path / "log"))
    with pytest.raises(DataError, match="log: no such folder; expected Parquet tables and schema"):
        check_source(config)
    write(tmp_path / "log", {name: Records([shown()]).table(name) for name in TYPES})
    with pytest.raises(ConfigError, match=r"schema\.yaml: no such file"):
        check_source(config)
    (tmp_path / "mine.yaml").write_text(
        "{name: x, user: u, item: i, time: t, tables: {i: {dim: 4}}, tasks: {click: {label: click}}"
        ", features: {i: {tokens: [candidate], kind: id, table: i}}}"
    )
    said = config.model_copy(update={"schema_path": str(tmp_path / "mine.yaml")})
    check_source(said)
    log, schema = prepare_log(said, place(tmp_path / "logs"), new=False)
    assert (log.root, schema.name) == (str(tmp_path / "log"), "x")
    assert not (tmp_path / "logs").exists()
