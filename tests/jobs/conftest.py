"""One cluster for the tests of jobs and of the endpoint: a Ray of its own, since what is tried is
`ray job submit`, `serve deploy` and a token."""

import shlex
import shutil
from collections.abc import Iterator

import pytest
import yaml
from rayrank.data.row_stats import read_stats
from rayrank.evaluate.run import SCORES
from rayrank.serve.replay import replay
from rayrank.storage import files_in, read_parquet

from ..clusters import ROOT, free_port, ray_head, wait_until
from .cluster import KEY, PLANTED, Endpoint, Trained, submit
from .podcasts import write_podcasts


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    work = tmp_path_factory.mktemp("work")
    for folder in ("jobs", "serve_apps"):
        shutil.copytree(ROOT / folder, work / folder)
    write_podcasts(work / "log")
    (work / "jobs" / "cluster.yaml").write_text(
        yaml.safe_dump(
            {
                "run_dir": str(work / "run"),
                "data": {"source": "parquet", "path": str(work / "log"), "partitions": 2},
                "rankers": {
                    "mtgr": {
                        "model": {
                            "kind": "mtgr",
                            "d_model": 32,
                            "heads": 2,
                            "embedding_std": 0.5,
                            "attention_length": 16,
                        },
                        "train": {
                            "epochs": 6,
                            "max_cost": 200,
                            "learning_rate": 1e-2,
                            "table_learning_rate": 0.1,
                            "warmup_steps": 5,
                        },
                    }
                },
                "evaluate": {"bootstrap_samples": 5},
            }
        )
    )
    entrypoint = shlex.split("python jobs/pipeline.py --config jobs/cluster.yaml --new")
    # Of two nodes, since no node may have both replicas: on each one CPU for jobs, and one for its
    # replica.
    with ray_head(
        cpus=2, workers=[2], PYTHONPATH=str(work), RAYRANK_API_KEY=KEY, **PLANTED
    ) as head:
        yield Trained(head, work, entrypoint, submit(head, work, entrypoint))


@pytest.fixture(scope="session")
def endpoint(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Endpoint:
    deployed = yaml.safe_load((ROOT / "serve_apps" / "ranking.yaml").read_text())
    deployed["http_options"].update(host="127.0.0.1", port=free_port())
    run = trained.run
    # Not where jobs are submitted from: all that lies there is sent along.
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(KEY)
    deployed["applications"][0]["args"].update(
        bundles=str(run.folder.bundles), keys_file=str(keys), follow_s=0.2
    )
    config = trained.work / "ranking.yaml"
    config.write_text(yaml.safe_dump(deployed))
    trained.head.run("serve", "deploy", str(config))

    log, schema = run.open_log()
    (scores,) = files_in(run.folder.evaluations / "mtgr", f"*/{SCORES}")
    scored = read_parquet(scores)
    users = scored["user"].combine_chunks().unique()[:20]
    times = read_stats(run.rows()).split_times_ms
    requests = replay(log, schema, users, times)
    found = Endpoint(f"http://127.0.0.1:{deployed['http_options']['port']}", requests, scored)
    wait_until("the endpoint is healthy", found.answers)
    return found
