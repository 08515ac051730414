"""The engine's scores are the ranker's, whoever asks and in whatever company."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from rayrank.infer.bundle import load_bundle
from rayrank.infer.engine import Engine

from ..model.rows import SCHEMA, jagged, table
from .bundles import CONFIGS, USERS, trained, write


@pytest.fixture(params=list(CONFIGS))
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    torch.set_num_threads(1)
    manifest = write(tmp_path, trained(request.param), request.param)
    return Engine(load_bundle(tmp_path / manifest.version))


def test_scores_are_the_rankers_row_by_row(engine: Engine) -> None:
    ranker = engine.bundle.ranker
    expected = ranker.predictions(ranker(jagged(USERS))).numpy()
    scores = engine.submit(table(USERS)).result().scores
    assert [s.shape for s in scores] == [(len(u.candidates), len(SCHEMA.tasks)) for u in USERS]
    assert all(s.dtype == np.float32 for s in scores)
    np.testing.assert_allclose(np.concatenate(scores), expected, rtol=1e-5, atol=1e-7)
    engine.close()


def test_rows_without_labels_and_in_chunks_score_alike(engine: Engine) -> None:
    rows = table(USERS)
    expected = engine.submit(rows).result().scores
    chunked = pa.concat_tables([rows.slice(i, 1).drop_columns(["labels"]) for i in range(3)])
    for one, other in zip(engine.submit(chunked).result().scores, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
    engine.close()


def test_no_rows_have_no_scores(engine: Engine) -> None:
    assert engine.submit(table([])).result().scores == []
    engine.close()


def test_a_user_without_candidates_has_no_scores(engine: Engine) -> None:
    users = [USERS[0], replace(USERS[1], candidates=[]), USERS[2]]
    shapes = [scores.shape for scores in engine.submit(table(users)).result().scores]
    assert shapes == [(3, 2), (0, 2), (2, 2)]
    engine.close()


def test_many_threads_get_what_one_gets(engine: Engine) -> None:
    asked = [table([USERS[i % 3], USERS[(i + 1) % 3]][: 1 + i % 2]) for i in range(48)]
    alone = [engine.submit(rows).result().scores for rows in asked]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda rows: engine.submit(rows).result().scores, asked))
    for one, other in zip(alone, together, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    engine.close()


def test_a_fault_in_one_batch_is_its_callers_alone(engine: Engine) -> None:
    broken = engine.submit(table(USERS).drop_columns(["candidates"]))
    whole = engine.submit(table(USERS))
    with pytest.raises(KeyError):
        broken.result()
    assert len(whole.result().scores) == 3
    engine.close()


def test_closing_finishes_what_was_asked_and_takes_no_more(engine: Engine) -> None:
    asked = [engine.submit(table(USERS)) for _ in range(5)]
    engine.close()
    assert all(future.done() for future in asked)
    with pytest.raises(RuntimeError):
        engine.submit(table(USERS))


WITHOUT = """
import sys
for name in ("ray", "torchrec", "fbgemm_gpu", "lightgbm", "fastapi", "scipy", "rich", "httpx"):
    sys.modules[name] = None  # as if it were not installed
from pathlib import Path
import pyarrow as pa
from rayrank.infer.bundle import load_bundle
from rayrank.infer.engine import Engine

engine = Engine(load_bundle(Path(sys.argv[1])))
rows = pa.ipc.open_file(sys.argv[2]).read_all()
assert "pandas" not in sys.modules  # pyarrow looks for it in its own way
print(sum(len(scores) for scores in engine.submit(rows).result().scores))
"""


def test_a_replicas_image_needs_neither_ray_nor_torchrec(tmp_path: Path) -> None:
    folder = tmp_path / write(tmp_path, trained("mtgr"), "mtgr").version
    rows = table(USERS)
    with pa.ipc.new_file(str(tmp_path / "rows.arrow"), rows.schema) as file:
        file.write_table(rows)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(folder), str(tmp_path / "rows.arrow")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["6"]
