"""User rows the slow way: plain Python, written from DESIGN.md and not from the code."""

import datetime as dt
import math
from collections import defaultdict
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
from rayrank.schema import Schema

from .logs import Record, Records


@dataclass
class Outcome:
    label: int
    known_at: int


def midnight(time_ms: int, zone: str) -> int:
    """The local midnight at or before a time."""
    local = dt.datetime.fromtimestamp(time_ms / 1000, ZoneInfo(zone))
    start = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    return int(start.timestamp() * 1000)


def outcomes(
    schema: Schema, exposures: list[Record], events: list[Record]
) -> dict[str, list[Outcome]]:
    """Task -> outcome of each exposure; exposures ascend in time; labels are known at `k`."""
    results: dict[str, list[Outcome]] = {}
    for name, task in schema.tasks.items():
        if task.label is not None:
            results[name] = [Outcome(e[task.label], e["k"]) for e in exposures]
            continue
        assert task.within is not None
        within = int(task.within.total_seconds() * 1000)
        clock_starts: list[int | None] = []
        for row, exposure in enumerate(exposures):
            if task.after is None:
                clock_starts.append(exposure["t"])
            elif results[task.after][row].label == 0:
                clock_starts.append(None)
            elif schema.tasks[task.after].event is not None:
                clock_starts.append(results[task.after][row].known_at)
            else:
                clock_starts.append(exposure["t"])
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
                found[max(touched)[1]].append(event["t"])
        results[name] = [
            Outcome(1, min(found[row]))
            if row in found
            else Outcome(0, start + within)
            if start is not None
            else Outcome(0, results[task.after or ""][row].known_at)
            for row, start in enumerate(clock_starts)
        ]
    return results


def user_rows(log: Records, schema: Schema, cuts: list[int], max_history: int) -> list[Record]:
    """The rows of the shop's schema by user, window and split, each with its `split`."""
    items = {item["i"]: item for item in log.items}
    users = {user["u"]: user for user in log.users}
    exposures = sorted(log.exposures, key=lambda e: (e["u"], e["t"]))
    results = outcomes(schema, exposures, log.events)

    behaviours: dict[int, list[Record]] = defaultdict(list)
    grouped: dict[tuple[int, int, int], list[int]] = defaultdict(list)
    for row, e in enumerate(exposures):
        split = sum(cut <= e["t"] for cut in cuts)
        grouped[e["u"], midnight(e["t"], schema.timezone), split].append(row)
        selected = schema.behaviours is None or results[schema.behaviours][row].label
        if selected:
            order = results["order"][row]
            behaviours[e["u"]].append(
                {
                    "time": e["t"],
                    "known_at": max(e["k"], order.known_at),
                    "i": e["i"],
                    "cat": _given(items.get(e["i"], {}).get("cat"), 7),
                    "watched": e["watched"],
                    "click": e["click"],
                    "order": order.label,
                }
            )
    rows = []
    for (user, window, split), members in sorted(grouped.items()):
        known = sorted(behaviours[user], key=lambda b: b["known_at"])
        last = exposures[members[-1]]["t"]
        history = [b for b in known if b["known_at"] < window]
        profile = users.get(user, {})
        age = profile.get("age")
        rows.append(
            {
                "user": user,
                "window_start": window,
                "history": history[max(0, len(history) - max_history) :],
                "realtime": [b for b in known if window <= b["known_at"] < last],
                "candidates": [_candidate(exposures[row], items) for row in members],
                "profile": {
                    "city": _given(profile.get("city"), -1),
                    "age": sum(edge <= (age or 0) for edge in (18, 40)),
                },
                "labels": {
                    task: [float(results[task][row].label) for row in members]
                    for task in schema.tasks
                },
                "split": split,
            }
        )
    return rows


def _candidate(exposure: Record, items: dict[int, Record]) -> Record:
    item = items.get(exposure["i"], {})
    return {
        "time": exposure["t"],
        "item": exposure["i"],
        "i": exposure["i"],
        "cat": _given(item.get("cat"), 7),
        "tags": item.get("tags") or [],
        "price": float(np.float32(math.log1p(item.get("price") or 0))),
        "ctr": exposure["ctr"],
    }


def _given(value: int | None, default: int) -> int:
    return default if value is None else value


def visible_pairs(row: Record) -> int:
    """Pairs that DESIGN.md's mask leaves, element by element."""
    static = [("static", None)] * (len(row["profile"]) + len(row["history"]))
    realtime = [("realtime", b["known_at"]) for b in row["realtime"]]
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
