"""Pictures of the dashboards, from a real cluster: four days, one of them damaged, then some
minutes of traffic with a busy hour, input that drifts, and faulty requests.

    python -m tests.monitor.pictures docs
"""

import json
import random
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from threading import Event

from rayrank.data.config import SimulateConfig
from rayrank.data.times import start_ms
from rayrank.monitor.dashboards import DASHBOARDS
from rayrank.monitor.look import look
from rayrank.monitor.picture import dashboard_picture
from rayrank.run.config import RunConfig
from rayrank.run.run import Run
from rayrank.serve.replay import Request, replay

from bench.demo_ranker import RANKER

from .scene import Days, Scene, damaged, watched_scene

EVERY_S = 2
TRAFFIC_S = 120.0
LAST = "2026-03-05"


def days(folder: Path) -> Days:
    return Days(
        SimulateConfig(users=1000, days=5, mean_length=40),
        damaged=3,
        config={
            "run_dir": str(folder / "run"),
            "data": {"source": "parquet", "path": str(folder / "log"), "split": {"test": 0}},
            "rankers": {"mtgr": {**RANKER, "train": {**RANKER["train"], "epochs": 25}}},
            "daily": {"epochs": 5, "gates": {"quality": 0.05, "log_loss": 0.2}},
        },
        wanted=f"2026-03-02..{LAST}",
    )


def requests(config: dict) -> list[Request]:
    """What some users would ask for from the last day on."""
    log, schema = Run(RunConfig.model_validate(config)).open_log()
    users = log.read("exposures", [schema.user])[schema.user].combine_chunks().unique()[:100]
    return replay(log, schema, users, [start_ms(date.fromisoformat(LAST), schema.timezone)] * 2)


def traffic(scene: Scene, asked: list[Request]) -> None:
    """Users who come again and new ones; more of them in the middle, and farther away at the
    end."""
    chance, pause, begun = random.Random(0), Event(), time.monotonic()
    while (gone := (time.monotonic() - begun) / TRAFFIC_S) < 1:
        request = json.loads(json.dumps(chance.choice(asked), default=float))
        if gone > 0.6 and chance.random() < 0.5:
            far = [100 * value for value in request["candidates"]["distance_km"]]
            request["candidates"]["distance_km"] = far
        scene.post(json.dumps(request).encode())
        if chance.random() < 0.05:
            scene.post(damaged(scene.request))
        pause.wait(0.02 if 0.3 < gone < 0.7 else 0.15)


def main() -> None:
    out = Path(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="rayrank-pictures-") as name:
        told, begun = days(Path(name)), time.time()
        with watched_scene(Path(name), told, EVERY_S) as scene:
            served = time.time()
            traffic(scene, requests(told.config))
            for dashboard in DASHBOARDS:
                since = served if dashboard.uid == "rayrank-serving" else begun
                shown = look(scene.prometheus, [dashboard], EVERY_S, time.time() - since)
                path = out / f"{dashboard.uid.replace('rayrank', 'dashboard')}.svg"
                path.write_text(dashboard_picture(dashboard, shown))
                print(path)


if __name__ == "__main__":
    main()
