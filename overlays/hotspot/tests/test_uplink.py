import contextlib
import http.server
import socket
import tempfile
import threading
import time
import unittest

from clic.hotspot import uplink

HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
ANSWERS = {
    "/online": (200, b"NetworkManager is online\n", {}),
    "/204": (204, b"", {}),
    "/moved": (302, b"", {"Location": "http://portal.example/"}),
    "/page": (200, b"<!doctype html><html>Sign in</html>", {}),
    "/long": (200, b"x" * 5000, {}),
    "/wrong": (404, b"no", {}),
}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        code, body, headers = ANSWERS[self.path]
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        if code != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Routes(unittest.TestCase):
    def has(self, *lines: str) -> bool:
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(HEAD + "".join(f"{line}\n" for line in lines))
            file.flush()
            return uplink.has_default_route(file.name)

    def test_only_a_way_out_counts(self) -> None:
        way = "{}\t00000000\t0202000A\t{}\t0\t0\t100\t00000000\t0\t0\t0"
        self.assertTrue(self.has(way.format("eth0", "0003")))
        self.assertFalse(self.has(way.format("eth0", "0002")))
        self.assertFalse(self.has(way.format("hotspot0", "0003")))
        self.assertFalse(self.has("eth0\t00002A0A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0"))
        self.assertFalse(self.has("garbage"))
        self.assertFalse(uplink.has_default_route("/nonexistent"))


class Answers(unittest.TestCase):
    def test_only_the_page_itself_counts(self) -> None:
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            base = f"http://127.0.0.1:{server.server_port}"
            found = {path: uplink.answers(base + path) for path in ANSWERS}
            server.shutdown()
        self.assertEqual([path for path, yes in found.items() if yes], ["/online", "/204"])

    def test_nobody_and_somebody_silent(self) -> None:
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
            port = silent.getsockname()[1]
            begun = time.monotonic()
            self.assertFalse(uplink.answers(f"http://127.0.0.1:{port}/", timeout=0.5))
            self.assertLess(time.monotonic() - begun, 5)
        self.assertFalse(uplink.answers(f"http://127.0.0.1:{port}/", timeout=0.5))
        self.assertFalse(uplink.answers("http://nowhere.invalid/", timeout=0.5))


class Watch(unittest.TestCase):
    def setUp(self) -> None:
        self.route, self.answer, self.asked = True, True, 0
        self.uplink = uplink.Uplink("http://x/", lambda: self.route, self.ask)

    def ask(self, _: str) -> bool:
        self.asked += 1
        return self.answer

    def test_asked_once_a_minute(self) -> None:
        for now in range(0, 121, 3):
            self.uplink.look(now)
        self.assertTrue(self.uplink.present)
        self.assertEqual(self.asked, 3)

    def test_one_failure_is_none_two_are(self) -> None:
        self.uplink.look(0)
        self.answer = False
        self.uplink.look(60)
        self.assertTrue(self.uplink.present)
        self.uplink.look(65)
        self.assertFalse(self.uplink.present)
        self.answer = True
        self.uplink.look(75)
        self.assertTrue(self.uplink.present)

    def test_without_a_route_at_once_and_without_a_question(self) -> None:
        self.uplink.look(0)
        self.route = False
        self.uplink.look(1)
        self.assertFalse(self.uplink.present)
        self.route = True
        self.uplink.look(2)
        self.assertTrue(self.uplink.present)
        self.assertEqual(self.asked, 2)

    def test_without_a_page_a_route_is_enough(self) -> None:
        link = uplink.Uplink("", lambda: True, self.ask)
        link.look(0)
        self.assertTrue(link.present)
        self.assertEqual(self.asked, 0)


if __name__ == "__main__":
    unittest.main()
