"""The Serve configuration in the RayService is one that Ray takes, and Ray reads all of it."""

import pytest
from ray.serve.schema import ServeDeploySchema

from .objects import Object, find
from .serve_config import serve_config_of, unknown_keys


@pytest.fixture
def config(manifests: list[Object]) -> Object:
    content: Object = serve_config_of(find(manifests, "RayService"))
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
