"""The endpoint asked in Arrow: columns as they lie in memory, several users, the best first.

    RAYRANK_API_KEY=… python examples/rank_arrow.py http://127.0.0.1:8000 runs/demo/request.json

A table has a row for each user, whose structs and lists are the fields of the JSON. What is here
made of a JSON file comes from a feature store or a DataFrame as a rule.
"""

import json
import os
import sys
from pathlib import Path

import httpx
import pyarrow as pa

ARROW = "application/vnd.apache.arrow.stream"


def rank(url: str, key: str, users: pa.Table, formula: str, top: int) -> pa.Table:
    """A row for each user: `items` and `scores`, the best `top` by the formula first."""
    ranking = json.dumps({"formula": formula, "top": top})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, users.schema.with_metadata({"ranking": ranking})) as writer:
        writer.write_table(users.replace_schema_metadata({"ranking": ranking}))
    answer = httpx.post(
        f"{url}/v1/rank",
        content=bytes(sink.getvalue()),
        headers={"Authorization": f"Bearer {key}", "Content-Type": ARROW},
        timeout=10,
    )
    answer.raise_for_status()
    return pa.ipc.open_stream(answer.content).read_all()


def main(url: str, request: Path) -> None:
    users = pa.Table.from_pylist([json.loads(request.read_text())] * 2)
    models = httpx.get(
        f"{url}/v1/models",
        headers={"Authorization": f"Bearer {os.environ['RAYRANK_API_KEY']}"},
    ).json()
    task = models["models"][0]["tasks"][0]
    ranked = rank(url, os.environ["RAYRANK_API_KEY"], users, task, top=3)
    for best in ranked.to_pylist():
        print(f"the best by {task}: {best['items']}, scores {best['scores'][task]}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
