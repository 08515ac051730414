"""User rows the slow way: plain Python, written from DESIGN.md and not from the code."""

import datetime as dt
import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from rayrank.schema import Schema

from .logs import Record, Records


@dataclass
class Outcome:
    happened: bool
    known_at: int
    label: int | None
    """None where it is unknown."""


def midnight(time_ms: int, zone: str) -> int:
    """The local midnight at or before a time."""
    local = dt.datetime.fromtimestamp(time_ms / 1000, ZoneInfo(zone))
    start = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    return int(start.timestamp() * 1000)


def split_times(times: list[int], valid: float, test: float) -> list[int]:
    """When valid and test start, as shares of the exposures in time order; where a split has none,
    after the last one."""
    ascending = sorted(times)
    ascending.append(ascending[-1] + 1)
    trained = int((1 - test) * len(times))
    return [ascending[int((1 - valid) * trained)], ascending[trained]]


def outcomes(
    schema: Schema, exposures: list[Record], events: list[Record], complete_until: int | None = None
) -> dict[str, list[Outcome]]:
    """Task -> outcome of each exposure; exposures ascend in time; labels are known at `k`. The log
    is complete until its last exposure or event unless said."""
    if complete_until is None:
        complete_until = max(row["t"] for row in exposures + events)
    results: dict[str, list[Outcome]] = {}
    for name, task in schema.tasks.items():
        if task.label is not None:
            results[name] = [Outcome(e[task.label] == 1, e["k"], e[task.label]) for e in exposures]
            continue
        assert task.within is not None
        within = int(task.within.total_seconds() * 1000)
        # "A clock that starts at a positive outcome starts when that outcome was known."
        clock_starts: list[int | None] = []
        for row, exposure in enumerate(exposures):
            if task.after is None:
                clock_starts.append(exposure["t"])
            else:
                parent = results[task.after][row]
                clock_starts.append(parent.known_at if parent.happened else None)
        nobody: list[Outcome | None] = [None] * len(exposures)
        found: dict[int, list[int]] = defaultdict(list)
        for event in events:
            touched = [
                (start, row)
                for row, start in enumerate(clock_starts)
                if start is not None
                and start <= event["t"] <= start + within
                and event["type"] == task.event
                and (exposures[row]["u"], exposures[row]["i"]) == (event["u"], event["i"])
            ]
            if touched:
                # Of clocks that started at one moment, that of the later exposure.
                found[max(touched)[1]].append(event["t"])
        results[name] = [
            _outcome(start, found.get(row), within, complete_until, parent)
            for row, (start, parent) in enumerate(
                zip(clock_starts, results[task.after] if task.after else nobody, strict=True)
            )
        ]
    return results


def _outcome(
    start: int | None,
    events: list[int] | None,
    within: int,
    complete_until: int,
    parent: Outcome | None,
) -> Outcome:
    """Of an exposure whose clock started then (or never, after a negative parent)."""
    if events:
        known_at = min(events)
    elif start is not None:
        known_at = start + within
    else:
        assert parent is not None
        known_at = parent.known_at
    # "A label whose window reaches beyond it, or that is null, is unknown." Of a negative parent
    # the window would have been that of a positive one known when it was.
    unknown = (known_at if start is None else start) + within > complete_until
    if parent is not None and parent.label is None:
        unknown = True
    return Outcome(bool(events), known_at, None if unknown else int(bool(events)))


def asked_at(schema: Schema, exposures: list[Record]) -> list[int]:
    """When each was asked for: all of a request are shown at once, as in serving."""
    if schema.request is None:
        return [e["t"] for e in exposures]
    return [
        min(o["t"] for o in exposures if (o["u"], o["r"]) == (e["u"], e["r"])) for e in exposures
    ]


def joined(rows: list[Record], key: str, value: int, column: str | None, at: int) -> Record:
    """ "The latest one not after the exposure counts": a row of items or users, {} if none."""
    mine = [row for row in rows if row[key] == value and (column is None or row[column] <= at)]
    return max(mine, key=lambda row: row[column] if column else 0, default={})


