"""Real sockets, with what nginx would never send, and what somebody might make it send."""

import asyncio
import contextlib
import io
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

from clic import web
from clic.web import server as limits
from helpers import files
from web_service import connect, exchange, read_all, running


def echo(request: web.Request) -> web.Response:
    return web.Response(200, f"{request.method} {request.target} {request.host} ".encode() + request.body)


class Requests(unittest.TestCase):
    def codes(self, *requests: bytes) -> list[str]:
        with running(web.Server(echo)) as path:
            return [exchange(path, request)[9:12].decode() for request in requests]

    def test_a_request_and_its_answer(self) -> None:
        with running(web.Server(echo)) as path:
            answer = exchange(path, b"POST /a?b HTTP/1.1\r\nHost: Box.:80\r\nContent-Length: 3\r\n\r\nxyz more")
        self.assertEqual(
            answer, b"HTTP/1.0 200 OK\r\nCache-Control: no-store\r\nContent-Type: text/plain\r\nContent-Length: 17\r\n\r\n"
            b"POST /a?b box xyz",
        )

    def test_head_and_no_content_have_no_body(self) -> None:
        with running(web.Server(lambda request: web.Response(int(request.target[1:]), b"body"))) as path:
            self.assertTrue(exchange(path, b"HEAD /200 HTTP/1.0\r\n\r\n").endswith(b"Content-Length: 4\r\n\r\n"))
            for status, reason in ((204, "No Content"), (304, "Not Modified")):
                empty = exchange(path, f"GET /{status} HTTP/1.0\r\n\r\n".encode())
                self.assertEqual(empty, f"HTTP/1.0 {status} {reason}\r\nCache-Control: no-store\r\n\r\n".encode())

    def test_what_is_no_request(self) -> None:
        codes = self.codes(
            b"nonsense\r\n\r\n",
            b"GET  / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/2.0\r\n\r\n",
            b"\x16\x03\x01\x02\x00\r\n\r\n",
            b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
            b"POST / HTTP/1.0\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
            b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            # Ends too early: nobody is there to be answered.
            b"GET / HTTP/1.0\r\n",
            b"POST / HTTP/1.0\r\nContent-Length: 50\r\n\r\nshort",
            b"",
        )
        self.assertEqual(codes, ["400", "400", "400", "400", "400", "400", "411", "", "", ""])

    def test_what_is_too_long(self) -> None:
        line = b"X: " + b"y" * (limits.LONGEST_HEAD - 25) + b"\r\n\r\n"
        codes = self.codes(
            b"GET / HTTP/1.0\r\n" + line,
            b"GET / HTTP/1.0\r\nXXXXXXXXXX" + line,
            b"GET / HTTP/1.0\r\n" + b"a: b\r\n" * 100000,
            b"GET /" + b"x" * 900000,
            b"POST / HTTP/1.0\r\nContent-Length: 4096\r\n\r\n" + b"x" * 4096,
            b"POST / HTTP/1.0\r\nContent-Length: 4097\r\n\r\n" + b"x" * 4097,
            b"POST / HTTP/1.0\r\nContent-Length: 900000\r\n\r\n" + b"x" * 900000,
            b"POST / HTTP/1.0\r\nContent-Length: -1\r\n\r\n",
            b"POST / HTTP/1.0\r\nContent-Length: 1_0\r\n\r\n",
            b"POST / HTTP/1.0\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
            b"POST / HTTP/1.0\r\nContent-Length: \xb2\r\n\r\n",
        )
        self.assertEqual(codes, ["200", "413", "413", "413", "200", "413", "413", "413", "413", "413", "413"])

    def test_one_that_fails_is_told_to_the_journal_and_does_not_end_the_others(self) -> None:
        def fails(request: web.Request) -> web.Response:
            if request.target == "/":
                raise KeyError("inside")
            return echo(request)

        for threads in (0, 2):
            with contextlib.redirect_stderr(io.StringIO()) as journal, running(web.Server(fails, threads=threads)) as path:
                self.assertIn(b"500 Internal Server Error\n", exchange(path, b"GET / HTTP/1.0\r\n\r\n"))
                self.assertIn(b"GET /x", exchange(path, b"GET /x HTTP/1.0\r\n\r\n"))
            self.assertIn("KeyError: 'inside'", journal.getvalue())


