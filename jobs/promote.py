"""A bundle that passed its check becomes `current`, which serving follows; an older one too."""

from rayrank.run.job import add_version, run_job
from rayrank.run.stages import promote

if __name__ == "__main__":
    run_job(
        __doc__, lambda run, arguments: promote(run, arguments.version), add_version, on_ray=False
    )
