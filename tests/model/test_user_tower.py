"""UserTower: Meituan's user module by its words, what it may read, and what it costs."""

from dataclasses import replace

import torch
from rayrank.model.segments import layouts_of
from rayrank.model.user_tower import UserTower, UserTowerConfig, UserTowerPrefix
from torch import Tensor

from .family import USERS, Seen, Weights, fitted, product_toy, seen, weights
from .rankers import logits_of, ranker
from .rows import SCHEMA, User, behaviour, candidate, features, jagged
from .test_flops import BATCH, counted

CONFIG = UserTowerConfig(
    queries=2, query_width=3, experts=4, expert_hidden=[7, 6, 5], hidden=[16], embedding_std=1.0
)
Q, A, E, H = 2, 3, 4, 5
"""Queries, their width, experts, and the width of their result."""
TASKS = len(SCHEMA.tasks)


def tower(config: UserTowerConfig = CONFIG) -> UserTower:
    model = ranker(config)
    assert isinstance(model, UserTower)
    return model


def module(of: Weights, one: Seen) -> tuple[Tensor, Tensor]:
    """Of one user: what the queries found [Q * A], and the mixture [H]."""
    means = []
    for static, _ in one.behaviours.values():
        count = torch.tensor([float(len(static))], dtype=torch.float64)
        means += [static.sum(0) / max(len(static), 1), torch.log(1 + count)]
    user = torch.cat([*means, one.profile_D])
    queries = of.linear("attention.queries", user).view(Q, A)
    both = [
        of.linear(f"attention.keys_values.{name}", e)
        for name, (static, _) in one.behaviours.items()
        for e in static
    ]
    found = []
    for q in queries:
        powers = [(q @ kv[:A] / A**0.5).exp() for kv in both]
        total = torch.zeros(A, dtype=torch.float64)
        for power, kv in zip(powers, both, strict=True):
            total = total + power / sum(powers) * kv[A:]
        found.append(total)
    read = torch.cat([*found, user])
    shares = of.linear("gate.weigh", read).exp()
    experts = [of.mlp(f"experts.each.{i}", 3, read) for i in range(E)]
    mixed = sum(s / shares.sum() * e for s, e in zip(shares, experts, strict=True))
    assert isinstance(mixed, Tensor)
    return torch.cat(found), mixed


def test_it_is_the_articles() -> None:
    """With users who have no behaviours, of one sequence, or of both."""
    model, users = tower(), [replace(USERS[1], static=[]), *USERS]
    of, each = weights(model), seen(model, users)
    found, mixed = zip(*(module(of, one) for one in each), strict=True)
    rows = [torch.cat([one.row(), m]) for one, m in zip(each, mixed, strict=True)]
    expected = of.mlp("mlp", 2, torch.stack(rows), ends=True)
    actual = logits_of(model, lambda: model(jagged(users)))
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)
    assert not found[0].any()
    assert found[-1].abs().min() > 1e-3
    assert torch.stack(rows)[:, -H:].std(0).max() > 1e-2


def test_it_is_computed_once_for_each_user_and_kept() -> None:
    model, batch = tower(), jagged(USERS)
    sizes: list[int] = []
    model.experts.register_forward_hook(lambda _module, _args, out: sizes.append(len(out)))
    vectors = model.lookup(batch)
    prefix = model.encode_prefix(batch, vectors)
    assert isinstance(prefix, UserTowerPrefix)
    assert sizes == [len(USERS)]
    assert prefix.tower_BH.shape == (len(USERS), H)
    model.score_candidates(prefix, batch, vectors)
    assert sizes == [len(USERS)]


def test_it_reads_what_is_static_alone() -> None:
    """Of the window a candidate may see more than another of its user."""
    model = tower()

    def kept(users: list[User]) -> Tensor:
        batch = jagged(users)
        prefix = model.encode_prefix(batch, model.lookup(batch))
        assert isinstance(prefix, UserTowerPrefix)
        return prefix.tower_BH

    before = kept(USERS)
    assert torch.equal(kept([replace(u, realtime=[], candidates=[]) for u in USERS]), before)
    assert not torch.equal(kept([replace(u, static=u.static[1:]) for u in USERS]), before)


def test_large_scores_overflow_nothing() -> None:
    """The softmax is then of the largest score alone."""
    model = tower()
    with torch.no_grad():
        model.attention.queries.weight.mul_(1e6)
    batch = jagged([User(features(SCHEMA, "profile", 1), [behaviour(-m, m) for m in (3, 2, 1)])])
    vectors = model.lookup(batch)
    parts = {group: e for group, e in model.parts(batch, vectors).items() if group in SCHEMA.static}
    user_BD = model.encode_prefix(batch, vectors).user_BD
    (found,) = model.attention(user_BD, parts, batch).view(1, Q, A)
    (views,) = (e for group, e in parts.items() if group.token == "views")
    values_NA = weights(model).linear("attention.keys_values.views", views)[:, A:]
    for one in found:
        assert (one - values_NA).abs().sum(1).min() < 1e-9


def test_parameters_take_part_where_there_are_no_behaviours() -> None:
    model = tower()
    batch = jagged([User(features(SCHEMA, "profile", 1), candidates=[candidate(1, 2)])])
    model.loss(model(batch), batch).backward()
    assert all(p.grad is not None for p in model.dense_parameters().values())


def test_its_cost() -> None:
    """A user's queries and experts are paid once, whatever is scored."""
    model = tower()
    of = {name: sum(w for _, w in columns) for name, columns in model.attention.of.items()}
    U = sum(width for _, width in model.user_columns)
    D = Q * A + U
    of_user = U * Q * A + E * (D * 7 + 7 * 6 + 6 * 5) + D * E + E * H
    of_candidate = model.width * 16 + 16 * TASKS
    expected = 2 * (BATCH.users * of_user + BATCH.candidates * of_candidate)
    behaviours = {group.token: BATCH.counts[group] for group in SCHEMA.static}
    weighing = 2 * Q * A * sum(behaviours.values())
    for name, count in behaviours.items():
        expected += 2 * count * of[name] * 2 * A
    expected += 2 * weighing
    assert behaviours["views"] == 12
    assert int(model.forward_flops(BATCH)) == expected
    # PyTorch counts no product of a number and a vector: values by their weights.
    assert counted(lambda: model(BATCH)) == expected - weighing


def test_its_columns_have_names() -> None:
    model = tower()
    found = layouts_of(model, SCHEMA.groups)
    read = [("query 0", A), ("query 1", A), *model.user_columns]
    assert found["experts.each.3.0.weight"] == (None, read)
    assert found["gate.weigh.weight"] == ([("experts", E)], read)
    assert found["attention.queries.weight"] == (read[:2], model.user_columns)
    rows, columns = found["attention.keys_values.buys.weight"]
    assert rows == [("key", A), ("value", A)]
    assert columns == [("item_id", 8), ("price", 4), ("paid", 1), ("behaviour_ages()", 2)]
    assert found["mlp.0.weight"] == (None, model.columns)
    assert model.columns[-1] == ("user tower()", H)


def test_it_learns() -> None:
    before, after = fitted(UserTowerConfig(experts=4), product_toy(), steps=40)
    assert before > 0.6
    assert after < 0.3
