"""The Serve configuration in the RayService is one that Ray takes, and Ray reads all of it.

Ray's own schema lets unknown keys pass, so a misspelt limit would silently be the default.
"""

from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel
from ray.serve.schema import ServeDeploySchema

from .objects import Object


def unknown_keys(model: type[BaseModel], content: Any, path: str = "$") -> list[str]:
    """The keys in `content` that `model` has no field for, at any depth."""
    if not isinstance(content, dict):
        return []
    found = []
    for key, value in content.items():
        field = model.model_fields.get(key)
        if field is None:
            found.append(f"{path}.{key}")
            continue
        for below in models_in(field.annotation):
            for position, item in enumerate(value if isinstance(value, list) else [value]):
                step = f"[{position}]" if isinstance(value, list) else ""
                found += unknown_keys(below, item, f"{path}.{key}{step}")
    return found


def models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in models_in(part)]


@pytest.fixture
def config(manifests: list[Object]) -> Object:
    (service,) = [m for m in manifests if m["kind"] == "RayService"]
    content: Object = yaml.safe_load(service["spec"]["serveConfigV2"])
    return content


def test_ray_takes_the_config(config: Object) -> None:
    parsed = ServeDeploySchema.model_validate(config)
    assert [app.import_path for app in parsed.applications] == ["serve_apps.ranking:build"]
    # The port that the Service and the network policy open.
    assert parsed.http_options.port == 8000


def test_config_has_no_unknown_key(config: Object) -> None:
    assert unknown_keys(ServeDeploySchema, config) == []


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
