"""`make …` as a page has it: what `make -n` prints can be run, and every variable changes it."""

import os
import shlex
import subprocess

from ..clusters import ROOT
from .python_lines import check_python
from .wrong import Wrong

BIN = ".venv/bin/"


def printed(words: list[str]) -> str:
    """What would be run, in a checkout that has not been set up and has no run yet."""
    done = subprocess.run(
        ["make", "--dry-run", "--what-if=pyproject.toml", *words],
        cwd=ROOT,
        # Not what a `make` that runs this test was told, nor variables that happen to be set.
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Wrong(done.stderr.strip())
    return done.stdout.replace("\\\n", " ")


def check_make(words: list[str]) -> None:
    """The words behind `make`."""
    variables = [word for word in words if "=" in word]
    lines = printed(words)
    for variable in variables:
        if printed([word for word in words if word != variable]) == lines:
            raise Wrong(f"{variable} changes nothing")
    for line in lines.splitlines():
        command = line.strip()
        while (
            (first := command.split(" ", 1)[0]) and "=" in first and first.split("=")[0].isupper()
        ):
            command = command.removeprefix(first).strip()
        if not command.startswith(f"{BIN}python "):
            continue
        # What is only there to set things up has its own tests: each `make` runs it.
        check_python([one for one in shlex.split(command)[1:] if one != "…"])
