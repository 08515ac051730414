"""From a config to a model."""

from rayrank.embedding.tables import Tables
from rayrank.model.config import DLRMConfig, ModelConfig, MTGRConfig
from rayrank.model.dlrm import DLRM
from rayrank.model.features import Scales
from rayrank.model.mtgr import MTGR
from rayrank.model.ranker import Ranker
from rayrank.schema import Schema


def build_model(schema: Schema, config: ModelConfig, tables: Tables, scales: Scales) -> Ranker:
    """The ranker a config describes. `scales` come from the training rows (`RowStats.scales`)."""
    match config:
        case MTGRConfig():
            return MTGR(schema, config, tables, scales)
        case DLRMConfig():
            return DLRM(schema, config, tables, scales)
