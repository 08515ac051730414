"""One strict run configuration: a YAML file and `key=value` overrides."""

from rayrank.config.run import DataConfig, EvaluateConfig, RankerConfig, RunConfig, load_config

__all__ = ["DataConfig", "EvaluateConfig", "RankerConfig", "RunConfig", "load_config"]
