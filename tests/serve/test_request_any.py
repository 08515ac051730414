"""Whatever is sent, it is parsed or refused with a status and a field: nothing else is raised."""

import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.serve.errors import RequestError

from ..changes import GONE
from ..data.logs import DAY, START
from ..effort import examples
from .requests import GOOD, HUGE, NOW, PARSER


def parse_or_refuse(body: bytes) -> None:
    error: RequestError | None = None
    try:
        PARSER.parse(body)
    except RequestError as caught:
        error = caught
    if error is not None:
        assert error.status in (400, 413, 422)
        assert error.field
        json.dumps(error.body(), ensure_ascii=False, allow_nan=False).encode()


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(START - DAY, START + DAY),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from([NOW, HUGE, 1e308, "\ud800", "\x00"]),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["i", "item", "time_ms", "a", "\udfff"]), inner, max_size=3
        ),
    ),
    max_leaves=6,
)
SECTIONS = {
    "profile": GOOD["profile"],
    "sequences": GOOD["sequences"],
    "sequences.views": GOOD["sequences"]["views"],
    "candidates": GOOD["candidates"],
}
PATHS = st.sampled_from(
    [
        "user",
        "time_ms",
        "x",
        *SECTIONS,
        *(f"{section}.{name}" for section, of in SECTIONS.items() for name in [*of, "wat"]),
    ]
)
CHANGES = st.lists(
    st.tuples(PATHS, st.one_of(JSON, st.lists(SCALARS, min_size=2, max_size=2), st.just(GONE))),
    min_size=1,
    max_size=3,
)


def with_changes(changes: list[tuple[str, Any]]) -> dict[str, Any]:
    """The good request, with some of it gone or something else."""
    request = copy.deepcopy(GOOD)
    for path, value in changes:
        *sections, last = path.split(".")
        inner = request
        for section in sections:
            inner = inner[section] if isinstance(inner.get(section), dict) else {}
        if value is GONE:
            inner.pop(last, None)
        else:
            inner[last] = value
    return request


@settings(max_examples=examples(300), deadline=None)
@given(changes=CHANGES)
def test_no_near_miss_raises_anything_else(changes: list[tuple[str, Any]]) -> None:
    parse_or_refuse(json.dumps(with_changes(changes)).encode())


@settings(max_examples=examples(150), deadline=None)
@given(body=st.one_of(st.binary(max_size=40), JSON.map(lambda v: json.dumps(v).encode())))
def test_no_body_raises_anything_else(body: bytes) -> None:
    parse_or_refuse(body)
