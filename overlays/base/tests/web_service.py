"""A small service, with the pages and texts that its tests write, and ways to ask it over a real socket."""

import asyncio
import os
import socket
import tempfile
import threading
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clic import web
from clic.limits import Limit, Stations
from clic.pages import Pages

HOST = "board.clic.internal"
GUEST, OTHER = "10.42.0.17", "10.42.0.18"

TEMPLATE = """\
<html lang="{{ lang }}"><h1>{{ t("title") }}</h1>{{ t("hello", name=name) }}
<form method="post"><input type="hidden" name="token" value="{{ token }}"></form></html>
"""
TEXTS = {
    "fr": 'title = "Le tableau d’ici"\nhello = "Bonjour {name} !"\n',
    "en": 'title = "The board"\nhello = "Hello {name}!"\n',
}


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Case(unittest.TestCase):
    """A test with a service of one page, which takes one form."""

    limit: Limit | None = None

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        texts = {f"texts/{language}.toml": text for language, text in TEXTS.items()}
        for name, text in {"templates/board.html": TEMPLATE, **texts}.items():
            (self.directory / name).parent.mkdir(exist_ok=True)
            (self.directory / name).write_text(text, encoding="utf-8")
        self.clock = Clock()
        self.tokens = web.Tokens(b"x" * 32, self.clock)
        self.written: list[str] = []
        self.app = web.App(
            Pages(str(self.directory / "board.py")), hosts=[HOST], tokens=self.tokens, limit=self.limit,
            stations=Stations("/nonexistent"),
        )
        self.app.get("/board/{name}")(lambda request, name: self.app.page(request, "board.html", name=name))
        self.app.post("/board/")(self._write)

    def _write(self, request: web.Request) -> web.Response:
        self.written.append(request.form.text("text"))
        return web.redirect("/board/all")

    def ask(self, target: str, method: str = "GET", body: bytes = b"", **headers: str) -> web.Response:
        """What the service answers, without a socket; `x_real_ip="..."` sets the header X-Real-IP."""
        given = {"host": HOST, "x-real-ip": GUEST, "x-clic-server": "10.42.0.1"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.app(web.Request(method, target, given, body))

    def send(self, fields: str, **headers: str) -> web.Response:
        """What the service answers to a form."""
        headers = {"content_type": "application/x-www-form-urlencoded", "origin": f"http://{HOST}"} | headers
        return self.ask("/board/", "POST", fields.encode(), **headers)

    def token(self, address: str = GUEST) -> str:
        """A token from the page that this guest gets."""
        body = self.ask("/board/all", x_real_ip=address).body.decode()
        return body.partition('value="')[2].partition('"')[0]


@contextmanager
def running(server: web.Server) -> Iterator[str]:
    """The path of a socket on which the server runs, in a thread of its own."""
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as listening:
        path = os.path.join(directory, "socket")
        listening.bind(path)
        listening.listen(64)
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_until_complete, args=(server.run(listening),))
        thread.start()
        try:
            yield path
        finally:
            loop.call_soon_threadsafe(server.end)
            thread.join()
            loop.close()


def connect(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    # Far more than anything takes here: a test that hangs is to end.
    connection.settimeout(60)
    connection.connect(path)
    return connection


def read_all(connection: socket.socket) -> bytes:
    """What comes until the other end closes."""
    data = b""
    try:
        while piece := connection.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


def exchange(path: str, request: bytes) -> bytes:
    """The whole answer to these bytes. Fails where the connection is reset: the answer may be lost then."""
    with connect(path) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        data = b""
        while piece := connection.recv(65536):
            data += piece
        return data
