"""A bundle's scores over HTTP against the trainer's. Writes RUN_DIR/checks/VERSION.json."""

from rayrank.run.job import add_version, run_job
from rayrank.run.stages import check

if __name__ == "__main__":
    run_job(__doc__, lambda run, arguments: check(run, arguments.version), add_version)
