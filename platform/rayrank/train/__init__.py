"""The loop: steps, optimizers, checkpoints, on Ray Train."""
