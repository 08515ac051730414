"""Load on an endpoint, in open loops at given rates: a table, JSON and a picture.

    RAYRANK_API_KEY=… python jobs/bench_serve.py --url http://127.0.0.1:8000 --rates 5,10,20 --mix

Requests are those of a file, again and again, or a mix: users who return, whose histories grow,
with 100 to 1,000 candidates each time, made of what the endpoint tells of its bundle.
"""

import argparse
from collections.abc import Iterator
from itertools import cycle
from math import nan
from pathlib import Path

from rayrank.errors import RayrankError
from rayrank.report.load import RatePoint, load_picture
from rayrank.run.terminal import readable_errors, say
from rayrank.serve.keys import KEY_VARIABLE, key_of_environment
from rayrank.serve.load import Loaded, generator
from rayrank.serve.load_mix import Mix
from rayrank.serve.load_report import BOUND_MS, LoadReport, load_at, served_model


def rates(text: str) -> list[float]:
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(0 < rate < 1e6 for rate in found):
        raise argparse.ArgumentTypeError(f"{text!r}: expected rates such as 5,10,20")
    return found


def lines(path: Path) -> Iterator[bytes]:
    try:
        found = [line for line in path.read_bytes().splitlines() if line.strip()]
    except OSError as error:
        raise RayrankError(f"{path}: cannot be read: {error.strerror}") from None
    if not found:
        raise RayrankError(f"{path}: holds no request; expected JSON, one on each line")
    return cycle(found)


def key_of(file: Path | None) -> str:
    if file is None:
        return key_of_environment()
    try:
        return file.read_text().split()[0]
    except (OSError, IndexError):
        raise RayrankError(f"{file}: holds no key") from None


def measure(asked: argparse.Namespace) -> LoadReport:
    url, key = asked.url.rstrip("/"), key_of(asked.key_file)
    model = served_model(url, key)
    bodies = lines(asked.requests) if asked.requests else Mix(model, seed=asked.seed).bodies()
    found = []
    with generator() as pool:
        for rate in asked.rates:
            say(f"{rate:g}/s for {asked.seconds:g} s …")
            found.append(load_at(pool, url, key, bodies, rate, asked.seconds, asked.timeout_ms))
    return LoadReport(
        url=url,
        model={name: model[name] for name in ("name", "version", "schema")},
        requests=str(asked.requests or "mix"),
        seconds=asked.seconds,
        timeout_ms=asked.timeout_ms,
        rates=found,
    )


def point(of: Loaded) -> RatePoint:
    scored = of.scored
    times = (scored.p50, scored.p90, scored.p99) if scored else (nan,) * 3
    return RatePoint(of.offered_per_s, of.goodput_per_s, *times)


def picture(report: LoadReport) -> str:
    points = [point(each.loaded) for each in report.rates]
    title = f"{report.model['name']} {report.model['version']}: {report.requests}"
    return load_picture(f"{title}, {report.seconds:g} s per rate", points, BOUND_MS)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="of the application")
    parser.add_argument("--key-file", type=Path, help=f"else {KEY_VARIABLE} holds the key")
    parser.add_argument(
        "--rates", type=rates, default="5,10,20", help="per second, such as 5,10,20"
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="of each load")
    parser.add_argument("--timeout-ms", type=int, default=1000, help="sent with each request")
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--requests", type=Path, help="a file of requests, JSON, one on each line")
    given.add_argument("--mix", action="store_true", help="users who return, by Zipf's law")
    parser.add_argument("--seed", type=int, default=0, help="of the mix")
    parser.add_argument("--out", type=Path, help="a file for JSON; a picture beside it, .svg")
    asked = parser.parse_args()
    with readable_errors():
        report = measure(asked)
    print(report.table())
    if asked.out is not None:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text(report.model_dump_json(indent=1) + "\n")
        asked.out.with_suffix(".svg").write_text(picture(report))
        say(f"{asked.out}, {asked.out.with_suffix('.svg')}")


if __name__ == "__main__":
    main()