def behaviours(
    log: Records, schema: Schema, exposures: list[Record], results: dict[str, list[Outcome]]
) -> dict[str, list[Record]]:
    """What all users did, by sequence; each with its user `u`, `time` and `known_at`."""
    asked = asked_at(schema, exposures)
    found: dict[str, list[Record]] = {}
    for name, sequence in schema.sequences.items():
        carried = [feature for feature, f in schema.features.items() if name in f.tokens]
        rows: list[tuple[Record, int, int, int]] = []  # with when it happened, was known, joined
        if sequence.table == "exposures":
            for row, e in enumerate(exposures):
                known = [e["t"]]
                if {"watched", "click"} & set(carried):  # these are known at k
                    known.append(e["k"])
                if sequence.where is not None:
                    outcome = results[sequence.where][row]
                    if not outcome.happened:
                        continue
                    known.append(outcome.known_at)
                rows.append((e, e["t"], max(known), asked[row]))
        elif sequence.table == "events":
            rows = [(e, *[e["t"]] * 3) for e in log.events if e["type"] == sequence.type]
        else:
            rows = [(s, s["at"], s["seen"], s["at"]) for s in log.searches]
        found[name] = [
            {"u": of["u"], "time": time, "known_at": known}
            | {
                f: _given(
                    joined(log.items, "i", of["i"], schema.as_of.get("items"), at).get("cat"), 7
                )
                if f == "cat"
                else _given(of[f], 2)
                for f in carried
            }
            for of, time, known, at in rows
        ]
    return found


def user_rows(
    log: Records, schema: Schema, cuts: list[int], complete_until: int | None = None
) -> list[Record]:
    """The rows of the shop's schema by user, window and split, each with its `split`."""
    exposures = sorted(log.exposures, key=lambda e: (e["u"], e["t"]))
    results = outcomes(schema, exposures, log.events, complete_until)
    did = behaviours(log, schema, exposures, results)

    asked = asked_at(schema, exposures)
    grouped: dict[tuple[int, int, int], list[int]] = defaultdict(list)
    for row in sorted(range(len(exposures)), key=lambda row: (exposures[row]["u"], asked[row])):
        split = sum(cut <= asked[row] for cut in cuts)
        window = midnight(asked[row], schema.timezone)
        grouped[exposures[row]["u"], window, split].append(row)
    rows = []
    for (user, window, split), members in sorted(grouped.items()):
        last = asked[members[-1]]
        parts: Record = {}
        for name, sequence in schema.sequences.items():
            # What was known at one moment stands by when it happened, then as in the log.
            mine = sorted(
                (b for b in did[name] if b["u"] == user), key=lambda b: (b["known_at"], b["time"])
            )
            known = [{k: v for k, v in b.items() if k != "u"} for b in mine]
            static = [b for b in known if b["known_at"] < window]
            parts[f"static_{name}"] = static[max(0, len(static) - sequence.keep) :]
            parts[f"realtime_{name}"] = [b for b in known if window <= b["known_at"] < last]
        profile = joined(log.users, "u", user, schema.as_of.get("users"), asked[members[0]])
        age = profile.get("age")
        rows.append(
            {
                "user": user,
                "window_start": window,
                **parts,
                "candidates": [
                    _candidate(log, schema, exposures[row], asked[row]) for row in members
                ],
                "profile": {
                    "city": _given(profile.get("city"), -1),
                    "age": sum(edge <= (age or 0) for edge in (18, 40)),
                },
                "labels": {
                    task: [_label(results[task][row]) for row in members] for task in schema.tasks
                },
                "labels_known_at": {
                    task: [results[task][row].known_at for row in members] for task in schema.tasks
                },
                "split": split,
            }
        )
    return rows


def _candidate(log: Records, schema: Schema, exposure: Record, asked: int) -> Record:
    item = joined(log.items, "i", exposure["i"], schema.as_of.get("items"), asked)
    return {
        "time": asked,
        "item": exposure["i"],
        "i": exposure["i"],
        "cat": _given(item.get("cat"), 7),
        "tags": item.get("tags") or [],
        "price": float(np.float32(math.log1p(item.get("price") or 0))),
        "ctr": exposure["ctr"],
    }


def _label(outcome: Outcome) -> float | None:
    return None if outcome.label is None else float(outcome.label)


def _given(value: Any, default: int) -> Any:
    return default if value is None else value


def parts_of(row: Record, part: str) -> list[str]:
    """The columns of a row that are the static, or realtime, parts of sequences."""
    return [name for name in row if name.startswith(f"{part}_")]


def visible_pairs(row: Record) -> int:
    """Pairs that DESIGN.md's mask leaves, element by element."""
    static = [("static", None) for _ in row.get("profile", {})]
    static += [("static", None) for name in parts_of(row, "static") for _ in row[name]]
    realtime = [
        ("realtime", b["known_at"]) for name in parts_of(row, "realtime") for b in row[name]
    ]
    shown = [("candidate", c["time"]) for c in row["candidates"]]
    tokens = static + realtime + shown
    pairs = 0
    for q, (query, now) in enumerate(tokens):
        for k, (key, known) in enumerate(tokens):
            pairs += (
                key == "static"
                or (query != "static" and key == "realtime" and known < now)
                or q == k
            )
    return pairs


def unzipped(row: Record, group: str) -> list[Record]:
    """A struct of lists, as it is stored, as a list of elements."""
    columns = row[group]
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
