"""`python …` as a page has it: the file or module is there, its own parser takes the arguments, and
the config's schema every key.

A job is run up to where it has parsed its arguments, and no further.
"""

import argparse
import contextlib
import importlib.util
import io
import os
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

from rayrank.errors import ConfigError
from rayrank.lab.config import load_lab
from rayrank.run.config import load_config, load_tree

from ..clusters import ROOT
from .wrong import Wrong

YOURS = {"mine.yaml", "my.yaml", "FILE"}
"""Configs that a reader writes. Keys are looked up in the demo's."""
STANDARD = {"json.tool", "pytest"}


class Parsed(BaseException):
    """Arguments were taken. (No Exception: nobody on the way may catch it.)"""

    def __init__(self, told: argparse.Namespace) -> None:
        self.told = told


@contextlib.contextmanager
def as_started(arguments: list[str], **environment: str) -> Iterator[None]:
    with (
        patch.object(sys, "argv", arguments),
        patch.object(sys, "path", [str(ROOT), *sys.path]),
        patch.dict(os.environ, {"RAYRANK_RUNS": "/runs", **environment}),
        contextlib.chdir(ROOT),
    ):
        yield


def parsed(file: Path, arguments: list[str]) -> argparse.Namespace:
    """What the parser of a program makes of its arguments."""
    parse = argparse.ArgumentParser.parse_args

    def stop(parser: argparse.ArgumentParser, *given: object) -> argparse.Namespace:
        parser.allow_abbrev = False  # else `--rank` would do for `--ranker`
        raise Parsed(parse(parser, *given))  # type: ignore[call-overload]

    said = io.StringIO()
    with (
        as_started([str(file), *arguments]),
        patch.object(argparse.ArgumentParser, "parse_args", stop),
        contextlib.redirect_stderr(said),
    ):
        try:
            runpy.run_path(str(file), run_name="__main__")
        except Parsed as end:
            return end.told
        except SystemExit:
            raise Wrong(said.getvalue().strip().splitlines()[-1]) from None
    raise Wrong(f"{file}: takes no arguments")


def check_keys(told: argparse.Namespace) -> None:
    """Every `key=value` is one of the config's, and so is the ranker."""
    config = getattr(told, "config", None)
    named = "jobs/demo.yaml" if config is None or str(config) in YOURS else str(config)
    if not (ROOT / named).is_file():
        raise Wrong(f"{named}: no such file")
    # "key=value" itself stands for any.
    overrides = [one for one in getattr(told, "overrides", []) if one != "key=value"]
    with as_started([]):
        try:
            if "logs" in load_tree(str(ROOT / named)):
                load_lab(str(ROOT / named), overrides)
                return
            read = load_config(str(ROOT / named), overrides)
            if getattr(told, "ranker", None) not in (None, "NAME"):
                read.ranker(told.ranker)
        except ConfigError as fault:
            raise Wrong(str(fault)) from None


def module_file(name: str) -> Path:
    with as_started([]):
        try:
            spec = importlib.util.find_spec(name)
        except ModuleNotFoundError:
            spec = None
    if spec is None or spec.origin is None:
        raise Wrong(f"no module {name}")
    return Path(spec.origin)


def check_python(words: list[str], *, short: bool = False) -> None:
    """The words behind `python`."""
    if words[0] == "-c":
        compile(words[1], "-c", "exec")
        return
    if words[0] == "-m":
        file, arguments = module_file(words[1]), words[2:]
        if words[1] == "pytest":
            before = ["", *arguments]
            tests = [
                one
                for one, last in zip(arguments, before, strict=False)
                if not one.startswith("-") and last != "-m"
            ]
            if gone := [one for one in tests if not (ROOT / one).exists()]:
                raise Wrong(f"{gone}: no such tests")
        if words[1] in STANDARD:
            return
    else:
        file, arguments = ROOT / words[0], words[1:]
    if not file.is_file():
        raise Wrong(f"{words[0]}: no such file")
    text = file.read_text()
    if short and "--config" not in arguments and ("run_job" in text or '"--config"' in text):
        arguments = ["--config", "FILE", *arguments]
    if "parse_args" in text or "run_job" in text or "records" in text:
        check_keys(parsed(file, arguments))
    elif any(one.startswith("-") for one in arguments):
        raise Wrong(f"{file.name} takes no option")
