"""Commands of Ray, pip, curl and others as a page has them, each by what can be known here."""

import re
import shlex
import tomllib
from importlib import import_module
from typing import Any

import click
from ray.scripts.scripts import cli as ray_cli
from ray.serve.scripts import cli as serve_cli
from rayrank.run.folder import RunFolder
from rayrank.train.finished import JOURNAL
from rayrank.train.watchdog import STACKS
from rayrank.versions import CURRENT

from ..clusters import ROOT
from .kubernetes_lines import check_images, check_kubectl
from .make_lines import check_make
from .pages import Command
from .python_lines import as_started, check_python
from .wrong import Wrong

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
ROUTES = re.findall(
    r'@api\.(?:get|post)\("([^"]+)"', (ROOT / "platform/rayrank/serve/app.py").read_text()
)


def check_click(command: Any, words: list[str]) -> None:
    """A command of Ray, up to where its arguments are parsed."""
    while isinstance(command, click.Group) and words:
        if words[0] not in command.commands:
            raise Wrong(f"no command {words[0]}")
        command, words = command.commands[words[0]], words[1:]
    if isinstance(command, click.Group):
        raise Wrong("no command is named")
    for word in words:
        if word.startswith("serve_apps/") and not (ROOT / word).is_file():
            raise Wrong(f"{word}: no such file")
    with as_started([]):
        for word in words:
            path = re.fullmatch(r"(serve_apps\.\w+):(\w+)", word)
            if path and not hasattr(import_module(path[1]), path[2]):
                raise Wrong(f"{word}: no such application")
        try:
            command.make_context(command.name, list(words))
        except click.ClickException as fault:
            raise Wrong(fault.format_message()) from None


def check_pip(words: list[str]) -> None:
    for word in words[1:]:
        if word.startswith("./") and not (ROOT / word / "pyproject.toml").is_file():
            raise Wrong(f"{word}: nothing to install there")
        extra = re.fullmatch(r"\.\[(\w+)\]", word)
        if extra and extra[1] not in EXTRAS:
            raise Wrong(f"no extra {extra[1]}")


def check_run_paths(words: list[str]) -> None:
    """What lies in a run is where RunFolder has it."""
    run = RunFolder("RUN_DIR")
    ranker = run.ranker("NAME") / "VERSION"
    known = [run.day("NAME", "DAY"), run.bundles / CURRENT, ranker / JOURNAL, ranker / STACKS]
    for word in words:
        if word.startswith("RUN_DIR") and not word.startswith(tuple(map(str, known))):
            raise Wrong(f"{word}: not where a run has anything")


def check_curl(text: str) -> None:
    path = re.search(r"(?:URL|http://[\d.:]+)(/\S*)", text)
    if path is None or path[1] not in ROUTES:
        raise Wrong(f"{text}: the endpoint has no such path")


def check(command: Command) -> None:
    """Raises Wrong, saying why, where a command cannot work."""
    # Optional parts are given; what `…` stands for is the reader's.
    text = re.sub(r"^(?:[A-Z_]+=\S* )+", "", command.text)
    text = re.sub(r"\[(--\w[^\]]*)\]", r"\1", text)
    words = [word for word in shlex.split(text.rstrip("&")) if word != "…"]
    match words[0]:
        case "make":
            check_make(words[1:])
        case "python":
            check_python(words[1:], short=command.short)
        case "ray" | "serve" as tool:
            told = words[1:]
            if "--" in told:
                at = told.index("--")
                check_python(told[at + 2 :])
            check_click(ray_cli if tool == "ray" else serve_cli, told)
        case "pip":
            check_pip(words[1:])
        case "pytest":
            if not all((ROOT / word).exists() for word in words[1:]):
                raise Wrong(f"{words[1:]}: no such tests")
        case "curl":
            check_curl(text)
        case "docker" | "kind":
            check_images(words[1:])
        case "cat" | "tail" | "ls":
            check_run_paths(words[1:])
    if "kubectl " in text:
        check_kubectl(text)
