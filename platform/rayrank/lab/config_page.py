"""docs/config-lab.md, every key of a lab that is no run's: made from the code (`make docs`)."""

import sys
from pathlib import Path

from rayrank.data.config import DataConfig
from rayrank.evaluate.config import EvaluateConfig
from rayrank.lab.config import LabConfig
from rayrank.run.config_page import in_markdown, sections
from rayrank.train.config import RankerConfig

A_RUNS = (DataConfig, EvaluateConfig, RankerConfig)

LAB = """\
# Every key of a lab

Made from the code by `make docs`.

A lab's config is a YAML file as `jobs/lab.yaml` is ([the model lab](lab.md), which says how to
change a key). `NAME` is any name you give a model or a log. What `models.NAME`, `logs.NAME.data`
and `evaluate` may say is what a run's `rankers.NAME`, `data` and `evaluate` may
([every key](config.md)).
"""


def page() -> str:
    """The whole page."""
    return "\n".join([LAB, *map(in_markdown, sections(LabConfig, without=A_RUNS))])


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page())
