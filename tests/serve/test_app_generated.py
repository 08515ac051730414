"""Whatever is sent, what comes back is in the document: to requests that Schemathesis makes of it,
sound and unsound, and to sound ones with something changed. `make fuzz-serve` sends 10,000."""

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from schemathesis import GenerationMode

from ..changes import GONE, changed
from ..clusters import API_KEY
from .app_client import Client, request
from .test_request_any import JSON

GENERATED = int(os.environ.get("GENERATED", "200"))
KEY = {"Authorization": f"Bearer {API_KEY}"}
ROOT = str(Path(__file__).parents[2])
JUNK = st.one_of(JSON, st.just(GONE), st.lists(JSON, min_size=6, max_size=6))


@st.composite
def near_misses(draw: st.DrawFn) -> dict[str, Any]:
    """A sound request, of which at most one thing is something else."""
    asked = request(draw(st.integers(0, 50)), draw(st.integers(1, 6)), draw(st.integers(0, 4)))
    places = [
        *asked,
        *(f"profile.{name}" for name in asked["profile"]),
        *(f"candidates.{name}" for name in asked["candidates"]),
        *(f"sequences.views.{name}" for name in asked["sequences"]["views"]),
    ]
    if draw(st.booleans()):
        return asked
    return changed(asked, draw(st.sampled_from(places)), draw(JUNK))


def answer_to(client: Client, case: Any) -> tuple[int, str]:
    """Of a case of Schemathesis', or of a request. A deadline of a few ms is met by nobody."""
    if isinstance(case, dict):
        sent = client.http.post("/v1/rank", content=json.dumps(case), headers=KEY)
        return sent.status_code, sent.text
    case.headers.pop("X-Timeout-Ms", None)
    answered = case.call(base_url=str(client.http.base_url), headers=KEY)
    return answered.status_code, answered.text


def test_what_comes_back_is_in_the_document(client: Client) -> None:
    document = client.get("/openapi.json", headers=KEY).json()
    operation = schemathesis.openapi.from_dict(document)["/v1/rank"]["POST"]
    statuses: Counter[int] = Counter()

    def of(schema: dict[str, Any]) -> Callable[[Any], bool]:
        return Draft202012Validator({**schema, "components": document["components"]}).is_valid

    told = document["paths"]["/v1/rank"]["post"]["responses"]
    sound = {
        int(status): of(answer["content"]["application/json"]["schema"])
        for status, answer in told.items()
    }

    @settings(
        max_examples=GENERATED,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        case=st.one_of(
            near_misses(),
            operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
            operation.as_strategy(generation_mode=GenerationMode.NEGATIVE),
        )
    )
    def ask(case: Any) -> None:
        try:
            status, text = answer_to(client, case)
        except httpx.TimeoutException as error:
            raise AssertionError("it hangs") from error
        statuses[status] += 1
        assert status < 500, text
        assert sound[status](json.loads(text)), text
        assert "Traceback" not in text
        assert ROOT not in text

    ask()
    print(f"{statuses.total()} requests: {dict(statuses)}")
    assert statuses.keys() >= {200, 400, 422}
