"""Tokens -> logits: MTGR, the DLRM family it has to beat, and anybody's. Imports neither Ray nor
TorchRec."""
