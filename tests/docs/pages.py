"""What a page tells a reader to type, and what else it shows in blocks without a language.

A line of such a block is a command if it begins with a program (after NAME=value). Where a block
begins with one, every further line up to the next empty one must be a command, or a query for
Prometheus. What begins otherwise is output, and `accounts.OUTPUT` has to know it: so a program that
is not known here does not pass for output. In a paragraph or a table a command is `code` of a
program and something behind it; `…` at its beginning stands for the command before it.
"""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

PROGRAMS = {
    "make",
    "python",
    "pytest",
    "pip",
    "apt-get",
    "ray",
    "serve",
    "kubectl",
    "helm",
    "docker",
    "kind",
    "openssl",
    "curl",
    "export",
    "systemctl",
    "cat",
    "tail",
    "ls",
    "tensorboard",
}
JOB = re.compile(r"jobs/\w+\.py")
SHELLS = {"", "sh", "bash", "shell", "console"}
QUERY = re.compile(
    r"(sum|min|max|rate|topk|time|last_over_time|up|ray_\w+|histogram_quantile)\b.*[({]"
)


@dataclass(frozen=True)
class Command:
    page: str
    line: int
    text: str
    short: bool = False
    """`jobs/X.py --flag` in a sentence: neither python nor the config is said."""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text}"


@dataclass(frozen=True)
class Output:
    """The first line of what a page shows, and is no command."""

    page: str
    line: int
    text: str


Found = Command | Output


def program(text: str) -> str:
    """The first word behind assignments."""
    words = re.sub(r"^([A-Z_]+=\S* )+", "", text).split()
    return words[0] if words else ""


def is_command(text: str) -> bool:
    return program(text) in PROGRAMS


def blocks(text: str) -> tuple[list[tuple[int, list[str]]], str]:
    """The lines of each block that may hold commands, and the text with blank lines in the place of
    all blocks."""
    lines, rest = text.splitlines(), []
    found: list[tuple[int, list[str]]] = []
    fence: str | None = None
    indented = before_blank = False
    for number, line in enumerate(lines, 1):
        if line.startswith("```"):
            fence = line[3:].strip() if fence is None else None
            if fence is not None:
                found.append((number + 1, []))
                language = fence
        elif fence is not None:
            if language in SHELLS:
                found[-1][1].append(line)
        elif line.startswith("    ") and (indented or before_blank):
            if not indented:
                found.append((number, []))
            indented = True
            found[-1][1].append(line)
        elif indented and not line.strip():
            found[-1][1].append("")
        else:
            indented = False
            rest.append((number, line))
        before_blank = not line.strip()
    kept = dict(rest)
    outside = "\n".join(kept.get(number, "") for number in range(1, len(lines) + 1))
    return [(at, textwrap.dedent("\n".join(block)).splitlines()) for at, block in found], outside


def logical_lines(at: int, lines: list[str]) -> Iterator[tuple[int, str]]:
    """Lines that go on in the next one (by a backslash or a pipe) as one, without comments."""
    whole, begun = "", at
    for number, line in enumerate(lines, at):
        if not whole:
            begun = number
        said = re.sub(r"(^|\s+)#\s.*$", "", line).strip()
        whole = f"{whole} {said}".strip()
        if whole.endswith("\\"):
            whole = whole[:-1].strip()
        elif not whole.endswith("|"):
            if whole:
                yield begun, whole
            whole = ""


def in_block(page: str, at: int, lines: list[str]) -> Iterator[Found]:
    shown = False
    numbered = enumerate(lines, at)
    for full, chunk in groupby(numbered, key=lambda one: bool(one[1].strip())):
        if not full:
            continue
        pairs = list(chunk)
        told = list(logical_lines(pairs[0][0], [line for _, line in pairs]))
        commanding = False
        for number, text in told:
            if is_command(text):
                commanding = True
                for part in re.split(r"; (?=[a-z]+ )", text):
                    yield Command(page, number, part)
            elif QUERY.match(text):
                continue
            elif commanding:
                raise ValueError(f"{page}:{number}: neither a command nor a query: {text}")
            elif not shown:
                shown = True
                yield Output(page, number, text)


def in_text(page: str, text: str) -> Iterator[Command]:
    before = ""
    short = False
    for match in re.finditer(r"(?<!`)`([^`]+)`(?!`)", text):
        said = " ".join(match[1].split())
        if said.startswith("… --"):
            said = f"{before} {said[2:]}"
        else:
            short = JOB.match(said) is not None
            if short and JOB.fullmatch(said):  # the file is named, not run
                continue
            said = f"python {said}" if short else said
        if is_command(said) and len(said.split()) > 1:
            before = before if match[1].startswith("…") else said
            yield Command(page, text.count("\n", 0, match.start()) + 1, said, short)


def found_in(page: str, text: str) -> list[Found]:
    """All commands and outputs of a page."""
    shown, outside = blocks(text)
    found: list[Found] = []
    for at, lines in shown:
        found += in_block(page, at, lines)
    return sorted([*found, *in_text(page, outside)], key=lambda one: one.line)


def pages(root: Path) -> dict[str, str]:
    names = ["README.md", "CONTRIBUTING.md", "k8s/README.md", "kernels/README.md"]
    names += sorted(f"docs/{page.name}" for page in (root / "docs").glob("*.md"))
    return {name: (root / name).read_text() for name in names}
