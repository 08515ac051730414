"""DIN: the paper's formula pair by pair, its cost, its memory, and that it finds what matters."""

import pytest
import torch
from rayrank.model import activation_unit
from rayrank.model.din import DIN, DINConfig
from rayrank.model.dlrm import DLRMConfig
from rayrank.model.segments import layouts_of
from torch import Tensor

from .family import USERS, Seen, Weights, fitted, seen, weights
from .rankers import logits_of, ranker
from .rows import SCHEMA, User, behaviour, candidate, features, jagged
from .test_flops import BATCH, counted

CONFIG = DINConfig(hidden=[16], attention_hidden=[7, 5], attention_length=2)
BOTH_HAVE = {"views": ["item_id", "tags", "price"], "buys": ["item_id", "price"]}
WIDTHS = {"item_id": 8, "tags": 4, "price": 4}


def din(config: DINConfig = CONFIG) -> DIN:
    model = ranker(config)
    assert isinstance(model, DIN)
    return model


def columns_of(model: DIN, part: str, names: list[str]) -> list[int]:
    """Where features stand in the vector of a behaviour, or a candidate."""
    features = model.candidate if part == "candidate" else model.behaviours[part]
    start, found = 0, {}
    for name, width in features.columns():  # type: ignore[operator]
        found[name] = range(start, start + width)
        start += width
    return [place for name in names for place in found[name]]


def attended(model: DIN, of: Weights, one: Seen) -> Tensor:
    """Of one candidate: for each part of each sequence the sum of a(e, v) e, pair by pair."""
    parts = []
    for part in range(2):
        for name, both in one.behaviours.items():
            of_e = columns_of(model, name, BOTH_HAVE[name])
            v_D = one.candidate_D
            shared_v = v_D[columns_of(model, "candidate", BOTH_HAVE[name])]
            total = torch.zeros(both[part].shape[1], dtype=torch.float64)
            for e_D in both[part]:
                shared_e = e_D[of_e]
                h = torch.cat([e_D, v_D, shared_e - shared_v, shared_e * shared_v])
                h = torch.nn.functional.silu(of.linear(f"units.{name}.first", h))
                total = total + of.mlp(f"units.{name}.rest", 2, h, ends=True) * e_D
            parts.append(total / 2)
    return torch.cat(parts)


def test_it_is_the_papers() -> None:
    model = din()
    of = weights(model)
    rows = [torch.cat([one.row(), attended(model, of, one)]) for one in seen(model, USERS)]
    expected = of.mlp("mlp", 2, torch.stack(rows), ends=True)
    actual = logits_of(model, lambda: model(jagged(USERS)))
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)
    assert torch.stack(rows)[:, -60:].abs().max() > 0.1


def test_there_is_no_softmax() -> None:
    """Who did the same twice has twice the sum; the mean is what it was."""
    model = din()

    def row(times: int) -> Tensor:
        kept: list[Tensor] = []
        same = [behaviour(-1, 4)] * times
        handle = model.mlp.register_forward_pre_hook(lambda _, args: kept.append(args[0][0]))
        model(jagged([User(features(SCHEMA, "profile", 1), same, candidates=[candidate(1, 2)])]))
        handle.remove()
        return kept[0]

    once, twice, start = row(1), row(2), 0
    for name, width in model.columns:
        here = slice(start, start + width)
        start += width
        if "how many" not in name:
            times = 2 if name.startswith("attended") else 1
            torch.testing.assert_close(twice[here], times * once[here])
        if name.startswith("attended") and "ages" in name:  # and stands where its name says
            assert bool(once[here].any()) == name.startswith("attended static views"), name


def pairs(users: list[User], sequence: str) -> int:
    """(behaviour, candidate) where the candidate may see it."""
    return sum(
        e["sequence"] == sequence and (e in user.static or e["known_at"] < shown["time"])
        for user in users
        for shown in user.candidates
        for e in [*user.static, *user.realtime]
    )


def test_its_cost() -> None:
    """A behaviour and a candidate go through their part of the first layer once."""
    model = din()
    batch, D = jagged(USERS), model.width
    shown = batch.candidates
    expected = shown * 2 * (D * 16 + 16 * len(SCHEMA.tasks))
    for name, shared in BOTH_HAVE.items():
        e, v = model.behaviours[name].width, model.candidate.width
        done = sum(b["sequence"] == name for u in USERS for b in [*u.static, *u.realtime])
        product = sum(WIDTHS[one] for one in shared)
        assert isinstance(e, int)
        expected += 2 * 7 * (done * e + shown * v)
        expected += pairs(USERS, name) * 2 * (product * 7 + 7 * 5 + 5)
    assert pairs(USERS, "views") > 10
    assert int(model.forward_flops(batch)) == expected == counted(lambda: model(batch))
    assert int(model.forward_flops(BATCH)) == counted(lambda: model(BATCH))


