"""User rows -> scores: bundle and engine. Imports neither Ray nor TorchRec."""