class Ends(unittest.IsolatedAsyncioTestCase):
    """The end of a server, moment by moment."""

    REQUEST = b"GET / HTTP/1.0\r\n\r\n"

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = os.path.join(directory.name, "socket")
        self.listening = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.listening.close)
        self.listening.bind(self.path)
        self.listening.listen()

    @staticmethod
    def server(says: bytes, idle: float | None = None) -> web.Server:
        return web.Server(lambda request: web.Response(200, says), idle=idle)

    async def ask(self, data: bytes = REQUEST) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_unix_connection(self.path)
        self.addCleanup(writer.close)
        writer.write(data)
        return reader, writer

    async def test_who_comes_while_it_ends_is_left_to_the_next(self) -> None:
        first = self.server(b"first")
        running = asyncio.create_task(first.run(self.listening))
        begun, more = await self.ask(self.REQUEST[:-2])
        await asyncio.sleep(0.1)
        first.end()
        await asyncio.sleep(0.1)
        late, _ = await self.ask()
        await asyncio.sleep(0.1)
        more.write(b"\r\n")
        self.assertTrue((await begun.read()).endswith(b"first"))
        await running
        second = self.server(b"second")
        running = asyncio.create_task(second.run(self.listening))
        self.assertTrue((await late.read()).endswith(b"second"))
        second.end()
        await running

    async def test_nobody_is_idle_who_has_a_guest(self) -> None:
        running = asyncio.create_task(self.server(b"here", idle=0.2).run(self.listening))
        held, more = await self.ask(self.REQUEST[:-2])
        await asyncio.sleep(0.6)
        self.assertFalse(running.done())
        other, _ = await self.ask()
        self.assertTrue((await asyncio.wait_for(other.read(), 60)).endswith(b"here"))
        more.write(b"\r\n")
        self.assertTrue((await held.read()).endswith(b"here"))
        await running


class Slow(unittest.TestCase):
    """Guests who send and read as slowly as they can. Every one of these would wait for ever, were there no end to it."""

    def test_those_who_say_little_are_sent_away(self) -> None:
        with running(web.Server(echo, timeout=0.2)) as path:
            beginnings = (b"", b"G", b"GET / HTTP/1.1\r\nX: ", b"POST / HTTP/1.0\r\nContent-Length: 9\r\n\r\nx")
            slow = [connect(path) for _ in beginnings]
            for connection, text in zip(slow, beginnings, strict=True):
                connection.sendall(text)
            for connection in slow:
                self.assertEqual(read_all(connection), b"")
                connection.close()

    def test_one_byte_at_a_time_is_no_way_to_stay(self) -> None:
        with running(web.Server(echo, timeout=0.5)) as path, connect(path) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nX: ")
            ended = threading.Event()

            def drip() -> None:
                with contextlib.suppress(OSError):
                    while not ended.wait(0.05):
                        connection.sendall(b"x")

            thread = threading.Thread(target=drip)
            thread.start()
            self.assertEqual(read_all(connection), b"")
            ended.set()
            thread.join()

    def test_those_who_do_not_read_are_sent_away(self) -> None:
        def answer(request: web.Request) -> web.Response:
            return web.Response(200, b"x" * (8 << 20 if request.target == "/large" else 1))

        with running(web.Server(answer, timeout=1, slowest=64 << 20)) as path, connect(path) as connection:
            connection.sendall(b"GET /large HTTP/1.0\r\n\r\n")
            self.assertIn(b"200 OK", exchange(path, b"GET / HTTP/1.0\r\n\r\n"))
            # The other end closes, while what was sent still waits here.
            poll = select.poll()
            poll.register(connection, select.POLLRDHUP)
            self.assertTrue(poll.poll(60_000), "still there after a minute")
            self.assertLess(len(read_all(connection)), 8 << 20)

    def test_a_long_body_has_its_time(self) -> None:
        server = web.Server(echo, timeout=1, slowest=10, longest_body=1000)
        with running(server) as path, connect(path) as connection:
            connection.sendall(b"POST / HTTP/1.0\r\nContent-Length: 600\r\n\r\n")
            # Longer than head and answer have.
            threading.Event().wait(1.5)
            connection.sendall(b"x" * 600)
            self.assertTrue(read_all(connection).endswith(b"x" * 600))

    def test_they_hold_up_nobody(self) -> None:
        with running(web.Server(echo, most=64)) as path, contextlib.ExitStack() as held:
            for _ in range(60):
                held.enter_context(connect(path)).sendall(b"GET / HTTP/1.1\r\nX: ")
            self.assertIn(b"200 OK", exchange(path, b"GET / HTTP/1.0\r\n\r\n"))

    def test_when_all_places_are_taken_others_wait_for_one(self) -> None:
        with running(web.Server(echo, most=4)) as path:
            held = [connect(path) for _ in range(4)]
            for connection in held:
                connection.sendall(b"GET /held HTTP/1.0\r\n")
            with connect(path) as waiting:
                waiting.sendall(b"GET /waiting HTTP/1.0\r\n\r\n")
                waiting.settimeout(0.3)
                with self.assertRaises(TimeoutError):
                    waiting.recv(1)
                waiting.settimeout(60)
                held[0].sendall(b"\r\n")
                self.assertIn(b"/held", read_all(held[0]))
                self.assertIn(b"/waiting", read_all(waiting))
            for connection in held:
                connection.close()

    def test_with_threads_one_that_takes_long_does_not_hold_up_another(self) -> None:
        other_came = threading.Event()

        def answer(request: web.Request) -> web.Response:
            if request.target == "/long":
                return web.Response(200, str(other_came.wait(60)).encode())
            other_came.set()
            return web.Response(200, b"short")

        with running(web.Server(answer, threads=2)) as path, connect(path) as connection:
            connection.sendall(b"GET /long HTTP/1.0\r\n\r\n")
            self.assertIn(b"short", exchange(path, b"GET /short HTTP/1.0\r\n\r\n"))
            self.assertIn(b"True", read_all(connection))


