"""Parts of a model in fixed buffers: which rung, what is padded, and what a replay may not see."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.infer.bundle import Bundle, load_bundle
from rayrank.infer.engine import Engine
from rayrank.infer.replays import SMALLEST, TOKENS_OF_A_USER, Replays, rung_for
from rayrank.model.parts import Jagged
from torch import Tensor

from ..model.rows import jagged, table
from .bundles import USERS, trained, write

CPU = torch.device("cpu")


def of(*lengths: int, fill: float = 1.0) -> Jagged:
    """Tokens of users: a number for each."""
    offsets = torch.tensor([0, *lengths]).cumsum(0)
    return Jagged(offsets, (torch.full((sum(lengths), 2), fill),))


class Sums:
    """A part that gives each token its user's sum, and notes the shapes that it saw."""

    def __init__(self) -> None:
        self.seen: set[tuple[int, int]] = set()

    def __call__(self, prefix: Jagged, new: Jagged) -> tuple[Tensor, ...]:
        for part in (prefix, new):
            self.seen.add((len(part.offsets) - 1, len(part.columns[0])))
        sums_B = torch.stack([own.sum() for own in self._of_users(prefix)])
        lengths_B = new.offsets.diff()
        of_N = torch.repeat_interleave(torch.arange(len(lengths_B)), lengths_B)
        result = torch.full((len(new.columns[0]),), torch.nan)  # behind the last user: anything
        result[: len(of_N)] = sums_B[of_N]
        return (result,)

    @staticmethod
    def _of_users(part: Jagged) -> Iterator[Tensor]:
        for first, last in zip(part.offsets[:-1], part.offsets[1:], strict=True):
            yield part.columns[0][int(first) : int(last)]


@settings(deadline=None)
@given(
    users=st.integers(0, 3000),
    tokens=st.lists(st.integers(0, 40_000), min_size=1, max_size=2),
)
def test_a_rung_holds_what_it_is_for_and_hardly_more(users: int, tokens: list[int]) -> None:
    inputs = [Jagged(torch.zeros(users + 1), (torch.empty(count, 0),)) for count in tokens]
    room, *rows = rung_for(inputs)
    assert room >= users
    for count, size in zip(tokens, rows, strict=True):
        assert size >= count
        assert size & (size - 1) == 0
        if size > SMALLEST:  # half as many would not have held them, or the users
            assert count > size // 2 or (size == max(rows) and users * TOKENS_OF_A_USER > size // 2)


def test_a_recorded_part_sees_shapes_of_rungs_alone() -> None:
    part, replays = Sums(), Replays(CPU, 512)
    replays(part, of(3, 4), of(1, 2))
    assert replays.record() == 8  # 3 x 3, without the one that two halves of 512 would need
    part.seen.clear()
    for people in ([1], [100, 30], [0, 7, 300], []):
        prefix, new = of(*people, fill=2.0), of(*([2] * len(people)))
        (found,) = replays(part, prefix, new)
        assert found.tolist() == [4.0 * tokens for tokens in people for _ in range(2)]
    assert replays.replayed == 4
    assert part.seen == {(8, 128), (16, 256), (16, 128), (32, 512), (32, 128)}


def test_what_is_larger_than_the_ladder_runs_as_it_stands() -> None:
    part, replays = Sums(), Replays(CPU, 256)
    replays(part, of(1), of(1))
    replays.record()
    (found,) = replays(part, of(257, fill=1.0), of(1))
    assert found.tolist() == [514.0]
    assert (257 in {rows for _, rows in part.seen}, replays.replayed, replays.ran) == (True, 0, 2)


def test_results_outlive_the_next_replay() -> None:
    part, replays = Sums(), Replays(CPU, 256)
    replays(part, of(1), of(1))
    replays.record()
    (first,) = replays(part, of(5, fill=1.0), of(3))
    replays(part, of(5, fill=9.0), of(3))
    assert first.tolist() == [10.0] * 3


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("bundles")
    return load_bundle(folder / write(folder, trained("mtgr"), "mtgr").version)


def test_what_the_padding_holds_changes_no_score(bundle: Bundle) -> None:
    """NaN in every place behind the last user."""
    ranker = bundle.ranker
    expected = ranker.predictions(ranker(jagged(USERS))).numpy()
    engine = Engine(bundle, cache_bytes=0, batch_tokens=256, replays=True)
    engine.warm()
    replays = engine.scorer.replays
    assert replays is not None
    for inputs in replays._inputs.values():
        for column in (column for columns in inputs.columns for column in columns):
            if column.is_floating_point():
                with torch.inference_mode():
                    column.fill_(torch.nan)
    before = replays.replayed
    found = engine.submit(table(USERS)).result().scores
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=1e-5, atol=1e-7)
    assert replays.replayed == before + 2  # encoded, scored
    engine.close()


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("kind", ["mtgr", "dlrm"])
def test_half_precision_is_near(tmp_path: Path, kind: str, precision: str) -> None:
    bundle = load_bundle(tmp_path / write(tmp_path, trained(kind), kind).version)
    expected = bundle.ranker.predictions(bundle.ranker(jagged(USERS))).numpy()
    engine = Engine(bundle, precision=precision, replays=True)  # type: ignore[arg-type]
    engine.warm()
    halves = {part.dtype for part in bundle.ranker.parameters() if part.dtype != torch.float32}
    assert halves == {getattr(torch, precision)}
    for _ in range(2):  # encoded, then found
        found = np.concatenate(engine.submit(table(USERS)).result().scores)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=0.006 if precision == "float16" else 0.05)
        assert not np.array_equal(found, expected)
    engine.close()
