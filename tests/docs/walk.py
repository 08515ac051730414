"""Every command of the pages: can it work, and who runs it?"""

import ast
import re
import shlex
from pathlib import Path

from ..clusters import ROOT
from .accounts import OUTPUT, Account, Named, Said, Tested, accounts_of
from .lines import check
from .make_lines import printed
from .pages import Command, Output, found_in
from .wrong import Wrong


def plain(text: str) -> str:
    return " ".join(text.split())


def shared(file: Path) -> list[Path]:
    """A test's file, and what of the tests' own it imports or is given fixtures by."""
    files = [file, file.with_name("conftest.py")]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = file.parents[node.level - 1]
            files.append(folder.joinpath(*(node.module or "").split(".")).with_suffix(".py"))
    return [one for one in files if one.is_file()]


def literal(word: str) -> re.Pattern[str]:
    """The word, not as a part of a longer name."""
    return re.compile(rf"(?<![\w.]){re.escape(word)}(?![\w-]|\.\w)")


def tested_fault(account: Tested, command: Command) -> str | None:
    """Why a test that is named is none, or none of this command."""
    name, _, function = account.test.partition("::")
    file = ROOT / name
    functions = (
        {
            node.name
            for node in ast.parse(file.read_text()).body
            if isinstance(node, ast.FunctionDef)
        }
        if file.is_file()
        else set()
    )
    if function not in functions:
        return f"{account.test}: no such test"
    typed = command.text
    if typed.startswith("make "):
        typed += printed(shlex.split(command.text)[1:])
    sources = "\n".join(one.read_text() for one in shared(file))
    for word in account.words:
        if word not in typed:
            return f"{word}: not of this command"
        if not literal(word).search(sources):
            return f"{account.test}: does not have {word}"
    return None


def account_fault(page: str, text: str, command: Command, among: list[Account]) -> str | None:
    """Why a command has no account, or one that is not true."""
    found = accounts_of(page, command.text, among)
    if len(found) != 1:
        told = ", ".join(repr(one.command) for one in found) or "no entry of accounts.py"
        return f"has {told}; expected one: which test runs it, or why does none?"
    (account,) = found
    if isinstance(account, Said) and plain(account.sentence).rstrip(".") not in plain(text):
        return f"the page does not say: {account.sentence}"
    if isinstance(account, Tested):
        return tested_fault(account, command)
    return None


def page_faults(page: str, text: str, among: list[Account]) -> list[str]:
    """All that is wrong with a page's commands."""
    faults: list[str] = []
    try:
        found = found_in(page, text)
    except ValueError as unread:
        return [str(unread)]
    for one in found:
        if isinstance(one, Output):
            if not any(re.fullmatch(known, one.text) for known in OUTPUT):
                faults.append(f"{page}:{one.line}: neither a command nor known output: {one.text}")
            continue
        fault = account_fault(page, text, one, among)
        if fault is None and not any(
            isinstance(account, Named) for account in accounts_of(page, one.text, among)
        ):
            try:
                check(one)
            except Wrong as wrong:
                fault = str(wrong)
        if fault is not None:
            faults.append(f"{one}\n    {fault}")
    return faults
