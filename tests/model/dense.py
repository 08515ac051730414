"""MTGR and HSTU once more, padded and dense in float64: DESIGN sections 4 and 5, and Meta's ranking
layer, written down plainly.

It shares no code with the models but their parameters and their tables.
"""

import math

import torch
from rayrank.data.scale import Scale
from rayrank.model.hstu import GroupLayerNorm, HSTULayer
from rayrank.model.meta_hstu import MetaLayer
from rayrank.model.mtgr import MTGR, EncoderConfig
from torch import Tensor, nn
from torch.nn.functional import silu

from .rows import SCALES, SCHEMA, WINDOW, Element, User

GROUPS = ("profile", "static views", "static buys", "realtime views", "realtime buys", "candidate")
Kind = tuple[str, int]
"""(group, time) of a token."""


def dense_logits(model: MTGR, users: list[User], config: EncoderConfig) -> Tensor:
    """[candidates, tasks] of all users, in their order."""
    tokens = [_tokens(model, user) for user in users]
    longest = max(len(x) for x in tokens)
    x = torch.stack([nn.functional.pad(t, (0, 0, 0, longest - len(t))) for t in tokens])
    group = torch.zeros(len(users), longest, dtype=torch.int64)
    mask = torch.zeros(len(users), longest, longest, dtype=torch.float64)
    for b, user in enumerate(users):
        kinds = _kinds(user)
        group[b, : len(kinds)] = torch.tensor([GROUPS.index(kind) for kind, _ in kinds])
        for i, query in enumerate(kinds):
            for j, key in enumerate(kinds):
                before = config.mask == "dynamic" or j < i or not _is_static(query)
                mask[b, i, j] = float(i == j or (before and _sees(query, key)))
    mask = mask / config.attention_length
    for layer in model.layers:
        if isinstance(layer, MetaLayer):
            x = _metas(layer, x, mask, config.heads)
        else:
            assert isinstance(layer, HSTULayer)
            x = _layer(layer, x, group, mask, config.heads)
    x = _norm(model.norm, x, group)
    rows = torch.cat(
        [
            x[b, len(_kinds(user)) - len(user.candidates) : len(_kinds(user))]
            for b, user in enumerate(users)
        ]
    )
    return torch.cat([_mlp(head, rows) for head in model.heads], dim=1)


def _sees(query: Kind, key: Kind) -> bool:
    """The table of DESIGN section 4, but for a token's view of itself."""
    (kind, time), (other, known_at) = query, key
    if other.startswith(("profile", "static")):
        return True
    return (
        kind.startswith(("realtime", "candidate"))
        and other.startswith("realtime")
        and known_at < time
    )


def _is_static(of: Kind) -> bool:
    return of[0].startswith(("profile", "static"))


def _kinds(user: User) -> list[Kind]:
    """Of each token: the user's lists are in the order of DESIGN section 4."""
    return [
        *(("profile", 0) for _ in SCHEMA.features_of("profile")),
        *((f"static {e['sequence']}", e["known_at"]) for e in user.static),
        *((f"realtime {e['sequence']}", e["known_at"]) for e in user.realtime),
        *(("candidate", e["time"]) for e in user.candidates),
    ]


def _layer(layer: HSTULayer, x: Tensor, group: Tensor, mask: Tensor, heads: int) -> Tensor:
    *u, q, k, v = (silu(part) for part in _projected(layer.project, _norm(layer.norm, x, group)))
    o = _attention(q, k, v, mask, heads)
    gated = _norm(layer.gate_norm, o * u[0] if u else o, group)
    return x + gated @ layer.output.weight.T + layer.output.bias


def _metas(layer: MetaLayer, x: Tensor, mask: Tensor, heads: int) -> Tensor:
    n = layer_norm(x, layer.norm)
    u, q, k, v = _projected(layer.project, n)
    u, o = silu(u), _attention(q, k, v, mask, heads)
    z = torch.cat([u, o, u * layer_norm(o, layer.taken_norm)], dim=-1)
    return x + z @ layer.output.weight.T


