"""The answer to a request: scores of every candidate, in the form in which they were asked for.

    {"model": {…}, "items": […], "scores": {TASK: […], …}}                      of one user
    {"model": {…}, "users": [{"items": […], "scores": {…}}, …]}                 of several

In the order in which candidates were listed; or, where a ranking was asked for, the best first,
with the formula's `values`. In Arrow a table has a row for each user, with the same fields, and
`model` is JSON in the schema's metadata.
"""

from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa

from rayrank.serve.body import ARROW
from rayrank.serve.ranking import Ranking
from rayrank.serve.request import RankRequest
from rayrank.serve.user import Listed
from rayrank.serve.values import Column


class _Answered(NamedTuple):
    items: Column
    scores: dict[str, np.ndarray]
    values: np.ndarray | None


def answer(
    request: RankRequest, scores: list[np.ndarray], model: dict[str, str], tasks: list[str]
) -> bytes:
    """scores: of each user, float32 [candidates, tasks], as their rows hold the candidates.

    Raises RequestError where a ranking's formula gives no finite number, and FloatingPointError for
    a score that is none: no client is told that it is null.
    """
    users = [
        _user(listed, scores_CK, request.ranking, tasks)
        for listed, scores_CK in zip(request.users, scores, strict=True)
    ]
    if request.form == ARROW:
        return _arrow(users, model)
    told = [_told(user) for user in users]
    content = {"model": model, "users": told} if request.several else {"model": model, **told[0]}
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


def _user(
    listed: Listed, scores_CK: np.ndarray, ranking: Ranking | None, tasks: list[str]
) -> _Answered:
    if not np.isfinite(scores_CK).all():
        raise FloatingPointError("a score is not finite")
    in_order = np.empty_like(scores_CK)
    in_order[listed.order] = scores_CK
    scores = {task: np.ascontiguousarray(in_order[:, k]) for k, task in enumerate(tasks)}
    if ranking is None:
        return _Answered(listed.items, scores, None)
    best, values = ranking.order(scores)
    items = listed.items
    ranked = [items[i] for i in best] if isinstance(items, list) else items.take(pa.array(best))
    return _Answered(ranked, {task: of[best] for task, of in scores.items()}, values)


def _told(user: _Answered) -> dict[str, Any]:
    told = {"items": user.items, "scores": user.scores}
    return told if user.values is None else {**told, "values": user.values}


def _arrow(users: list[_Answered], model: dict[str, str]) -> bytes:
    offsets = pa.array(np.cumsum([0, *(len(user.items) for user in users)]), pa.int32())

    def lists(columns: list[Any]) -> pa.Array:
        return pa.ListArray.from_arrays(offsets, pa.concat_arrays(map(pa.array, columns)))

    tasks = users[0].scores.keys()
    of_tasks = [lists([user.scores[task] for user in users]) for task in tasks]
    columns = {
        "items": lists([user.items for user in users]),
        "scores": pa.StructArray.from_arrays(of_tasks, list(tasks)),
    }
    if users[0].values is not None:
        columns["values"] = lists([user.values for user in users])
    table = pa.table(columns).replace_schema_metadata({"model": orjson.dumps(model)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())
