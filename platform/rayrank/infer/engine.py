"""The engine: user rows in, predictions out, on a thread of its own."""

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import torch

from rayrank.data.jagged import to_jagged
from rayrank.infer.bundle import Bundle
from rayrank.schema import CANDIDATES


class Engine:
    """Scores batches one after the other on one thread, which alone touches the model.

    (A CUDA graph and its static buffers belong to one thread; servers call from many.)
    """

    def __init__(self, bundle: Bundle, device: torch.device | str = "cpu") -> None:
        self.bundle = bundle
        self.device = torch.device(device)
        self._ranker = bundle.ranker.to(self.device)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")

    def submit(self, rows: pa.Table) -> "Future[list[np.ndarray]]":
        """Score user rows: per row, float32 [candidates, tasks] in the schema's order of tasks."""
        return self._thread.submit(self._score, rows)

    def close(self) -> None:
        """Finish what was submitted and end the thread."""
        self._thread.shutdown()

    @torch.inference_mode()
    def _score(self, rows: pa.Table) -> list[np.ndarray]:
        batch = to_jagged(rows, self.bundle.schema)
        lengths = batch.lengths(CANDIDATES).numpy()
        logits = self._ranker(batch.to(self.device))
        predictions = self._ranker.predictions(logits).cpu().numpy()
        return np.split(predictions, np.cumsum(lengths))[: len(lengths)]