def test_its_columns_have_names() -> None:
    model = din()
    found = layouts_of(model, SCHEMA.groups)
    (_, columns) = found["units.buys.first.weight"]
    assert columns == [
        *(("e: item_id", 8), ("e: price", 4), ("e: paid", 1), ("e: behaviour_ages()", 2)),
        *(("v: item_id", 8), ("v: tags", 4), ("v: price", 4), ("v: distance", 1), ("v: ctr", 1)),
        *(("e - v: item_id", 8), ("e - v: price", 4)),
        *(("e * v: item_id", 8), ("e * v: price", 4)),
    ]
    assert found["mlp.0.weight"] == (None, model.columns)
    assert ("attended realtime buys: item_id", 8) in model.columns


def gradients(model: DIN) -> tuple[Tensor, dict[str, Tensor]]:
    model.zero_grad()
    logits = logits_of(model, lambda: model(jagged(USERS)))
    logits.square().sum().backward()
    return logits.detach(), {
        n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None
    }


@pytest.mark.parametrize("at_once", [1, 3, 7])
def test_pairs_go_through_in_pieces(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = din()
    whole, of_whole = gradients(model)
    monkeypatch.setattr(activation_unit, "PAIRS_AT_ONCE", at_once)
    found, of_pieces = gradients(model)
    torch.testing.assert_close(found, whole, rtol=1e-10, atol=1e-10)
    assert of_pieces.keys() == of_whole.keys()
    for name, gradient in of_pieces.items():
        torch.testing.assert_close(gradient, of_whole[name], rtol=1e-9, atol=1e-10, msg=name)
    sizes: list[int] = []
    model.units["views"].register_forward_pre_hook(lambda _, args: sizes.append(len(args[0][0])))
    with torch.inference_mode():
        torch.testing.assert_close(logits_of(model, lambda: model(jagged(USERS))), whole)
    assert max(sizes) == at_once
    assert sum(sizes) == pairs(USERS, "views")


def test_training_keeps_less_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a user with 40 behaviours and 50 candidates."""
    model = din()
    past = [behaviour(-m, m) for m in range(40, 0, -1)]
    one = User(
        features(SCHEMA, "profile", 1), past, candidates=[candidate(1, m) for m in range(50)]
    )
    batch = jagged([one])

    def kept_bytes() -> int:
        kept = dict[int, int]()

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model(batch)
        return sum(kept.values())

    whole = kept_bytes()
    monkeypatch.setattr(activation_unit, "PAIRS_AT_ONCE", 100)
    assert kept_bytes() < 0.5 * whole


def test_parameters_take_part_where_there_are_no_behaviours() -> None:
    model = din()
    batch = jagged([User(features(SCHEMA, "profile", 1), candidates=[candidate(1, 2)])])
    model.loss(model(batch), batch).backward()
    assert all(p.grad is not None for p in model.dense_parameters().values())


def repeated(seed: int) -> list[User]:
    """Who clicks, and orders, what they viewed before: candidates of whom half were viewed."""
    generator = torch.Generator().manual_seed(seed)
    users = []
    for _ in range(40):
        order = torch.randperm(20, generator=generator).tolist()
        viewed = [behaviour(-m - 1, 1) | {"item_id": item} for m, item in enumerate(order[:4])]
        shown = []
        for item in [*order[:4], *order[4:8]]:
            labels = dict.fromkeys(("label.click", "label.order"), float(item in order[:4]))
            shown.append(candidate(1, 1) | {"item_id": item} | labels)
        users.append(User(features(SCHEMA, "profile", 1), viewed, candidates=shown).ascending())
    return users


def test_it_finds_what_matters_for_the_candidate() -> None:
    """Of other users, of whom a mean of what they viewed tells little."""
    batches = [repeated(seed) for seed in range(9)]
    _, of_din = fitted(DINConfig(), *batches, steps=80, init_std=1.0)
    _, of_dlrm = fitted(DLRMConfig(), *batches, steps=80, init_std=1.0)
    assert of_din < 0.1
    assert of_dlrm > 0.3
