"""Keep the endpoint up on a run's current bundle, until interrupted."""

import argparse
import shlex
import signal
import threading

from rayrank.infer.bundle import bundle_folder, verify_bundle
from rayrank.run.cluster import cluster, joined
from rayrank.run.folder import RunFolder
from rayrank.run.terminal import readable_errors, say
from rayrank.serve.config import RankingArgs
from rayrank.serve.local import APP, local_api_key, running_app
from rayrank.versions import CURRENT


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run-dir", default="runs/demo", help="a run's folder, at any URI")
    parser.add_argument("--version", default=CURRENT, help="a bundle; follows current unless said")
    arguments = parser.parse_args()
    folder = RunFolder(arguments.run_dir)
    with readable_errors():
        verify_bundle(bundle_folder(folder.bundles, arguments.version))
        with cluster(folder, "serve"):
            # Ray has handlers of its own, which would abort the process.
            stop = threading.Event()
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: stop.set())
            args = RankingArgs(bundles=str(folder.bundles), version=arguments.version)
            key = local_api_key(folder.api_key)
            with running_app(args, key, APP, "/", shared=joined()) as url:
                key_file, request = (
                    shlex.quote(str(path)) for path in (folder.api_key, folder.request)
                )
                say(
                    f"serving {folder.bundles}, version {arguments.version}, at {url}; try\n\n"
                    f'  curl -s {url}/v1/rank -H "Authorization: Bearer $(cat {key_file})" '
                    f"-d @{request}\n\nCtrl-C stops it."
                )
                stop.wait()


if __name__ == "__main__":
    main()
