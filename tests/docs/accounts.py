"""Who runs each command of the pages, or where its page says why nobody does.

One entry for each command, found by its text as a whole. `tests/docs/test_walk.py` holds that none
is missing, none is twice and none is of a command that is gone.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Tested:
    """Another test runs it. `words` are the command's own, or those of what `make` runs for it, and
    stand in that test's file or in what it shares with others."""

    command: str
    test: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Said:
    """No test runs it, and every page that has it says why. (The sentence may go on there.)"""

    command: str
    sentence: str
    page: str = ".*"


@dataclass(frozen=True)
class Here:
    """The walk's own check is all there is to it: see `why`."""

    command: str
    why: str


@dataclass(frozen=True)
class Named:
    """A tool by its name: nothing to type."""

    command: str


Account = Tested | Said | Here | Named

DEMO = "tests/jobs/test_demo.py"
CLUSTER = "tests/jobs/test_cluster.py"
STAGES = "tests/jobs/test_stages_alone.py::test_each_stage_alone_finds_its_work_done"
BENCH = "tests/bench/test_{}.py::test_every_figure_is_there"

LONG = "No test runs these measurements whole: they take minutes to hours."
CLUSTERS = "No test runs the commands of this page that need a cluster, an operator or images."
MACHINES = "No test runs `make pictures`, or what needs a cluster or changes a machine."
TROUBLE = "No test runs the commands of this page: they are for a cluster in trouble."
INDEX = (
    "No test runs `make locks`, `make image-sizes` or Docker: "
    "they need a package index, or a daemon."
)

JOBS: list[Account] = [
    Tested(
        r"make demo( (TORCH_INDEX|DATA|SEEDS|SET|CONFIG|NEW)=.*)?|python jobs/demo\.py data.*",
        f"{DEMO}::test_summary",
        ("demo.py",),
    ),
    Tested(
        r".*examples/own_model\.yaml",
        "tests/examples/test_examples.py::test_ones_own_model_is_trained_evaluated_and_exported",
        ("own_model.yaml",),
    ),
    Tested(
        r"make serve( RUN_DIR=\S+)?",
        f"{DEMO}::test_serve_prints_a_curl_line_that_works_and_ends_when_told",
        ("serve.py",),
    ),
    Tested(
        r"curl -s http://127\.0\.0\.1:8000/v1/rank .*",
        f"{DEMO}::test_serve_prints_a_curl_line_that_works_and_ends_when_told",
        ("curl",),
    ),
    Tested(
        r"ray job submit --working-dir \. -- python jobs/pipeline\.py --config jobs/cluster\.yaml",
        f"{CLUSTER}::test_jobs_say_what_they_did",
        ("python jobs/pipeline.py --config jobs/cluster.yaml",),
    ),
    Tested(
        r"serve deploy serve_apps/ranking\.yaml",
        "tests/jobs/test_endpoint.py::test_served_scores_are_the_trainers",
        ("deploy", "ranking.yaml"),
    ),
    Here(
        r"serve run serve_apps\.ranking:build key=value …",
        "its parser is Ray's, and `build` what test_endpoint.py deploys",
    ),
    Tested(r"python jobs/(build_rows|train|evaluate|export|check|report)\.py.*", STAGES, ()),
    Tested(
        r"python jobs/promote\.py.*",
        "tests/run/test_promotion.py::test_the_job_does_one_thing_at_a_time",
        ("promote.py",),
    ),
    Tested(
        r"python jobs/daily\.py.*",
        "tests/run/test_daily.py::test_the_job_says_by_its_status_that_a_day_was_refused",
        ("daily.py",),
    ),
    Tested(
        r"python jobs/plan\.py.*",
        "tests/run/test_plan.py::test_another_ranker_on_another_device_with_rules",
        ("plan.py",),
    ),
    Tested(
        r"python jobs/calibrate\.py.*",
        f"{CLUSTER}::test_a_calibration_says_what_to_write",
        ("calibrate.py",),
    ),
    Tested(
        r"python jobs/score\.py .*--log .*",
        "tests/jobs/test_score_job.py::test_a_job_that_is_killed_leaves_no_marker_and_starts_anew",
        ("score.py", "--log"),
    ),
    Tested(
        r"python jobs/score\.py .*--rows .*",
        "tests/jobs/test_score_job.py::test_a_job_on_a_cluster_gives_the_trainers_scores",
        ("score.py", "--rows"),
    ),
    Tested(
        r"ray drain-node --node-id ID .*",
        "tests/train/test_preemption.py::test_a_node_that_is_told_to_go",
        ("DRAIN_NODE_REASON_PREEMPTION",),
    ),
]

