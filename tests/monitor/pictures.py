"""Pictures of the dashboards, from a real cluster: five days learned from, one of them damaged, then
some minutes of traffic, a promotion, and drifted input.

    python -m tests.monitor.pictures docs
"""

import json
import random
import sys
import tempfile
import time
from pathlib import Path

from rayrank.data.config import SimulateConfig
from rayrank.monitor.dashboards import DASHBOARDS
from rayrank.monitor.look import look
from rayrank.monitor.picture import dashboard_picture

from bench.demo_ranker import RANKER

from .scene import Days, Scene, damaged, watched_scene

EVERY_S = 2
TRAFFIC_S = 150.0


def days(folder: Path) -> Days:
    return Days(
        SimulateConfig(users=600, days=6, mean_length=40),
        damaged=3,
        config={
            "run_dir": str(folder / "run"),
            "data": {"source": "parquet", "path": str(folder / "log"), "split": {"test": 0}},
            "rankers": {"mtgr": RANKER},
            "daily": {"gates": {"quality": 0.05, "log_loss": 0.2}},
        },
        wanted="2026-03-02..2026-03-06",
    )


def traffic(scene: Scene) -> None:
    """Users who come again and new ones, for some minutes; more of them in the middle."""
    chance, asked = random.Random(0), json.loads(scene.request)
    begun, known = time.monotonic(), [f"user-{n}" for n in range(20)]
    while (gone := time.monotonic() - begun) < TRAFFIC_S:
        user = dict(asked)
        ids = asked["user"]["user_id"] if "user_id" in asked.get("user", {}) else None
        if isinstance(ids, int):
            user["user"] = {**asked["user"], "user_id": chance.randrange(10_000)}
        assert known
        scene.post(json.dumps(user).encode())
        if chance.random() < 0.02:
            scene.post(damaged(scene.request))
        busy = 0.3 < gone / TRAFFIC_S < 0.7
        time.sleep(0.02 if busy else 0.1)


def main() -> None:
    out = Path(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="rayrank-pictures-") as name:
        folder, begun = Path(name), time.time()
        with watched_scene(folder, days(folder), EVERY_S) as scene:
            traffic(scene)
            for dashboard in DASHBOARDS:
                shown = look(scene.prometheus, [dashboard], EVERY_S, time.time() - begun)
                path = out / f"{dashboard.uid.replace('rayrank', 'dashboard')}.svg"
                path.write_text(dashboard_picture(dashboard, shown))
                print(path)


if __name__ == "__main__":
    main()
