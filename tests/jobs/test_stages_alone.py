"""Each stage as a job of its own, behind the pipeline that has done all of them."""

import pytest

from .cluster import Trained

STAGES = ["build_rows", "train", "evaluate", "export", "check", "report"]


@pytest.mark.parametrize("stage", STAGES)
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
