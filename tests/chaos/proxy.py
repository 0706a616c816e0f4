"""TCP proxies between a worker and its database, which lose data one way and cut connections.

All run on one event loop in a thread. Data is passed on, but under a rule: ``"drop replies"`` and
``"drop requests"`` lose these, ``"hold commits"`` loses the replies that come after a commit was
passed on. What comes behind lost data is lost as well: half a stream would be nonsense. When the
rule ends, connections that have lost something are cut.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from typing import Any, Literal

#: What a commit looks like on its way to MongoDB, PostgreSQL and MariaDB; READ COMMITTED is none.
COMMITS = (b"commitTransaction", b"COMMIT\0", b"\x03COMMIT")
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: no farewell, RST instead


class _Side(asyncio.Protocol):
    """One end of a passed-on connection."""

    def __init__(self, proxy: Proxy, other: _Side | None = None) -> None:
        self.proxy = proxy
        self.other = other
        self.is_server = other is not None
        self.lost: Literal["", "replies", "requests"] = ""
        self.committing = False
        self.transport: asyncio.Transport | None = None
        self._waiting: list[bytes] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        if self.is_server:
            assert self.other is not None
            self.other.other = self
            for data in self.other._waiting:
                transport.write(data)
            return
        self.proxy.clients.add(self)
        loop = asyncio.get_running_loop()
        target = loop.create_connection(
            lambda: _Side(self.proxy, self), "127.0.0.1", self.proxy.target
        )
        self.proxy.task(target, self)

    def data_received(self, data: bytes) -> None:
        if self.is_server:
            self._reply(data)
            return
        if "drop requests" in self.proxy.rules or self.lost == "requests":
            self.lost = "requests"
            self.proxy.losses += 1
            return
        if "hold commits" in self.proxy.rules and any(commit in data for commit in COMMITS):
            self.committing = True
        if self.other is None:
            self._waiting.append(data)
        elif self.other.transport is not None:
            self.other.transport.write(data)

    def _reply(self, data: bytes) -> None:
        client = self.other
        assert client is not None
        rules = self.proxy.rules
        holding = "hold commits" in rules and client.committing
        if "drop replies" in rules or holding or client.lost:
            client.lost = client.lost or "replies"
            self.proxy.losses += 1
        elif client.transport is not None:
            client.transport.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        del error
        self.proxy.clients.discard(self)
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()

    def reset(self) -> None:
        if self.transport is None:
            return
        sock: socket.socket = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()


class Proxy:
    """One listening port in front of one node, for one worker."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.rules: set[str] = set()
        self.clients: set[_Side] = set()
        self.losses = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    async def listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Side(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def task(self, connecting: Any, client: _Side) -> None:
        """Connect to the node; a client whose node is away is sent away."""

        async def connect() -> None:
            try:
                await connecting
            except OSError:
                client.reset()

        task = asyncio.get_running_loop().create_task(connect())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def end(self, rule: str) -> None:
        """End a rule, and cut what has lost anything."""
        self.rules.discard(rule)
        for client in list(self.clients):
            if client.lost:
                client.reset()

    def cut(self) -> int:
        """Reset every connection; return how many."""
        clients = list(self.clients)
        for client in clients:
            client.reset()
        return len(clients)


class Proxies:
    """A proxy for each pair of a worker and a node; call from any thread."""

    def __init__(self, workers: int, nodes: list[int]) -> None:
        self._all = [{node: Proxy(node) for node in nodes} for _ in range(workers)]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)

    def start(self) -> None:
        self._thread.start()
        for proxies in self._all:
            for proxy in proxies.values():
                asyncio.run_coroutine_threadsafe(proxy.listen(), self._loop).result()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def ports(self, worker: int) -> dict[str, int]:
        """Return the port of the proxy for each port of a node."""
        return {str(node): proxy.port for node, proxy in self._all[worker].items()}

    def begin(self, worker: int, rule: str) -> None:
        self._do(lambda: [proxy.rules.add(rule) for proxy in self._all[worker].values()])

    def end(self, worker: int, rule: str) -> None:
        self._do(lambda: [proxy.end(rule) for proxy in self._all[worker].values()])

    def cut(self, worker: int) -> int:
        """Reset all connections of a worker; return how many."""
        return sum(self._do(lambda: [proxy.cut() for proxy in self._all[worker].values()]))

    def losses(self, worker: int) -> int:
        """Return how many pieces of data were lost between this worker and its database, in all."""
        return sum(proxy.losses for proxy in self._all[worker].values())

    def _do(self, what: Any) -> Any:
        async def run() -> Any:
            return what()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()
