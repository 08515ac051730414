"""Rankers in float64 with something in their tables, and what flows through them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import torch
from rayrank.data.jagged import JaggedBatch
from rayrank.embedding.tables import LocalTables
from rayrank.model.build import build_model
from rayrank.model.dcn import DCNConfig
from rayrank.model.deepfm import DeepFMConfig
from rayrank.model.din import DINConfig
from rayrank.model.dlrm import DLRMConfig
from rayrank.model.meta_hstu import HSTUConfig
from rayrank.model.mmoe import MMoEConfig
from rayrank.model.moe import MoEConfig
from rayrank.model.mtgr import MTGR, MTGRConfig
from rayrank.model.ple import PLEConfig
from rayrank.model.pooled import Pooled
from rayrank.model.ranker import ModelConfig, Ranker
from rayrank.model.user_tower import UserTowerConfig
from rayrank.schema import Schema
from torch import Tensor

from .rows import POOL, SCALES, SCHEMA

# Few tokens share so large a divisor that attention would hardly be seen.
MTGR_CONFIG = MTGRConfig(size=None, layers=3, d_model=32, heads=2, attention_length=4)
ABLATED_CONFIG = MTGR_CONFIG.model_copy(
    update={"layers": 2, "norms": "one", "mask": "causal", "gate": False}
)
HSTU_CONFIG = HSTUConfig(size=None, layers=2, d_model=32, heads=2, attention_length=4)
DLRM_CONFIG = DLRMConfig(hidden=[16])
CONFIGS: dict[str, ModelConfig] = {
    "mtgr": MTGR_CONFIG,
    "ablated": ABLATED_CONFIG,
    "hstu": HSTU_CONFIG,
    "dlrm": DLRM_CONFIG,
    "deepfm": DeepFMConfig(hidden=[16], field_width=5),
    "dcn": DCNConfig(hidden=[16], rank=6),
    "din": DINConfig(hidden=[16], attention_hidden=[7], attention_length=2),
    "mmoe": MMoEConfig(experts=3, expert_hidden=[8], tower_hidden=[4]),
    "ple": PLEConfig(expert_hidden=[8], tower_hidden=[4]),
    "moe": MoEConfig(experts=3, expert_hidden=[8]),
    "user_tower": UserTowerConfig(
        queries=2, query_width=3, experts=3, expert_hidden=[6], hidden=[16]
    ),
}
"""What every model has to keep to is tested on these."""
EACH_CONFIG = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())


def tables_with_rows(schema: Schema = SCHEMA, seed: int = 5) -> LocalTables:
    """Tables that were trained on ids 0 to POOL - 1, with initial vectors of a size that shows."""
    tables = LocalTables(schema.tables, init_std=1.0, seed=seed)
    tables({name: torch.arange(POOL) for name in schema.tables})
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for learned in tables.learned.values():
            learned[1:].normal_(generator=generator)
    return tables


def ranker(config: ModelConfig, schema: Schema = SCHEMA) -> Ranker:
    """A ranker in float64 and evaluation mode whose norms are not identities."""
    torch.manual_seed(3)
    model = build_model(schema, config, tables_with_rows(schema), SCALES)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("_GD", "bias")):
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model.double().eval()


@contextmanager
def heard(model: Ranker) -> Iterator[list[Tensor]]:
    """The parts [candidates, n] of a model's logits as it computes them, before it casts them to
    float32."""
    kept: list[Tensor] = []

    def keep(_module: object, _args: object, output: Tensor) -> None:
        kept.append(output)

    if isinstance(model, MTGR):
        handles = [head.register_forward_hook(keep) for head in model.heads]
        try:
            yield kept
        finally:
            for handle in handles:
                handle.remove()
    else:
        assert isinstance(model, Pooled)
        logits = model.logits

        def kept_logits(row_CD: Tensor) -> Tensor:
            kept.append(logits(row_CD))
            return kept[-1]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(model, "logits", kept_logits)
            yield kept


def logits_of(model: Ranker, run: Callable[[], Tensor]) -> Tensor:
    """What `run` computes with a model, [candidates, tasks], before it is cast to float32."""
    with heard(model) as kept:
        run()
    return torch.cat(kept, dim=1)


@dataclass(frozen=True)
class Flow:
    """One forward pass, all in float64 and with gradients."""

    vectors: dict[str, Tensor]
    """Per table [ids, dim]: what the batch's ids looked up, one row for each time they occur."""
    inputs_TD: Tensor | None
    """MTGR: the tokens before the first layer, group after group."""
    outputs_TD: Tensor | None
    """MTGR: the tokens after the last layer but one, user after user. Of the last one's there are
    candidates alone."""
    logits_CK: Tensor


def flow(model: Ranker, batch: JaggedBatch) -> Flow:
    """Run a model and keep what passes through it."""
    vectors: dict[str, Tensor] = {}
    kept: dict[str, Tensor] = {}

    def looked_up(_module: object, _args: object, output: dict[str, Tensor]) -> dict[str, Tensor]:
        # Leaves of their own, so that an id that occurs twice has two gradients.
        vectors.update({n: v.detach().requires_grad_() for n, v in output.items()})
        return vectors

    def tokenized(_module: object, _args: object, output: list[Tensor]) -> list[Tensor]:
        kept["inputs"] = torch.cat(output).detach().requires_grad_()
        leaves = kept["inputs"].split([len(part) for part in output])
        return [leaf + (part - part.detach()) for leaf, part in zip(leaves, output, strict=True)]

    def keep(_module: object, _args: object, output: Tensor) -> None:
        kept["outputs"] = output

    assert isinstance(model.tables, LocalTables)
    handles = [model.tables.register_forward_hook(looked_up)]
    if isinstance(model, MTGR):
        handles.append(model.tokenizer.register_forward_hook(tokenized))
        if len(model.layers) > 1:
            handles.append(model.layers[-2].register_forward_hook(keep))
    try:
        logits_CK = logits_of(model, lambda: model(batch))
    finally:
        for handle in handles:
            handle.remove()
    return Flow(vectors, kept.get("inputs"), kept.get("outputs"), logits_CK)
