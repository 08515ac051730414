"""A whole run: every stage in order, in one process.

One driver, so that Ray's dashboard shows one job: of several drivers that share a submission it
knows only the last, and its page of training runs fails on the others' (ray 2.60).
"""

from rayrank.evaluate.table import quality_table
from rayrank.run.mlflow_log import demand_mlflow
from rayrank.run.report import report
from rayrank.run.run import Run
from rayrank.run.stages import build, check, evaluate, export, promote, train
from rayrank.run.summary import Summary, summarize, summary_table
from rayrank.run.terminal import console


def pipeline(run: Run) -> Summary:
    """From the log to a promoted bundle, a report and a summary. The first ranker is served."""
    demand_mlflow()  # rather than after rows were built
    stats = build(run)
    train(run, run.config.rankers)
    evaluation = evaluate(run)
    console.print(quality_table(evaluation))
    export(run, run.config.ranker(None)[0])
    checked = check(run)
    promote(run)
    report(run)
    summary = summarize(run, stats, evaluation, checked)
    console.print(summary_table(summary))
    return summary
