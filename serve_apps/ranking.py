"""`serve run serve_apps.ranking:build bundle=runs/demo/bundle`, or `serve deploy` ranking.yaml."""

from typing import Any

from genrank.serve.app import RankingArgs, build_app
from genrank.strict import parse
from ray import serve


def build(args: dict[str, Any]) -> serve.Application:
    """The ranking application. `args` are `RankingArgs`; unknown ones are errors."""
    return build_app(parse(RankingArgs, args, "args"))
