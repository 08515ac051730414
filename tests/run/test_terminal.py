"""What a person sees: lines where there is no terminal, a message and status 2 for a fault."""

import io

import pytest
from rayrank.errors import DataError
from rayrank.run import terminal
from rich.console import Console


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    file = io.StringIO()
    monkeypatch.setattr(terminal, "console", Console(file=file, width=200))
    return file


def test_progress_in_a_log_is_a_line_now_and_then(
    said: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("rayrank.run.terminal.time.monotonic", lambda: now)
    with terminal.watching("counting") as watch:
        for done, at in ((1, 100.0), (2, 101.0), (3, 104.9), (4, 105.0), (5, 106.0), (9, 107.0)):
            now = at
            watch(done, 9)
        watch(9, 9)  # nothing new
    assert said.getvalue().splitlines() == [
        "counting: 1 of 9 (11%), 0 s",
        "counting: 4 of 9 (44%), 5 s",
        "counting: 9 of 9 (100%), 7 s",
    ]


def test_progress_on_a_terminal_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(terminal, "console", Console(file=file, force_terminal=True, width=200))
    with terminal.watching("counting") as watch:
        watch(3, 9)
    assert "3/9" in file.getvalue()
    assert "counting: 3 of 9" not in file.getvalue()


def test_what_is_said_is_said_as_it_is(said: io.StringIO) -> None:
    terminal.say("[bold]a key[/]: " + "x" * 300)
    assert said.getvalue() == "[bold]a key[/]: " + "x" * 300 + "\n"


def test_a_persons_fault_is_its_message_and_status_2(said: io.StringIO) -> None:
    with pytest.raises(SystemExit) as ended, terminal.readable_errors():
        raise DataError("log.parquet: column 'x': is missing")
    assert ended.value.code == 2
    assert said.getvalue() == "error DataError:\nlog.parquet: column 'x': is missing\n"


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    with pytest.raises(KeyError), terminal.readable_errors():
        raise KeyError("ours")


def test_what_else_is_told_ends_a_line(said: io.StringIO) -> None:
    with terminal.watching("counting") as watch:
        watch(9, 9, "loss 0.5")
    assert said.getvalue() == "counting: 9 of 9 (100%), 0 s: loss 0.5\n"


def test_what_else_is_told_stands_under_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(terminal, "console", Console(file=file, force_terminal=True, width=80))
    with terminal.watching("counting") as watch:
        watch(3, 9, "loss 0.5")
    lines = file.getvalue().splitlines()
    (under,) = {number for number, line in enumerate(lines) if "loss 0.5" in line}
    assert "3/9" in lines[under - 1]