SERVICE = """
from clic import web
web.serve(web.Server(lambda request: web.Response(200, str(__import__("os").getpid()).encode()), idle={idle}))
"""


class Activated(unittest.TestCase):
    """As systemd does it: the socket is there first, and stays; the program comes when somebody asks."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = os.path.join(directory.name, "socket")
        self.listening = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.listening.close)
        self.listening.bind(self.path)
        self.listening.listen(64)

    def start(self, idle: float | None, listen: str = 'LISTEN_PID=$$ LISTEN_FDS=1') -> subprocess.Popen[str]:
        # systemd gives the socket as descriptor 3, and says so to this process id.
        command = f'{listen} exec "$0" -B -c "$1" 3<&{self.listening.fileno()}'
        process = subprocess.Popen(
            ["bash", "-c", command, sys.executable, SERVICE.format(idle=idle)], pass_fds=[self.listening.fileno()],
            env=os.environ | {"PYTHONPATH": str(Path(files("base")) / "usr/lib/python3/dist-packages")},
            stderr=subprocess.PIPE, text=True,
        )
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process: subprocess.Popen[str]) -> None:
        process.kill()
        process.communicate()

    def ask(self) -> int:
        return int(exchange(self.path, b"GET / HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")[2])

    def test_gone_when_idle_and_nobody_is_lost(self) -> None:
        for _ in range(3):
            # Asked before it runs, as the one whose question makes systemd start it.
            with connect(self.path) as first:
                first.sendall(b"GET / HTTP/1.0\r\n\r\n")
                process = self.start(0.2)
                self.assertTrue(read_all(first).endswith(f"\n{process.pid}".encode()))
            self.assertEqual(process.wait(60), 0)

    def test_one_who_comes_while_it_goes_waits_for_the_next(self) -> None:
        """Asks without a pause while processes end and begin: each question has its answer."""
        stop = threading.Event()
        answers: list[int] = []

        def ask() -> None:
            while not stop.is_set():
                answers.append(self.ask())

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            for _ in range(5):
                process = self.start(None)
                self.wait_for(process.pid, answers)
                process.send_signal(signal.SIGTERM)
                self.assertEqual(process.wait(60), 0)
        finally:
            stop.set()
            self.start(None)
            asking.join(60)
        self.assertFalse(asking.is_alive(), "a question was taken and not answered")
        self.assertGreater(len(set(answers)), 4)

    def wait_for(self, pid: int, answers: list[int]) -> None:
        for _ in range(3000):
            if pid in answers:
                return
            threading.Event().wait(0.02)
        self.fail(f"process {pid} has answered nothing within a minute")

    def test_what_is_begun_is_ended_first(self) -> None:
        process = self.start(None)
        self.ask()
        with connect(self.path) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n")
            self.ask()
            process.terminate()
            threading.Event().wait(0.3)
            connection.sendall(b"\r\n")
            self.assertIn(b"200 OK", read_all(connection))
        self.assertEqual(process.wait(60), 0)

    def test_started_without_a_socket(self) -> None:
        for listen in ("", "LISTEN_PID=1 LISTEN_FDS=1", "LISTEN_PID=$$ LISTEN_FDS=2"):
            process = self.start(None, listen)
            _, said = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 1)
            self.assertEqual(said, "this service gets one socket from systemd: start its .socket unit\n")


if __name__ == "__main__":
    unittest.main()
