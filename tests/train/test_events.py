"""Event files, read by TensorBoard's own reader."""

import uuid
from pathlib import Path

import pytest
from rayrank.storage import AnyPath, place
from rayrank.train import events
from rayrank.train.events import Events
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def shown(folder: AnyPath, tag: str = "loss") -> list[tuple[int, float]]:
    """(step, value) of a curve, as TensorBoard shows it."""
    reader = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    if tag not in reader.Tags()["scalars"]:
        return []
    return [(event.step, event.value) for event in reader.Scalars(tag)]


def steps(writer: Events, first: int, last: int, value: float) -> None:
    for step in range(first, last + 1):
        writer.write(step, {"loss": value, "auc/click": value / 2})


def test_numbers_are_curves_by_name(tmp_path: Path) -> None:
    writer = Events(tmp_path, attempt=1, step=0)
    steps(writer, 1, 3, 0.5)
    writer.flush()
    assert shown(tmp_path) == [(1, 0.5), (2, 0.5), (3, 0.5)]
    assert shown(tmp_path, "auc/click") == [(1, 0.25), (2, 0.25), (3, 0.25)]
    assert [path.name for path in tmp_path.iterdir()] == ["events.out.tfevents.000001-000000"]


def test_who_reads_along_sees_what_is_new(tmp_path: Path) -> None:
    """The file grows where it is."""
    writer = Events(tmp_path, attempt=1, step=0)
    reader = EventAccumulator(str(tmp_path)).Reload()
    for step in (1, 2):
        writer.write(step, {"loss": step})
        writer.flush()
        assert [event.step for event in reader.Reload().Scalars("loss")][-1] == step


def test_steps_that_are_taken_again_are_shown_once(tmp_path: Path) -> None:
    """Also where the first attempt was killed in the middle of a record, and writes on later."""
    killed = Events(tmp_path, attempt=1, step=0)
    steps(killed, 1, 7, 0.5)
    killed.flush()
    (file,) = tmp_path.iterdir()
    with file.open("r+b") as cut:
        cut.truncate(file.stat().st_size - 11)
    assert [step for step, _ in shown(tmp_path)] == [1, 2, 3, 4, 5, 6]
    resumed = Events(tmp_path, attempt=2, step=4)
    assert [step for step, _ in shown(tmp_path)] == [1, 2, 3, 4]
    steps(resumed, 5, 8, 0.25)
    resumed.flush()
    expected = [(step, 0.5 if step <= 4 else 0.25) for step in range(1, 9)]
    assert shown(tmp_path) == expected
    steps(killed, 8, 20, 9.0)
    killed.flush()
    assert shown(tmp_path) == expected


def test_a_run_that_starts_over_shows_nothing_of_before(tmp_path: Path) -> None:
    steps(first := Events(tmp_path, attempt=1, step=0), 1, 3, 0.5)
    first.flush()
    Events(tmp_path, attempt=2, step=0)
    assert shown(tmp_path) == []


def test_a_long_run_comes_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "EVENTS_PER_PART", 5)
    for attempt, (first, last) in enumerate([(1, 12), (7, 15)], 1):
        steps(writer := Events(tmp_path, attempt, first - 1), first, last, attempt)
        writer.flush()
    assert len(list(tmp_path.iterdir())) == 4 + 3
    assert shown(tmp_path) == [(step, 1.0 if step < 7 else 2.0) for step in range(1, 16)]


def test_on_an_object_store(s3_bucket: str, tmp_path: Path) -> None:
    folder = place(f"{s3_bucket}/{uuid.uuid4().hex}")
    writer = Events(folder, attempt=1, step=0)
    for step in (1, 2):
        steps(writer, step, step, 0.5)
        writer.flush()
    name = "events.out.tfevents.000001-000000"
    (tmp_path / name).write_bytes((folder / name).read_bytes())
    assert shown(tmp_path) == [(1, 0.5), (2, 0.5)]
