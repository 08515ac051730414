"""Requests in, scores out: the request model, token-aware batching, the HTTP application."""
