"""Tokens -> logits: MTGR, and the DLRM it has to beat. Imports neither Ray nor TorchRec."""
