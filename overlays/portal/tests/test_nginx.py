"""The portal's part of nginx, in a real one: what a guest can make it write."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from clic.disk import Root
from clic.services import definitions, machine

OVERLAYS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
VALUES = {
    "{{ address | split('/') | first }}": "127.0.0.1",
    "{{ domain }}": "clic.internal",
    "{{ language }}": "fr",
    "{{ port }}": "1",
}
MAIN = """
daemon off;
pid {at}/pid;
error_log {at}/logs/error.log;
events {{}}
http {{
    include /etc/nginx/mime.types;
    access_log {at}/logs/access.log;
    client_body_temp_path {at}/temp/body;
    proxy_temp_path {at}/temp/proxy;
    fastcgi_temp_path {at}/temp/fastcgi;
    uwsgi_temp_path {at}/temp/uwsgi;
    scgi_temp_path {at}/temp/scgi;
    # Debian's first page: what no server is meant by comes here.
    server {{
        listen 127.0.0.1:{port} default_server;
        server_name _;
    }}
    include {at}/etc/nginx/conf.d/*.conf;
    include {at}/etc/nginx/sites-available/*;
}}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        port: int = one.getsockname()[1]
        return port


class Server:
    """nginx with the overlays' own configuration, below a directory and on other ports."""

    def __init__(self, directory: str, *services: tuple[str, str]) -> None:
        # An ordinary user's PATH leaves out where Debian puts servers.
        program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
        # One that is left out proves nothing.
        assert program, "nginx is not installed: apt-get install nginx-light"
        self.at, self.port, self.elsewhere = directory, free_port(), free_port()
        for overlay in ("hotspot", "portal", "kiwix", "services"):
            self.copy(os.path.join(OVERLAYS, overlay, "files"))
        for service in services:
            self.switch_on(*service)
        for path in ("logs", "temp", "srv/clic/content/book", "usr/share/clic/portal/fr"):
            os.makedirs(f"{directory}/{path}", exist_ok=True)
        for name in ("missing", "unavailable"):
            with open(f"{directory}/usr/share/clic/portal/fr/{name}.html", "w") as page:
                page.write("not here")
        os.symlink("/etc/passwd", f"{directory}/srv/clic/content/book/link")
        os.mkdir(f"{directory}/srv/clic/content/book/closed", 0)
        main = f"{directory}/etc/nginx/nginx.conf"
        with open(main, "w") as file:
            file.write(MAIN.format(at=directory, port=self.port))
        self.process = subprocess.Popen(
            [program, "-c", main], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr
        self.said = self.process.stderr
        while True:
            with socket.socket() as tried:
                if not tried.connect_ex(("127.0.0.1", self.port)):
                    return
            if self.process.poll() is not None:
                raise AssertionError(self.said.read())
            time.sleep(0.05)

    def switch_on(self, name: str, nginx: str) -> None:
        """A service's part, as `clic-service` writes it."""
        root = Root(self.at)
        path = root.at(f"{definitions.DIRECTORY}/{name}.toml")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            head = f'schema = 1\nkind = "debian"\nstate = "enabled"\npath = "/{name}"'
            file.write(f'{head}\n[title]\nen = "x"\n[nginx]\n{nginx}\n')
        text = machine.snippet(definitions.load(root, name))
        text = text.replace("include snippets", f"include {self.at}/etc/nginx/snippets")
        os.makedirs(f"{self.at}/etc/nginx/clic.d/services", exist_ok=True)
        with open(f"{self.at}/etc/nginx/clic.d/services/{name}.conf", "w") as file:
            file.write(text)

    def temporary(self) -> list[str]:
        """Files on the disk that nginx has what is on its way in. They have no name any more, but it has them open."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as children:
            workers = children.read().split()
        found = []
        for worker in workers:
            for descriptor in os.scandir(f"/proc/{worker}/fd"):
                found.append(os.readlink(descriptor.path))
        return [path for path in found if path.startswith(f"{self.at}/temp/")]

    def copy(self, files: str) -> None:
        for directory, _, names in os.walk(f"{files}/etc/nginx"):
            to = os.path.join(self.at, os.path.relpath(directory, files))
            os.makedirs(to, exist_ok=True)
            for name in names:
                with open(os.path.join(directory, name)) as file:
                    text = re.sub(r"{% .*? %}\n?", "", file.read())
                for value in VALUES.items():
                    text = text.replace(*value)
                text = re.sub(r"listen \[::\]:80;", "", text)
                text = re.sub(r"listen 80;", f"listen 127.0.0.1:{self.port};", text)
                text = re.sub(r"listen 2080 ", f"listen 127.0.0.1:{self.elsewhere} ", text)
                for path in ("/etc/nginx/clic.d", "/usr/share/clic", "/srv/clic", "/run/clic", "/var/log/nginx"):
                    text = text.replace(path, self.at + path)
                text = text.replace(f"{self.at}/var/log/nginx", f"{self.at}/logs")
                with open(os.path.join(to, name), "w") as file:
                    file.write(text)

    def ask(self, requests: list[bytes], port: int | None = None) -> list[int]:
        """The status of each answer; many at once, as somebody asks who means harm."""
        with socket.create_connection(("127.0.0.1", port or self.port), timeout=30) as one:
            # The last one says that it is; to end the connection instead would be taken for a guest who went away.
            one.sendall(b"".join(requests).removesuffix(b"\r\n") + b"Connection: close\r\n\r\n")
            answers, more = b"", b"-"
            while more and answers.count(b"HTTP/1.1 ") < len(requests):
                try:
                    more = one.recv(1 << 16)
                except ConnectionResetError:
                    # A part of a request that was refused is unread.
                    more = b""
                answers += more
            return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d+)", answers)]

    def logged(self) -> str:
        found = []
        for name in os.listdir(f"{self.at}/logs"):
            with open(f"{self.at}/logs/{name}") as file:
                found.append(file.read())
        return "".join(found)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()
        self.said.close()
        os.rmdir(f"{self.at}/srv/clic/content/book/closed")


def get(path: str, host: str = "clic.internal", more: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode()


class WhatGuestsMakeItWrite(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.server = Server(directory.name)
        self.addCleanup(self.server.stop)

    def test_what_is_asked_for_in_vain_is_not_written_down(self) -> None:
        long = "/content/" + "x" * 300
        post = b"POST / HTTP/1.1\r\nHost: clic.internal\r\nContent-Length: 9999999\r\n\r\n"
        kinds = {
            404: [get("/nothing"), get("/fr/nothing"), get("/assets/nothing"), get("/content/nothing"), get(long),
                  get("/wifi.svg"), get("/status.json"), get("/content/book/link"), get("/content/book/"),
                  get("/content/book/closed/x"), get("/content/book/.git/x"), get("/services.json")],
            400: [get("/%00"), b"GET / HTTP/1.1\r\n\r\n", b"nonsense\r\n\r\n", get("/../x")],
            413: [post],
            414: [get("/" + "x" * 9000)],
            # The captive portal's program and kiwix-serve are down.
            502: [get("/captive/"), get("/", host="elsewhere.example")],
            503: [get("/zim/x")],
        }
        for code, requests in kinds.items():
            for request in requests:
                self.assertLessEqual(set(self.server.ask([request])), {code}, request[:60])
        for _ in range(100):
            with socket.create_connection(("127.0.0.1", self.server.port)) as one:
                one.sendall(b"GET / HTTP/1.1\r\nHost: ")
        for port, host in ((self.server.port, "clic.internal"), (self.server.elsewhere, "elsewhere.example")):
            self.server.ask([get(f"/content/{number}", host) for number in range(1000)], port)
        logged = self.server.logged()
        self.assertEqual(logged, "", f"{len(logged)} bytes")

    def test_a_guest_has_a_share_and_no_more(self) -> None:
        codes = self.server.ask([get("/fr/missing.html")] * 1000)
        self.assertIn(200, codes)
        self.assertIn(429, codes)
        # What a page of many pictures asks for at once is answered.
        self.assertNotIn(429, codes[:200])
        # What wakes the captive portal's program is dearer. (It is down here, so nginx answers 502 by itself.)
        codes = self.server.ask([get("/captive/state")] * 100)
        self.assertEqual(set(codes[:20]), {502})
        self.assertIn(429, codes)

    def test_every_answer_says_what_a_browser_may_do_with_it(self) -> None:
        large = b"POST / HTTP/1.1\r\nHost: clic.internal\r\nContent-Length: 9999999\r\n\r\n"
        for request in [
            get("/fr/missing.html"), get("/nothing"), get("/fr/nothing"), get("/assets/nothing"), get("/content/nothing"),
            get("/wifi.svg"), get("/status.json"), get("/services.json"), get("/favicon.ico"), get("/language/fr/"),
            get("/zim/x"), get("/captive/"), get("/captive/state"), get("/", host="elsewhere.example"), get("/../x"), large,
        ]:
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=30) as one:
                one.sendall(request)
                head = b""
                while b"\r\n\r\n" not in head:
                    head += one.recv(1 << 16)
            policies = re.findall(rb"(?im)^content-security-policy: (.*)$", head.split(b"\r\n\r\n")[0])
            # What is no request comes to no server of ours.
            if not head.startswith(b"HTTP/1.1 400 "):
                self.assertEqual(len(policies), 1, (request, head))
                self.assertIn(b"frame-ancestors", policies[0])


class Upstream:
    """A service that answers 32 MB at once, and says how much it was sent."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listening.getsockname()[1]
        self.got = 0
        self.answered = threading.Event()
        threading.Thread(target=self.work, daemon=True).start()

    def work(self) -> None:
        while True:
            try:
                one, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(one,), daemon=True).start()

    def serve(self, one: socket.socket) -> None:
        with one:
            head = b""
            while b"\r\n\r\n" not in head:
                head += one.recv(1 << 16)
            if head.startswith(b"POST"):
                self.got += len(head.split(b"\r\n\r\n", 1)[1])
                while more := one.recv(1 << 16):
                    self.got += len(more)
                return
            one.settimeout(3)
            with contextlib.suppress(OSError):
                one.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 33554432\r\n\r\n" + bytes(1 << 25))
            self.answered.set()


class WhatIsOnItsWay(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.upstream = Upstream()
        self.addCleanup(self.upstream.listening.close)
        port = f"port = {self.upstream.port}"
        self.server = Server(directory.name, ("texts", port), ("files", f"{port}\nuploads = 20000000"))
        self.addCleanup(self.server.stop)

    def connected(self, request: bytes) -> socket.socket:
        one = socket.create_connection(("127.0.0.1", self.server.port), timeout=30)
        self.addCleanup(one.close)
        one.sendall(request)
        return one

    def test_what_is_read_slowly_is_not_written_to_the_card(self) -> None:
        self.connected(get("/texts/film"))
        # It has sent all that nginx takes.
        self.assertTrue(self.upstream.answered.wait(30))
        self.assertEqual(self.server.temporary(), [])

    def test_what_is_sent_is_not_written_to_the_card(self) -> None:
        post = b"POST /%s/ HTTP/1.1\r\nHost: clic.internal\r\nContent-Length: %d\r\n\r\n"
        # Who does not say that it takes files is sent texts, which fit into memory.
        self.assertEqual(self.server.ask([post % (b"texts", 9999999)]), [413])
        self.connected(post % (b"texts", 60000) + bytes(50000))
        self.connected(post % (b"files", 9999999) + bytes(1000000))
        end = time.monotonic() + 30
        while self.upstream.got < 1000000:
            self.assertLess(time.monotonic(), end, f"the service got {self.upstream.got} bytes")
            time.sleep(0.05)
        self.assertEqual(self.server.temporary(), [])
        self.assertEqual(self.server.ask([post % (b"files", 99999999)]), [413])


if __name__ == "__main__":
    unittest.main()
