"""Words that have too little room."""

import pytest
from rayrank.report.svg import LETTER, shortened


@pytest.mark.parametrize(
    ("room", "expected"),
    [(5, "mtgr"), (4, "mtgr"), (3.9, "mt…"), (3, "mt…"), (2, "m…"), (1, "m…"), (0, "m…")],
)
def test_words_are_cut_to_their_room_and_never_to_nothing(room: float, expected: str) -> None:
    assert shortened("mtgr", room * LETTER) == expected
