"""Each alert fires on its symptom and not just below it, and has its page in the runbook.

What fires is found by promtool over series that are written out: `a+bxn` begins at a and rises by
b, n times, a minute apart.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from rayrank.monitor.prometheus import plain_rules

from ..clusters import ROOT
from ..test_docs import headings

RULES = sorted((ROOT / "k8s" / "monitoring").glob("rules-*.yaml"))
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load(plain_rules(RULES))["groups"]
    for rule in group["rules"]
}
RUNBOOK = ROOT / "docs" / "runbook.md"
HOUR = 60
APP = 'application="ranking"'
DECIDED = "ray_rayrank_day_decided_time_seconds"
LABELS = "ray_rayrank_data_labels"
REFUSED_IDS = 'ray_rayrank_train_table_refused_total{ranker="mtgr",table="item"}'
WORKERS = 'ray_actors{Name="RayTrainWorker",State="ALIVE"}'


class Case(NamedTuple):
    alert: str
    why: str
    fires: bool
    series: dict[str, str]
    """Name -> values, a minute apart."""
    minutes: int
    """When it is looked."""


def requests(share: float, status: str, app: str = APP) -> dict[str, str]:
    """Of a thousand in a minute a share have a status, all others 200."""
    bad = round(1000 * share)
    name = "ray_rayrank_requests_total"
    return {
        f'{name}{{{app},status="200"}}': f"0+{1000 - bad}x60",
        f'{name}{{{app},status="{status}"}}': f"0+{bad}x60",
    }


def latencies(slow: int) -> dict[str, str]:
    """Of a thousand in a minute so many took between 0.5 and 1 s, all others less than 0.1."""
    name = "ray_rayrank_request_ms_bucket"
    return {
        f'{name}{{{APP},le="{le}"}}': f"0+{1000 - slow if below else 1000}x60"
        for le, below in (("100", True), ("500", True), ("1000", False), ("+Inf", False))
    }


def replicas(healthy: int, wanted: int) -> dict[str, str]:
    return {
        f'ray_serve_deployment_replica_healthy{{{APP},replica="{n}"}}': "1x60"
        for n in range(healthy)
    } | {f"ray_serve_autoscaling_target_replicas{{{APP}}}": f"{wanted}x60"}


def decided(outcome: str, when: int, gate: str = "", day: str = "2026-11-24") -> dict[str, str]:
    """A day that was decided on in a minute, and seen in that one alone."""
    name = f'{DECIDED}{{ranker="mtgr",day="{day}",outcome="{outcome}",gate="{gate}"}}'
    return {name: f"_x{when} {60 * when} _x10" if when else "0 _x10"}


def labels(unknown: int) -> dict[str, str]:
    of = 'rows="a",task="click"'
    return {
        f'{LABELS}{{{of},known="true"}}': f"{100 - unknown} _x10",
        f'{LABELS}{{{of},known="false"}}': f"{unknown} _x10",
    }


def waits(share: float) -> dict[str, str]:
    of = '{ranker="mtgr",version="a"'
    return {
        f"ray_rayrank_train_waited_seconds_total{of}}}": f"0+{60 * share}x60",
        f'ray_rayrank_train_phase_seconds_total{of},phase="waiting"}}': f"0+{60 * share}x60",
        f'ray_rayrank_train_phase_seconds_total{of},phase="forward"}}': f"0+{60 - 60 * share}x60",
    }


def memory(used: int) -> dict[str, str]:
    return {
        'ray_node_mem_used{instance="a"}': f"{used}x60",
        'ray_node_mem_total{instance="a"}': "100x60",
    }


def tokens(values: str) -> dict[str, str]:
    return {'ray_rayrank_train_tokens_total{ranker="mtgr",version="a"}': values}


FAILED = f'ray_rayrank_switches_total{{{APP},ok="false"}}'
OLD = f'ray_rayrank_bundle_age_s{{{APP},version="old"}}'
NEW = f'ray_rayrank_bundle_age_s{{{APP},version="new"}}'
DRIFT = f'ray_rayrank_drift{{{APP},of="score.click",version="a"}}'

CASES = [
    Case("RayrankScrapeFails", "a node is gone", True, {'up{job="ray",instance="a"}': "0x60"}, 10),
    Case(
        "RayrankScrapeFails",
        "on Kubernetes",
        True,
        {'up{job="models/rayrank-worker",instance="a"}': "0x60"},
        10,
    ),
    Case(
        "RayrankScrapeFails", "it came again", False, {'up{job="ray",instance="a"}': "0x4 1x60"}, 10
    ),
    Case("RayrankScrapeFails", "another's", False, {'up{job="others",instance="a"}': "0x60"}, 10),
    Case("RayrankNodeMemory", "0.96", True, memory(96), 10),
    Case("RayrankNodeMemory", "0.95", False, memory(95), 10),
    Case("RayrankDayRefused", "the only day", True, decided("refused", 5, "day"), HOUR),
    Case(
        "RayrankDayRefused",
        "the last one",
        True,
        decided("accepted", 5) | decided("refused", 25, "quality", "2026-11-25"),
        HOUR,
    ),
    Case(
        "RayrankDayRefused",
        "accepted again",
        False,
        decided("refused", 5, "day") | decided("accepted", 25),
        HOUR,
    ),
    Case("RayrankDayMissing", "37 hours", True, decided("accepted", 0), 37 * HOUR),
    Case("RayrankDayMissing", "35 hours", False, decided("accepted", 0), 35 * HOUR),
    Case(
        "RayrankDayMissing",
        "a refused one is none",
        True,
        decided("accepted", 0) | decided("refused", 36 * HOUR, "day", "2026-11-25"),
        37 * HOUR,
    ),
    Case("RayrankLabelsUnknown", "51 of 100", True, labels(51), HOUR),
    Case("RayrankLabelsUnknown", "50 of 100", False, labels(50), HOUR),
    Case(
        "RayrankTrainingStalled",
        "workers without a step",
        True,
        {WORKERS: "2x60", **tokens("0+100x10 1000x50")},
        50,
    ),
    Case("RayrankTrainingStalled", "before any step", True, {WORKERS: "2x60"}, 30),
    Case("RayrankTrainingStalled", "they step", False, {WORKERS: "2x60", **tokens("0+100x60")}, 50),
    Case(
        "RayrankTrainingStalled",
        "the run has ended",
        False,
        {WORKERS: "2x10 0x50", **tokens("0+100x10 1000x50")},
        50,
    ),
    Case("RayrankTrainingWaits", "0.31", True, waits(0.31), 40),
    Case("RayrankTrainingWaits", "0.29", False, waits(0.29), 40),
    Case("RayrankTableRefuses", "some", True, {REFUSED_IDS: "0+1x60"}, 30),
    Case("RayrankTableRefuses", "no more of them", False, {REFUSED_IDS: "0+1x10 10x50"}, 40),
    Case("RayrankServingErrors", "1.1 %", True, requests(0.011, "500"), 20),
    Case("RayrankServingErrors", "1 %", False, requests(0.01, "500"), 20),
    Case("RayrankServingErrors", "refused for load", False, requests(0.5, "503"), 20),
    Case("RayrankServingErrors", "faulty requests", False, requests(0.5, "422"), 20),
    Case(
        "RayrankServingErrors",
        "in a check",
        False,
        requests(0.5, "500", 'application="check"'),
        20,
    ),
    Case("RayrankServingLate", "6 % refused", True, requests(0.06, "503"), 30),
    Case("RayrankServingLate", "6 % late", True, requests(0.06, "504"), 30),
    Case("RayrankServingLate", "5 %", False, requests(0.05, "503"), 30),
    Case("RayrankServingSlow", "11 of 1,000", True, latencies(11), 30),
    Case("RayrankServingSlow", "9 of 1,000", False, latencies(9), 30),
    Case("RayrankReplicasMissing", "1 of 2", True, replicas(1, 2), 20),
    Case("RayrankReplicasMissing", "none of 2", True, replicas(0, 2), 20),
    Case("RayrankReplicasMissing", "2 of 2", False, replicas(2, 2), 20),
    Case("RayrankSwitchFailed", "the first one ever", True, {FAILED: "_x20 1x40"}, 30),
    Case("RayrankSwitchFailed", "one more", True, {FAILED: "1x30 2x30"}, 45),
    Case("RayrankSwitchFailed", "an hour ago", False, {FAILED: "_x20 1x120"}, 90),
    Case("RayrankBundleOld", "49 hours", True, {OLD: f"{49 * 3600}x60"}, 40),
    Case("RayrankBundleOld", "47 hours", False, {OLD: f"{47 * 3600}x60"}, 40),
    Case(
        "RayrankBundleOld", "a newer beside it", False, {OLD: f"{49 * 3600}x60", NEW: "60x60"}, 40
    ),
    Case("RayrankDrift", "0.26", True, {DRIFT: "0.26x60"}, 40),
    Case("RayrankDrift", "0.25", False, {DRIFT: "0.25x60"}, 40),
    Case("RayrankDrift", "for a moment", False, {DRIFT: "0.1x20 0.9x10 0.1x30"}, 29),
]


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (apt-get install prometheus)")
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)


def test_prometheus_takes_the_rules(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(plain_rules(RULES))
    done = promtool("check", "rules", tmp_path / "rules.yml")
    assert done.returncode == 0, done.stderr
    assert f"{len(ALERTS)} rules found" in done.stdout


@pytest.mark.parametrize("alert", ALERTS)
def test_it_fires_on_its_symptom_and_not_just_below(alert: str, tmp_path: Path) -> None:
    cases = [case for case in CASES if case.alert == alert]
    assert {case.fires for case in cases} == {True, False}
    (tmp_path / "rules.yml").write_text(plain_rules(RULES))
    tests = [
        {
            "name": case.why,
            "interval": "1m",
            "input_series": [{"series": s, "values": v} for s, v in case.series.items()],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})',
                    "eval_time": f"{case.minutes}m",
                    "exp_samples": [{"labels": "{}", "value": 1}] if case.fires else [],
                }
            ],
        }
        for case in cases
    ]
    told = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "tests.yml").write_text(json.dumps(told))
    done = promtool("test", "rules", tmp_path / "tests.yml")
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.mark.parametrize("alert", ALERTS)
def test_it_says_what_is_wrong_and_where_to_read_on(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    file, heading = rule["annotations"]["runbook_url"].split("#")
    assert ROOT / file == RUNBOOK
    assert f"#{heading}" in headings(RUNBOOK)


def test_every_page_of_the_runbook_is_an_alerts() -> None:
    told = re.findall(r"^## (Rayrank\w+)$", RUNBOOK.read_text(), re.MULTILINE)
    assert sorted(told) == sorted(ALERTS)
