"""`serve run serve_apps.ranking:build bundles=runs/demo/bundles`, or `serve deploy`."""

from typing import Any

from ray import serve
from rayrank.serve.app import build_app
from rayrank.serve.config import RankingArgs
from rayrank.strict import parse


def build(args: dict[str, Any]) -> serve.Application:
    """The ranking application. `args` are `RankingArgs`; unknown ones are errors."""
    return build_app(parse(RankingArgs, args, "args"))
