"""A service on a unix socket: reads requests, lets a function answer them, and goes when nobody asks any more.

One connection is one request, as nginx makes them. Nobody can hold one for long: head, body and answer have their time,
the body and the answer as much as a slow reader needs for their length.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable

from clic.web import message
from clic.web.message import Refused, Request, Response

# nginx sends what it took, which is less (large_client_header_buffers).
LONGEST_HEAD = 32768
# What is thrown away of a request that was refused before its end.
LONGEST_REST = 1 << 20

Answer = Callable[[Request], Response]


class Server:
    """Answers requests with a function.

    longest_body: bytes; what is longer is refused (413).
    timeout: seconds for head, body and answer each, beside one for every `slowest` bytes of body and answer.
    most: connections at once. Others wait in the socket's queue.
    threads: how many requests are answered at once. 0 is one after the other in the loop itself: for functions that
        only look at memory, since one that waits for a disk holds up all.
    idle: seconds without a connection after which the server ends, or `None`.
    """

    def __init__(self, answer: Answer, *, longest_body: int = 4096, timeout: float = 10, slowest: int = 4096,
                 most: int = 256, threads: int = 0, idle: float | None = None) -> None:
        self._answer = answer
        self._longest_body = longest_body
        self._timeout = timeout
        self._slowest = slowest
        self._most = most
        self._idle = idle
        self._pool = concurrent.futures.ThreadPoolExecutor(threads) if threads else None
        self._connections: set[asyncio.Task[None]] = set()
        self._ended: asyncio.Event | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._full = False

    def end(self) -> None:
        """Takes no more connections; `run` returns when those that are there have their answers."""
        if self._ended:
            self._ended.set()

    async def run(self, listening: socket.socket) -> None:
        """Serves until the end. The socket stays open, so that connections wait in it for the next start."""
        self._ended = asyncio.Event()
        listening.setblocking(False)
        asyncio.get_running_loop().add_reader(listening, self._accept, listening)
        self._watch()
        await self._ended.wait()
        asyncio.get_running_loop().remove_reader(listening)
        if self._timer:
            self._timer.cancel()
        if self._connections:
            await asyncio.wait(self._connections, timeout=self._timeout)
        if self._pool:
            self._pool.shutdown(wait=True)

    def _accept(self, listening: socket.socket) -> None:
        """Takes all connections that wait, in one go: one that was taken is never left behind at the end."""
        loop = asyncio.get_running_loop()
        while len(self._connections) < self._most:
            try:
                connection, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                # Too many open files: there is room for more when one ends.
                break
            connection.setblocking(False)
            task = loop.create_task(self._serve(connection))
            self._connections.add(task)
            task.add_done_callback(lambda task: self._gone(task, listening))
            self._watch()
        if self._connections:
            loop.remove_reader(listening)
            self._full = True

    def _gone(self, task: asyncio.Task[None], listening: socket.socket) -> None:
        self._connections.discard(task)
        if self._ended and not self._ended.is_set():
            if self._full:
                self._full = False
                asyncio.get_running_loop().add_reader(listening, self._accept, listening)
            self._watch()

    def _watch(self) -> None:
        """Counts the seconds without a connection."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._idle is not None and not self._connections:
            self._timer = asyncio.get_running_loop().call_later(self._idle, self.end)

    def _allowed(self, length: int = 0) -> float:
        """Seconds for this many bytes."""
        return self._timeout + length / self._slowest

    async def _serve(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with connection:
            try:
                method, response, whole = await self._exchange(connection)
                data = message.encode(response, method)
                async with asyncio.timeout(self._allowed(len(data))):
                    await loop.sock_sendall(connection, data)
                    if not whole:
                        await discard(connection)
            except (TimeoutError, OSError, EOFError):
                # Who is too slow, or has gone, gets no answer.
                pass

    async def _exchange(self, connection: socket.socket) -> tuple[str, Response, bool]:
        """The request's method, its answer, and whether the request was read to its end."""
        method = "GET"
        try:
            async with asyncio.timeout(self._allowed()):
                head, rest = await read_head(connection)
            request = message.parse(head)
            method = request.method
            length = message.body_length(request, self._longest_body)
            async with asyncio.timeout(self._allowed(length)):
                body = await read_body(connection, rest, length)
        except Refused as refused:
            return method, Response(refused.status, f"{refused}\n".encode()), False
        return method, await self._respond(Request(method, request.target, request.headers, body)), True

    async def _respond(self, request: Request) -> Response:
        try:
            if self._pool:
                return await asyncio.get_running_loop().run_in_executor(self._pool, self._answer, request)
            return self._answer(request)
        except Exception:  # noqa: BLE001  whatever it is: see below
            # One request that fails is no reason to end those of others. What was asked stays out of the journal.
            traceback.print_exc()
            return Response(500, b"500 Internal Server Error\n")


async def read_head(connection: socket.socket) -> tuple[bytes, bytes]:
    """The request's line and headers, and what came with them of the body."""
    loop = asyncio.get_running_loop()
    data = bytearray()
    while (end := data.find(b"\r\n\r\n")) < 0:
        if len(data) > LONGEST_HEAD:
            raise Refused(413)
        piece = await loop.sock_recv(connection, 16384)
        if not piece:
            raise EOFError
        data += piece
    if end > LONGEST_HEAD:
        raise Refused(413)
    return bytes(data[:end]), bytes(data[end + 4:])


async def read_body(connection: socket.socket, begun: bytes, length: int) -> bytes:
    """A body of this length, of which some has come already. What is behind it is left out."""
    loop = asyncio.get_running_loop()
    data = bytearray(begun)
    while len(data) < length:
        piece = await loop.sock_recv(connection, 65536)
        if not piece:
            raise EOFError
        data += piece
    return bytes(data[:length])


async def discard(connection: socket.socket) -> None:
    """Reads what is still coming: the kernel takes an answer back from whoever was not listened to."""
    loop = asyncio.get_running_loop()
    connection.shutdown(socket.SHUT_WR)
    left = LONGEST_REST
    while left > 0:
        piece = await loop.sock_recv(connection, 65536)
        if not piece:
            return
        left -= len(piece)


def activated() -> socket.socket:
    """The socket that systemd listens on for this service (sd_listen_fds(3))."""
    if os.environ.pop("LISTEN_PID", "") != str(os.getpid()) or os.environ.pop("LISTEN_FDS", "") != "1":
        sys.exit("this service gets one socket from systemd: start its .socket unit")
    os.environ.pop("LISTEN_FDNAMES", None)
    os.set_inheritable(3, False)
    return socket.socket(fileno=3)


def serve(server: Server, listening: socket.socket | None = None) -> None:
    """Serves on systemd's socket, until nobody asks or systemd says so."""
    listening = listening or activated()

    async def work() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, server.end)
        await server.run(listening)

    asyncio.run(work())
