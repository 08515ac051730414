"""Event files that TensorBoard reads, at every moment, after a kill and a resume too.

    tensorboard/events.out.tfevents.000002-000000    attempt 2, part 0; …

They only grow, so that who watches reads on; a record that a kill cut short, TensorBoard passes
over. Each attempt begins with a mark that hides what earlier ones told of steps that it takes
again.
"""

import struct
import time

from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import masked_crc32c

from rayrank.storage import AnyPath, write_grown

FLUSH_S = 5.0
EVENTS_PER_PART = 2000
"""On an object store the last part is put anew each time."""


class Events:
    """The event files of one attempt; only rank 0 writes."""

    def __init__(self, folder: AnyPath, attempt: int, step: int) -> None:
        """step: the last one that counts of earlier attempts."""
        self.folder, self.attempt = folder, attempt
        self._part, self._written = -1, 0
        self._next_part()
        # TensorBoard forgets what it has read of this step and later ones.
        self._add(Event(step=step + 1, session_log=SessionLog(status=SessionLog.START)))
        self.flush()

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """Add numbers; they can be read within about `FLUSH_S`, or after `flush`. Where the store
        fails, they are there with the next ones that are written."""
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        try:
            if self._events >= EVENTS_PER_PART:
                self.flush()
                self._next_part()
        finally:
            self._add(Event(step=step, summary=Summary(value=values)))
        if time.monotonic() - self._flushed_at >= FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Write what was added."""
        name = f"events.out.tfevents.{self.attempt:06d}-{self._part:06d}"
        write_grown(self.folder / name, bytes(self._content), self._written)
        self._written = len(self._content)
        self._flushed_at = time.monotonic()

    def _next_part(self) -> None:
        self._part, self._events = self._part + 1, 0
        self._content = bytearray()
        self._written = 0
        self._add(Event(file_version="brain.Event:2"))

    def _add(self, event: Event) -> None:
        event.wall_time = time.time()
        self._content += _record(event.SerializeToString())
        self._events += 1


def _record(data: bytes) -> bytes:
    """As TFRecord files hold them: length, its checksum, data, its checksum."""
    length = struct.pack("<Q", len(data))
    checks = [struct.pack("<I", masked_crc32c(part)) for part in (length, data)]
    return length + checks[0] + data + checks[1]
