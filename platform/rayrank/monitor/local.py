"""A Prometheus on this machine over a local Ray: says what each panel of the dashboards shows.

python -m rayrank.monitor.local [--once] --rules k8s/monitoring/rules-*.yaml
"""

import argparse
import signal
import threading
from pathlib import Path

from rayrank.monitor.dashboards import DASHBOARDS
from rayrank.monitor.look import look, look_table
from rayrank.monitor.prometheus import Prometheus, prometheus
from rayrank.run.terminal import console, readable_errors, say

TARGETS = Path("/tmp/ray/prom_metrics_service_discovery.json")
"""Where Ray writes down its exporters, unless it was told another `--temp-dir`."""
EVERY_S = 10
PORT = 9090
"""Where Ray's dashboard looks for Prometheus, unless told otherwise."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--targets", type=Path, default=TARGETS, help="Ray's file of exporters")
    parser.add_argument("--rules", type=Path, nargs="*", default=[], help="PrometheusRule files")
    parser.add_argument("--folder", type=Path, default=Path("runs/monitor"), help="what it keeps")
    parser.add_argument("--every", type=int, default=EVERY_S, help="scrape so often (s)")
    parser.add_argument("--port", type=int, default=PORT, help="0: a free one")
    parser.add_argument(
        "--once", action="store_true", help="look once, when two scrapes are there, and end"
    )
    told = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with (
        readable_errors(),
        prometheus(
            told.targets, told.rules, told.folder, every_s=told.every, port=told.port
        ) as running,
    ):
        say(f"prometheus  {running.url}, over {told.targets}; Ctrl-C stops it")
        if not told.targets.exists():
            say(f"{told.targets}: not there, so no Ray runs here yet; waiting for one")
        while not stop.wait(3 * told.every):
            _tell(running, told.every)
            if told.once:
                return


def _tell(running: Prometheus, every_s: int) -> None:
    console.print(look_table(look(running, DASHBOARDS, every_s)))
    targets = running.targets()
    say("targets     " + (", ".join(f"{of} {is_}" for of, is_ in targets.items()) or "none"))
    alerts = running.alerts()
    say("alerts      " + (", ".join(f"{of} {is_}" for of, is_ in alerts.items()) or "all quiet"))


if __name__ == "__main__":
    main()
