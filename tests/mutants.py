"""make mutants: would the tests notice?

Copies the tree, breaks one thing in the copy, runs the tests of that thing's room, mends it, and so
on for a random sample of all that can be broken; tells what nobody noticed. Cosmic Ray knows what
can be broken, and how; coverage, which tests touch it. Those are run first, and where they notice
nothing, all of the room's.
"""

import argparse
import ast
import json
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import asdict, dataclass
from pathlib import Path

import coverage
from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.testing import run_tests
from cosmic_ray.work_db import use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome

ROOT = Path(__file__).parents[1]
OUT = ROOT / "runs" / "mutants.json"
RAYRANK, KERNELS = Path("platform/rayrank"), Path("kernels/hstu_kernels")
MOST_TESTS = 200
"""That touch one line and are worth naming one by one."""
NOT_COPIED = (".git", ".venv", "runs", "build", "__pycache__", ".hypothesis", ".*_cache")

TESTS = {
    "kernels": "tests/kernels --ignore-glob=*triton* --ignore=tests/kernels/test_benchmarks.py",
    "train": "tests/train --ignore=tests/train/test_resume.py",
    # What stands beside the rooms: errors, strict models.
    "rayrank": "tests/schema tests/run/test_config.py tests/test_storage.py tests/test_versions.py",
}
"""Room -> its quick tests, where they are not just `tests/ROOM`."""
DEFAULTS = "tests/run/test_config_page.py"
"""Knows what every key of a config or schema is unless said."""


@dataclass(frozen=True)
class Mutant:
    """One thing broken, and what became of it."""

    room: str
    place: str
    operator: str
    survived: bool
    noticed_by: str
    seconds: float
    diff: str


def sources(root: Path) -> list[Path]:
    """What is mutated, relative to `root`: the library, and the kernels as CPUs run them."""
    kernels = [
        path
        for path in (root / KERNELS).glob("*.py")
        if "triton" not in path.name and path.name != "testing.py"
    ]
    return sorted(path.relative_to(root) for path in [*(root / RAYRANK).rglob("*.py"), *kernels])


def room_of(source: Path) -> str:
    """`kernels`, or the folder of rayrank that a file is in; `rayrank` for a file in none."""
    if source.is_relative_to(KERNELS):
        return "kernels"
    folder, *below = source.relative_to(RAYRANK).parts
    return folder if below else "rayrank"


def command(room: str, tests: str = "", python: str = "") -> str:
    """What runs a room's tests, or some of them; the same examples each time."""
    tests = tests or f"{TESTS.get(room, f'tests/{room}')} {'' if room == 'kernels' else DEFAULTS}"
    options = "-x -q -p no:cacheprovider --hypothesis-seed=0"
    return f"{sys.executable} {python} -m pytest {options} {tests}"


def traced(copy: Path, room: str) -> str:
    """What runs a room's tests and keeps which of them touch which line."""
    told = f"--data-file={data_file(copy, room)} --source={copy / RAYRANK},{copy / KERNELS}"
    return command(room, python=f"-m coverage run {told}") + " -p tests.covered"


def data_file(copy: Path, room: str) -> Path:
    return copy / f"coverage.{room}"


def touching(copy: Path, spec: MutationSpec, room: str) -> str:
    """The tests of a room that touch a line in a test of their own process; none where all do,
    or too many."""
    data = coverage.CoverageData(str(data_file(copy, room)))
    data.read()
    by_line = data.contexts_by_lineno(str(spec.module_path))
    lines = range(spec.start_pos[0], spec.end_pos[0] + 1)
    tests = sorted({test for line in lines for test in by_line.get(line, []) if test})
    return " ".join(map(shlex.quote, tests)) if len(tests) <= MOST_TESTS else ""


def is_type(spec: MutationSpec) -> bool:
    """Whether a mutation breaks the `|` of an annotation, with which nothing can be imported."""
    return "BitOr" in spec.operator_name and any(
        (note.lineno, note.col_offset) <= spec.start_pos <= (note.end_lineno, note.end_col_offset)
        for note in annotations(spec.module_path)
    )


def can_be_made(spec: MutationSpec) -> bool:
    """Cosmic Ray's replacer of exceptions knows plain names only, and ends on `except a.B`."""
    line = spec.module_path.read_text().splitlines()[spec.start_pos[0] - 1]
    return "ExceptionReplacer" not in spec.operator_name or "." not in line.partition(" as ")[0]


