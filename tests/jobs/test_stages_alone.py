"""Each stage as a job of its own, behind the pipeline that has done all of them."""

import pytest

from ..effort import long_form
from .cluster import Trained

STAGES = ["train", "check"]
PASSED_OVER = ["build_rows", "evaluate", "export", "report"]
"""What a pipeline does that is submitted again (`test_cluster`) passes over these too."""


@pytest.mark.parametrize(
    "stage", [*STAGES, *(pytest.param(s, marks=long_form) for s in PASSED_OVER)]
)
def test_each_stage_alone_finds_its_work_done(trained: Trained, stage: str) -> None:
    def kept() -> dict[str, bytes]:
        versions = [trained.run.folder.bundles, trained.run.folder.ranker("mtgr")]
        return {
            str(file): file.read_bytes()
            for folder in versions
            for file in folder.rglob("*")
            if file.is_file()
        }

    before = kept()
    said = trained.submit(["python", f"jobs/{stage}.py", "--config", "jobs/cluster.yaml"])
    assert "Traceback" not in said
    assert kept() == before, said
