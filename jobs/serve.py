"""Keep the endpoint up on a run's bundle, until interrupted."""

import argparse
import shlex
import signal
import threading
from pathlib import Path

import ray
from ray import serve
from rayrank.run.terminal import connect, console, readable_errors
from rayrank.infer.bundle import read_manifest
from rayrank.serve.app import RankingArgs
from rayrank.serve.local import APP, local_api_key, start_locally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run-dir", type=Path, default=Path("runs/demo"))
    run_dir = parser.parse_args().run_dir
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with readable_errors():
        args = RankingArgs(bundle=run_dir / "bundle")
        read_manifest(args.bundle)
        local_api_key(run_dir)
        connect(run_dir)
        try:
            url = start_locally(args)
            console.print(
                f"serving {args.bundle} at {url}; try\n\n"
                f'  curl -s {url}/v1/rank -H "Authorization: Bearer '
                f'$(cat {shlex.quote(str(run_dir / "api-key"))})" '
                f"-d @{shlex.quote(str(run_dir / 'request.json'))}\n\nCtrl-C stops it.",
                highlight=False,
                soft_wrap=True,
            )
            stop.wait()
        finally:
            serve.delete(APP)
            ray.shutdown()


if __name__ == "__main__":
    main()
