"""Tokens -> logits: MTGR, the DLRM it has to beat, and anybody's. Imports neither Ray nor
TorchRec."""
