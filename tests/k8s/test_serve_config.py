"""The Serve configuration in the RayService: Ray takes it, reads all of it; it is what we want."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from ray.serve.schema import ServeDeploySchema
from rayrank.errors import ConfigError
from rayrank.strict import parse

from .objects import Object, find
from .serve_config import serve_config_of, unknown_keys
from .serve_schema import ServeConfig
from .settings import environment


@pytest.fixture
def config(overlay: list[Object]) -> Object:
    content: Object = serve_config_of(find(overlay, "RayService"))
    return content


def test_ray_takes_the_config(config: Object) -> None:
    parsed = ServeDeploySchema.model_validate(config)
    assert [app.import_path for app in parsed.applications] == ["serve_apps.ranking:build"]
    # The port that the Service and the network policy open.
    assert parsed.http_options.port == 8000


@pytest.mark.parametrize(
    ("deployment", "expected"),
    [
        ({"name": "a", "max_ongoing_request": 5}, "max_ongoing_request"),
        ({"name": "a", "ray_actor_options": {"num_cpu": 1}}, "ray_actor_options.num_cpu"),
        ({"name": "a", "autoscaling_config": {"min_replica": 1}}, "autoscaling_config.min_replica"),
    ],
)
def test_misspelt_deployment_keys_are_found(
    config: Object, deployment: Object, expected: str
) -> None:
    config["applications"][0]["deployments"] = [deployment]
    # The first is why this check is ours to make.
    if "max_ongoing_request" in deployment:
        ServeDeploySchema.model_validate(config)
    found = unknown_keys(ServeDeploySchema, config)
    assert found == [f"$.applications[0].deployments[0].{expected}"]


def told(config: Object) -> Object:
    found: Object = config["applications"][0]["args"]
    return found


def deployed(config: Object) -> Object:
    found: Object = config["applications"][0]["deployments"][0]
    return found


BITES: list[tuple[str, Callable[[Object], Any]]] = [
    ("http_options.host", lambda c: c["http_options"].pop("host")),
    ("http_options.port", lambda c: c["http_options"].update(port=8001)),
    ("http_options.request_timeout_s", lambda c: c["http_options"].update(request_timeout_s=60)),
    (
        "at most 1 item",
        lambda c: c["applications"].append({**c["applications"][0], "name": "b"}),
    ),
    ("limits.timeout_ms", lambda c: told(c).update(limits={"timeout_ms": 10_000})),
    ("whoever reaches the port", lambda c: told(c).update(authenticate=False)),
    ("keys_file: not", lambda c: told(c).pop("keys_file")),
    ("a promotion would not be followed", lambda c: told(c).update(version="v1")),
    ("args.cache_byte: unknown key", lambda c: told(c).update(cache_byte=1)),
    ("num_replicas", lambda c: deployed(c).pop("num_replicas")),
    ("num_replicas", lambda c: deployed(c).update(num_replicas="auto")),
    ("autoscaling_config: unknown", lambda c: deployed(c).update(autoscaling_config={})),
    ("max_replicas_per_node", lambda c: deployed(c).pop("max_replicas_per_node")),
    ("max_surge_percent", lambda c: deployed(c).pop("max_surge_percent")),
    ("max_ongoing_requests", lambda c: deployed(c).update(max_ongoing_requests=5)),
    ("max_queued_requests", lambda c: deployed(c).update(max_queued_requests=-1)),
    ("backpressure_config", lambda c: deployed(c).pop("backpressure_config")),
    ("retry_after_s", lambda c: deployed(c)["backpressure_config"].update(retry_after_s=0)),
    ("graceful_shutdown", lambda c: deployed(c).update(graceful_shutdown_timeout_s=5)),
    ("ray_actor_options.num_gpus", lambda c: deployed(c)["ray_actor_options"].update(num_gpus=0.5)),
    ("ray_actor_options.num_cpus", lambda c: deployed(c)["ray_actor_options"].update(num_cpus=0)),
    ("name", lambda c: deployed(c).update(name="Ranking")),
]


@pytest.mark.parametrize(("says", "change"), BITES)
def test_our_schema_bites(config: Object, says: str, change: Callable[[Object], Any]) -> None:
    changed = copy.deepcopy(config)
    with environment({"RAYRANK_RUNS": "/storage"}):
        parse(ServeConfig, config, "ours")
        change(changed)
        with pytest.raises(ConfigError, match="ours: ") as refused:
            parse(ServeConfig, changed, "ours")
    assert says in str(refused.value)


def test_a_place_without_its_variable(config: Object) -> None:
    """`$RAYRANK_RUNS` is the pod's, not whoever's who runs these tests."""
    with (
        environment({}),
        pytest.raises(ConfigError, match=r"\$RAYRANK_RUNS is not set"),
    ):
        parse(ServeConfig, config, "ours")
