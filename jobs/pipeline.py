"""Every stage in one job: rows, training, evaluation, bundle, check, promotion, report."""

from rayrank.run.job import run_job
from rayrank.run.pipeline import pipeline

if __name__ == "__main__":
    run_job(__doc__, lambda run, arguments: pipeline(run))
