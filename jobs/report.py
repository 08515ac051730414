"""One HTML page of what a run found. Writes RUN_DIR/report.html."""

from rayrank.run.job import run_job
from rayrank.run.report import report

if __name__ == "__main__":
    run_job(__doc__, lambda run, arguments: report(run), on_ray=False)
