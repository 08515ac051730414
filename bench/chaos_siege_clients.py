"""Clients that besiege an endpoint, in a process of their own, as cheap as can be.

slow: with a valid key and bodies that come a byte a second; idle: connections that ask nothing;
large: bodies of 50 MB, which are sent to their end whatever is answered meanwhile, as fast as all
of them get through a line of a gigabit. (Without a line, through the machine's own memory, the
besiegers alone take its CPUs.) Each that ends is begun anew.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Literal

from rayrank.errors import ServeError

Kind = Literal["slow", "idle", "large"]
SLOW_BYTES, LARGE_BYTES = 2_000, 50_000_000
LINE_BYTES_PER_S = 125_000_000
TICKS = 20
"""In a second; at each, a part of the slow bodies get their byte."""
READY_S, PAUSE_S = 60.0, 0.1


@dataclass
class Besieged:
    """What came of a siege."""

    opened: int = 0
    """Connections, one after the other and beside one another."""
    refused: int = 0
    """That could not be opened."""
    statuses: Counter[int] = field(default_factory=Counter)
    """Of what was answered."""


class Client(asyncio.Protocol):
    """One connection, which asks nothing."""

    transport: asyncio.Transport

    def __init__(self, siege: "Siege") -> None:
        self.siege, self.answered = siege, False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.siege.open.add(self)
        self.siege.found.opened += 1

    def data_received(self, data: bytes) -> None:
        if not self.answered:  # the first bytes are "HTTP/1.1 413 …"
            self.siege.found.statuses[int(data[9:12])] += 1
            self.answered = True

    def connection_lost(self, error: Exception | None) -> None:
        self.siege.open.discard(self)
        self.siege.begin_one()


class Slow(Client):
    """Sends its body a byte a second, until it is answered."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.write(self.siege.headers(SLOW_BYTES))

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.close()


class Large(Client):
    """Sends its body as fast as it may and is taken; ends when all is sent and it is answered."""

    left = LARGE_BYTES
    may_write = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.write(self.siege.headers(LARGE_BYTES))

    def pause_writing(self) -> None:
        self.may_write = False

    def resume_writing(self) -> None:
        self.may_write = True

    def pour(self, share: bytes) -> None:
        """A tick's share of the line."""
        if self.may_write and not self.transport.is_closing():
            self.transport.write(share[: self.left])
            self.left -= min(self.left, len(share))
        self._end()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._end()

    def _end(self) -> None:
        if self.answered and not self.left:
            self.transport.close()


CLIENTS: dict[Kind, type[Client]] = {"slow": Slow, "idle": Client, "large": Large}


class Siege:
    """All of a kind."""

    def __init__(self, kind: Kind, host: str, port: int, key: str) -> None:
        self.kind, self.host, self.port, self.key = kind, host, port, key
        self.found = Besieged()
        self.open: set[Client] = set()
        self._beginning: set[asyncio.Task] = set()
        self._over = False

    def headers(self, length: int) -> bytes:
        """Of a request with a body so long."""
        return (
            f"POST /v1/rank HTTP/1.1\r\nHost: {self.host}\r\nAuthorization: Bearer {self.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        ).encode()

    def begin_one(self) -> None:
        """Open another connection, again until there is one."""
        if not self._over:
            task = asyncio.create_task(self._begin())
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    async def run(self, count: int, control: Connection) -> None:
        """Until something is sent through `control`, which is told once all have begun, and at the
        end what came of it."""
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(control.fileno(), stopped.set)
        for _ in range(count):
            self.begin_one()
        while len(self.open) < count:
            await asyncio.sleep(PAUSE_S)
        control.send(self.found)
        tick, share = 0, bytes(LINE_BYTES_PER_S // TICKS // count)
        while not stopped.is_set():
            if self.kind == "slow":
                for client in list(self.open)[tick % TICKS :: TICKS]:
                    client.transport.write(b" ")
            for client in list(self.open):
                if isinstance(client, Large):
                    client.pour(share)
            tick += 1
            await asyncio.sleep(1 / TICKS)
        self._over = True
        for client in list(self.open):
            if not client.transport.is_closing():
                client.transport.abort()
        control.send(self.found)

    async def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._over:
            try:
                await loop.create_connection(lambda: CLIENTS[self.kind](self), self.host, self.port)
            except OSError:
                self.found.refused += 1
                await asyncio.sleep(PAUSE_S)
            else:
                return


@contextmanager
def siege(kind: Kind, count: int, host: str, port: int, key: str) -> Iterator[Besieged]:
    """So many, meanwhile; all have begun. What came of it is complete on leaving."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(kind, count, host, port, key, theirs), daemon=True)
    process.start()
    found = Besieged()
    try:
        if not ours.poll(READY_S):
            raise ServeError(f"{host}:{port}: {count} {kind} clients did not connect")
        ours.recv()
        yield found
        ours.send("over")
        told: Besieged = ours.recv()
        found.opened, found.refused, found.statuses = told.opened, told.refused, told.statuses
    finally:
        process.kill()
        process.join()


def _run(kind: Kind, count: int, host: str, port: int, key: str, control: Connection) -> None:
    asyncio.run(Siege(kind, host, port, key).run(count, control))