def layer_norm(x: Tensor, norm: GroupLayerNorm) -> Tensor:
    """PyTorch's own, of the gain and bias that all groups share."""
    (gain,), (bias,) = norm.weight_GD, norm.bias_GD
    return nn.functional.layer_norm(x, gain.shape, gain, bias, eps=1e-6)


def _projected(project: nn.Linear, n: Tensor) -> list[Tensor]:
    width = n.shape[-1]
    weight, bias = project.weight.split(width), project.bias.split(width)
    return [n @ w.T + b for w, b in zip(weight, bias, strict=True)]


def _attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, heads: int) -> Tensor:
    users, longest, width = q.shape
    q, k, v = (part.view(users, longest, heads, width // heads) for part in (q, k, v))
    scores = torch.einsum("bihd,bjhd->bhij", q, k) / math.sqrt(width // heads)
    seen = silu(scores) * mask.unsqueeze(1)
    return torch.einsum("bhij,bjhd->bihd", seen, v).reshape(users, longest, width)


def _norm(norm: GroupLayerNorm, x: Tensor, group: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    group = group * 0 if norm.groups == 1 else group
    scaled = centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + 1e-6)
    return scaled * norm.weight_GD[group] + norm.bias_GD[group]


def _tokens(model: MTGR, user: User) -> Tensor:
    tokenizer = model.tokenizer
    tokens = []
    # One token per profile feature: those with vectors first, then the numbers.
    profile = SCHEMA.features_of("profile")
    names = sorted(profile, key=lambda name: profile[name].kind == "number")
    for name in names:
        linear = tokenizer.profile_tokens[name]
        assert isinstance(linear, nn.Linear)
        tokens.append(linear.weight @ _value(model, "profile", name, user.profile) + linear.bias)
    for events in (user.static, user.realtime):
        for event in events:
            at = event["time"] if events is user.static else event["known_at"]
            # Float32, as the model's: float64 would differ by more than the comparison allows.
            hours = torch.tensor(at - WINDOW, dtype=torch.float32) / 3_600_000
            ages = torch.stack([-hours, hours]).relu().log1p()
            tokens.append(
                _mlp(
                    tokenizer.behaviour_tokens[event["sequence"]],
                    torch.cat([_values(model, event["sequence"], event), ages.double()]),
                )
            )
    tokens += [
        _mlp(tokenizer.candidate_token, _values(model, "candidate", shown))
        for shown in user.candidates
    ]
    return torch.stack(tokens)


def _values(model: MTGR, token: str, element: Element) -> Tensor:
    features = SCHEMA.features_of(token)
    names = sorted(features, key=lambda name: features[name].kind == "number")
    return torch.cat([_value(model, token, name, element) for name in names])


def _value(model: MTGR, token: str, name: str, element: Element) -> Tensor:
    feature, value = SCHEMA.features[name], element[name]
    if feature.kind == "number":
        scale = SCALES.get(f"{token}.{name}", Scale(0.0, 1.0))
        # The scales are kept in float32.
        mean, std = float(torch.tensor(scale.mean)), float(torch.tensor(scale.deviation))
        return torch.tensor([(value - mean) / std], dtype=torch.float64)
    assert feature.table is not None
    ids = torch.tensor(value if feature.kind == "ids" else [value], dtype=torch.int64)
    if len(ids) == 0:
        return torch.zeros(SCHEMA.tables[feature.table].dim, dtype=torch.float64)
    vectors: Tensor = model.tables({feature.table: ids})[feature.table]
    return vectors.mean(0)


def _mlp(layers: nn.Module, x: Tensor) -> Tensor:
    first, last = (layer for layer in layers.children() if isinstance(layer, nn.Linear))
    return silu(x @ first.weight.T + first.bias) @ last.weight.T + last.bias
