"""What a model can be told. Sizes are MTGR's (arXiv 2505.18654, table 2), and `tiny` for CPUs."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from rayrank.strict import Share, Strict

SIZES: dict[str, dict[str, int]] = {
    "tiny": {"layers": 2, "d_model": 64, "heads": 2},
    "small": {"layers": 3, "d_model": 512, "heads": 2},
    "middle": {"layers": 5, "d_model": 768, "heads": 3},
    "large": {"layers": 15, "d_model": 768, "heads": 3},
    "xlarge": {"layers": 22, "d_model": 1024, "heads": 4},
}


class MTGRConfig(Strict):
    """MTGR: one sequence per user, an HSTU encoder, a head per task."""

    kind: Literal["mtgr"] = "mtgr"
    size: Literal["tiny", "small", "middle", "large", "xlarge"] | None = "tiny"
    """Fills in layers, d_model and heads where they are not said."""
    layers: Annotated[int, Field(gt=0)]
    d_model: Annotated[int, Field(gt=0)]
    heads: Annotated[int, Field(gt=0)]
    attention_length: Annotated[int, Field(gt=0)] = 256
    """N of the attention's 1/N: a constant, so that scores depend on nobody else's length."""
    dropout: Share = 0.0
    """Of each layer's output."""
    embedding_dropout: Share = 0.0
    """Of the vectors of ids, before they become tokens."""
    embedding_std: Annotated[float, Field(ge=0)] = 0.02
    """Standard deviation of the vectors that ids start with."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in_the_size(cls, values: Any) -> Any:
        if isinstance(values, dict):
            size = values.get("size", "tiny")
            return {**SIZES.get(size if isinstance(size, str) else "", {}), **values}
        return values

    @model_validator(mode="after")
    def _heads_fit(self) -> "MTGRConfig":
        if self.d_model % self.heads or not 16 <= self.d_model // self.heads <= 256:
            raise ValueError("d_model / heads must be a whole number from 16 to 256")
        return self


class DLRMConfig(Strict):
    """Embeddings, mean-pooled history, cross features, an MLP: what a user has today."""

    kind: Literal["dlrm"] = "dlrm"
    hidden: Annotated[list[int], Field(min_length=1)] = [256, 128]
    dropout: Share = 0.0
    embedding_dropout: Share = 0.0
    embedding_std: Annotated[float, Field(ge=0)] = 0.02


ModelConfig = Annotated[MTGRConfig | DLRMConfig, Field(discriminator="kind")]