MADE: list[Account] = [
    Here(r"make test(-long)?( TESTS=\S+)?", "this walk is a part of it"),
    Here(r"pytest \S+", "this walk is run beside it"),
    Said(r"make lint", "`.ci/run` runs both; a change lands when it passes on a clean clone."),
    Tested(
        r"make docs",
        "tests/run/test_config_page.py::test_the_pages_are_what_the_code_makes",
        ("rayrank.run.config_page",),
    ),
    Tested(
        r"make site",
        "tests/test_site.py"
        "::test_the_site_is_built_without_a_warning_and_needs_nothing_from_elsewhere",
        ("site",),
    ),
    Tested(
        r"make sbom", "tests/image/test_sbom.py::test_it_is_valid_and_lists_the_lock", ("sbom",)
    ),
    Said(r"make (locks( TORCH_INDEX=\S+)?|image-sizes)|docker buildx build .*", INDEX),
    Tested(
        r"make dashboards",
        "tests/monitor/test_grafana.py::test_what_is_kept_is_what_the_code_says",
        ("rayrank.monitor.grafana",),
    ),
    Tested(
        r"make monitor( (ONCE|PORT)=\S+)?",
        "tests/monitor/test_arrives.py::test_make_monitor_says_what_every_panel_shows",
        ("rayrank.monitor.local",),
    ),
    Said(r"make mutants", "(over an hour; CI does not run it)"),
    Said(r"make constraints", "no test runs it, for it needs a package index"),
]

MEASURED: list[Account] = [
    Said(r"make (kuairand|daily|bench-(delayed|engine|kernels))", LONG),
    Said(
        r"make lab(-quick|( SET=.*)?)",
        "No test runs `make lab` or `make lab-quick`: they take minutes to hours.",
        r"docs/lab\.md",
    ),
    Said(r"PYTHONPATH=kernels python -m bench\.train_waits", LONG),
    Tested(r"make bench-serve", BENCH.format("serve"), ("bench.serve",)),
    Tested(r"make bench-train", BENCH.format("train"), ("bench.train", "bench.train_memory")),
    Tested(
        r"PYTHONPATH=kernels python -m bench\.train_dense .*",
        "tests/bench/test_train.py::test_a_sharded_dense_part_trains_as_a_replicated_one",
        ("bench.train_dense",),
    ),
    Tested(r"make bench-tables", BENCH.format("tables"), ("bench.tables",)),
    Tested(
        r"PYTHONPATH=kernels python -m bench\.tables_plain",
        "tests/bench/test_tables.py::test_a_step_beside_plain_embeddings",
        ("bench.tables_plain",),
    ),
    Tested(
        r"make table-policies",
        "tests/bench/test_tables.py::test_policies_share_a_budget",
        ("bench.table_policies",),
    ),
    Tested(
        r"make bench-data", "tests/bench/test_data.py::test_the_benchmark_measures", ("bench.data",)
    ),
    Tested(
        r"make chaos-serve( SOAK=10)?",
        "tests/bench/test_chaos.py::test_no_request_is_lost",
        ("bench.chaos",),
    ),
    Said(
        r"make chaos-nodes",
        "No test runs `make chaos-nodes`: it needs root, network namespaces and a Redis server.",
    ),
    Said(
        r"PYTHONPATH=kernels python -m benchmarks\.(gpu_suite|tune) \[--out FOLDER\]",
        "No test runs this command and the next: they need a GPU.",
    ),
]

ELSEWHERE: list[Account] = [
    Here(r"pip install (\./kernels|'\.\[\w+\]')", "what is to be installed is there"),
    Here(r".*kubectl create (namespace|secret) .*", "run without a cluster, by --dry-run=client"),
    Tested(
        r"pip install --require-hashes",
        "tests/k8s/test_image.py::test_packages_are_those_of_its_lock",
        ("pip install --require-hashes",),
    ),
    Said(r"pip install tensorboard|tensorboard .*", "No test starts TensorBoard."),
    *map(
        Named, ["ray job( submit)?", "ray start", "serve run", "docker buildx imagetools inspect"]
    ),
    # Those that need a cluster.
    Said(r"kubectl (?!create (namespace|secret)).*|helm .*|kind .*", CLUSTERS, "k8s/README.md"),
    Said(r"docker build .*|export .*|ray job submit -- .*", CLUSTERS, "k8s/README.md"),
    Said(r"make pictures|(apt-get|systemctl|kubectl) .*", MACHINES, "docs/monitoring.md"),
    Said(
        r"(kubectl|cat|tail|ls|curl -s URL\S*|ray job) .*|serve status", TROUBLE, "docs/runbook.md"
    ),
]


def accounts() -> list[Account]:
    return [*JOBS, *MADE, *MEASURED, *ELSEWHERE]


OUTPUT = [
    r"exposures  items  users  events .*",
    r"jobs/build_rows\.py   log -> user rows .*",
    r"mtgr on runs/demo/rows/\w+: an estimate, nothing ran on any H100",
    r"passed  day .*",
    r"training mtgr: .*",
    r"log -> user rows -> plan .*",
    r"jobs, serve_apps -> run -> .*",
    r"runs/mine/rows: holds version .*",
    r"train:",
    r"lost the worker of rank 1 .*",
]
"""What pages show and nobody types, by the first line of it."""


def accounts_of(page: str, text: str, among: list[Account]) -> list[Account]:
    """Those of a command: one, if all is well."""
    return [
        one
        for one in among
        if re.fullmatch(one.command, text)
        and (not isinstance(one, Said) or re.fullmatch(one.page, page))
    ]
