"""A request: a body, in any of its forms, as user rows that can be scored, and what is wanted.

The JSON of one user is as `serve.user` says; of several, with one answer for all:

    {"users": [{"user": …, "candidates": {…}, …}, …], "ranking": {"formula": …, "top": …}}

`ranking` may stand beside `user` too. In Arrow, a table has a row for each user, with the same
fields (`serve.body`), and `ranking` is JSON in the schema's metadata.
"""

from dataclasses import dataclass

import pyarrow as pa

from rayrank.data.ids import IdTypes
from rayrank.infer.engine import tokens_of
from rayrank.schema import Schema
from rayrank.serve.body import JSON, Form, read_body
from rayrank.serve.errors import Faults, RequestError
from rayrank.serve.limits import Limits
from rayrank.serve.ranking import Ranking, parse_ranking
from rayrank.serve.user import Listed, UserReader


@dataclass(frozen=True)
class RankRequest:
    """A request that can be scored."""

    rows: pa.Table
    """A user row for each user, as `data.user_rows` describes, without labels."""
    users: list[Listed]
    """What each listed."""
    form: Form
    """Of the body, and so of the answer."""
    several: bool
    """Whether it was told as several users."""
    ranking: Ranking | None
    ahead: int
    """How many behaviours were known a little after the request, by another clock: they count as
    known now."""

    @property
    def candidates(self) -> int:
        """Of all users."""
        return sum(len(user.items) for user in self.users)


class RequestParser:
    """Turns request bodies into user rows of one schema."""

    def __init__(self, schema: Schema, id_types: IdTypes, limits: Limits) -> None:
        self.schema, self.id_types, self.limits = schema, id_types, limits

    def parse(self, body: bytes, form: Form = JSON) -> RankRequest:
        """The request in a body.

        Raises RequestError with status 400 (not JSON, or Arrow), 413 (too large) or 422 (a field
        that is missing, unknown, of another type, length or range), and with all other faults that
        could be found.
        """
        told = read_body(body, form)
        if not 0 < len(told.users) <= self.limits.users:
            most, status = self.limits.users, 413 if told.users else 422
            wanted = f"has {len(told.users)} entries; from 1 to {most} are allowed"
            raise RequestError(status, "users", wanted)
        faults, ranking = Faults(), None
        reader = UserReader(self.schema, self.id_types, self.limits, faults)
        asked = [
            reader.read(user, f"users.{place}." if told.several else "")
            for place, user in enumerate(told.users)
        ]
        if told.ranking is not None:
            with faults.noted():
                ranking = parse_ranking(told.ranking, list(self.schema.tasks))
        faults.demand_none()
        users = [user for user in asked if user is not None]
        request = RankRequest(
            rows=pa.concat_tables([user.row for user in users]),
            users=[user.listed for user in users],
            form=form,
            several=told.several,
            ranking=ranking,
            ahead=sum(user.ahead for user in users),
        )
        if (tokens := tokens_of(request.rows)) > self.limits.batch_tokens:
            most = self.limits.batch_tokens
            raise RequestError(413, "users", f"have {tokens} tokens; at most {most} are scored")
        return request
