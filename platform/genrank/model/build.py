"""From a config to a model."""

from genrank.config.model import DLRMConfig, ModelConfig, MTGRConfig
from genrank.embedding.tables import Tables
from genrank.model.dlrm import DLRM
from genrank.model.features import Scales
from genrank.model.mtgr import MTGR
from genrank.model.ranker import Ranker
from genrank.schema import Schema


def build_model(schema: Schema, config: ModelConfig, tables: Tables, scales: Scales) -> Ranker:
    """The ranker a config describes. `scales` come from the training rows (`RowStats.scales`)."""
    match config:
        case MTGRConfig():
            return MTGR(schema, config, tables, scales)
        case DLRMConfig():
            return DLRM(schema, config, tables, scales)
