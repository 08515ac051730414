"""Each stage as a process of its own, behind the pipeline that has done all of them."""

from .cluster import Trained

STAGES = {
    "build_rows": "complete already",
    "train": "trained already",
    "evaluate": "scored already",
    "export": "drift will be told from",
    "check": "checked already",
    "report": "report.html",
}
"""Its job, and what it says behind the pipeline."""


def test_each_stage_alone_finds_its_work_done(trained: Trained) -> None:
    """One after the other in one job, for to submit one takes longer than most stages."""

    def kept() -> dict[str, bytes]:
        versions = [trained.run.folder.bundles, trained.run.folder.ranker("mtgr")]
        return {
            str(file): file.read_bytes()
            for folder in versions
            for file in folder.rglob("*")
            if file.is_file()
        }

    before = kept()
    stages = " ".join(STAGES)
    each = f"for s in {stages}; do python jobs/$s.py --config jobs/cluster.yaml; done"
    said = trained.submit(["bash", "-c", f"set -e; {each}"])
    assert "Traceback" not in said
    for words in STAGES.values():
        assert words in said, said
    assert kept() == before, said
