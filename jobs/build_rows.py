"""Exposure log -> user rows, on Ray Data. Writes RUN_DIR/rows."""

from rayrank.run.job import run_job
from rayrank.run.stages import build

if __name__ == "__main__":
    run_job(__doc__, lambda run, arguments: build(run))