def annotations(path: Path) -> Iterator[ast.expr]:
    """Every annotation in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        for note in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if isinstance(note, ast.expr):
                yield note


def draw(copy: Path, files: list[Path], number: int, seed: int) -> tuple[list[MutationSpec], int]:
    """A sample of places, each once, with one of the mutations that are possible there; and how
    many places there are. An expression that can be broken in twelve ways counts as one place."""
    places: dict[tuple[str, tuple[int, int]], list[MutationSpec]] = {}
    with use_db(copy / "mutations.sqlite") as session:
        init([copy / file for file in files], session, {})
        for item in session.work_items:
            (spec,) = item.mutations
            if not is_type(spec):
                places.setdefault((str(spec.module_path), spec.start_pos), []).append(spec)
    chance = random.Random(seed)
    for place, specs in [*places.items()]:
        places[place] = [spec for spec in specs if can_be_made(spec)]
        if not places[place]:
            del places[place]
    drawn = chance.sample(sorted(places), min(number, len(places)))
    by_name = [
        sorted(places[place], key=lambda spec: (spec.operator_name, spec.occurrence))
        for place in drawn
    ]
    return [chance.choice(possible) for possible in by_name], len(places)


def time_limits(copy: Path, rooms: set[str]) -> dict[str, float]:
    """How long a room's tests may take: they must pass on the sound tree, and say how long."""
    limits = {}
    for room in sorted(rooms):
        start = time.perf_counter()
        outcome, said = run_tests(traced(copy, room), timeout=1200)
        if outcome != TestOutcome.SURVIVED:
            sys.exit(f"{said}\n{room}: the tests fail before anything is broken")
        seconds = time.perf_counter() - start
        limits[room] = 60 + 3 * seconds
        print(f"{room:<10} {seconds:6.0f} s  {said.strip().splitlines()[-1]}", flush=True)
    return limits


def try_out(copy: Path, spec: MutationSpec, limit_s: float) -> Mutant:
    """Break one thing, run its room's tests, mend it."""
    source = spec.module_path.relative_to(copy)
    room, start = room_of(source), time.perf_counter()
    first = touching(copy, spec, room)
    result = mutate_and_test([spec], command(room, first), limit_s)
    if first and result.test_outcome == TestOutcome.SURVIVED:  # it may be touched elsewhere, too
        result = mutate_and_test([spec], command(room), limit_s)
    if result.test_outcome not in (TestOutcome.SURVIVED, TestOutcome.KILLED):
        sys.exit(f"{source}: {spec.operator_name} could not be tried:\n{result.output}")
    said = (result.output or "").strip().splitlines()
    failed = [line for line in said if line.startswith(("FAILED", "ERROR"))]
    survived = result.test_outcome == TestOutcome.SURVIVED
    return Mutant(
        room=room,
        place=f"{source}:{spec.start_pos[0]} {spec.definition_name or ''}".strip(),
        operator=spec.operator_name.removeprefix("core/"),
        survived=survived,
        noticed_by="" if survived else (failed or said[-1:] or ["its end"])[0],
        seconds=time.perf_counter() - start,
        diff=(result.diff or "").replace(f"{copy}/", ""),
    )


def tell(mutants: list[Mutant]) -> None:
    """Killed and survived by room, then every survivor."""
    for mutant in mutants:
        if mutant.survived:
            print(f"\n{mutant.place}  {mutant.operator}\n{mutant.diff}")
    drawn, lived = Counter(m.room for m in mutants), Counter(m.room for m in mutants if m.survived)
    print(f"\n{'room':<10} {'killed':>7} {'survived':>9}")
    for room in sorted(drawn):
        print(f"{room:<10} {drawn[room] - lived[room]:>7} {lived[room]:>9}")
    print(f"{'all':<10} {drawn.total() - lived.total():>7} {lived.total():>9}", flush=True)


def try_all(copy: Path, specs: list[MutationSpec]) -> list[Mutant]:
    """Every one of them, one after the other, with a line for each."""
    rooms = [room_of(spec.module_path.relative_to(copy)) for spec in specs]
    limits = time_limits(copy, set(rooms))
    mutants: list[Mutant] = []
    for spec, room in zip(specs, rooms, strict=True):
        mutants.append(one := try_out(copy, spec, limits[room]))
        print(
            f"[{len(mutants)}/{len(specs)}] {one.seconds:4.0f} s  "
            f"{'SURVIVED' if one.survived else 'killed':<9} {one.place}  {one.operator}  "
            f"{one.noticed_by}"[:160],
            flush=True,
        )
    return mutants


def ensure_imported_from(copy: Path) -> None:
    """Tests that import other sources than those that are broken notice nothing."""
    asked = [sys.executable, "-c", "import rayrank; print(rayrank.__file__)"]
    found = subprocess.check_output(asked, text=True).strip()
    if not Path(found).is_relative_to(copy):
        sys.exit(f"the tests would import {found}, which nobody breaks")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=100, help="how many to try")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--room", help="of this room alone")
    told = parser.parse_args()
    files = [file for file in sources(ROOT) if told.room in (None, room_of(file))]
    if not files:
        rooms = sorted({room_of(file) for file in sources(ROOT)})
        sys.exit(f"no room {told.room!r}; there are {', '.join(rooms)}")
    with tempfile.TemporaryDirectory(prefix="rayrank-mutants-") as folder:
        copy = Path(folder).resolve() / "tree"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*NOT_COPIED))
        os.environ["PYTHONPATH"] = f"{copy / 'platform'}{os.pathsep}{copy / 'kernels'}"
        with chdir(copy):
            ensure_imported_from(copy)
            specs, places = draw(copy, files, told.number, told.seed)
            print(f"{len(specs)} of {places} places, seed {told.seed}", flush=True)
            mutants = try_all(copy, specs)
    tell(mutants)
    OUT.parent.mkdir(exist_ok=True)
    content = {"seed": told.seed, "places": places, "mutants": [asdict(m) for m in mutants]}
    OUT.write_text(json.dumps(content, indent=1))
    print(f"{OUT.relative_to(ROOT)}: every mutant, with its diff")


if __name__ == "__main__":
    main()
