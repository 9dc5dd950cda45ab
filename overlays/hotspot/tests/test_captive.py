import asyncio
import json
import os
import socket
import tempfile
import unittest

from clic import web
from clic.hotspot import captive, guests, page, probes
from hotspot_settings import settings

GUEST, OTHER, CABLE = "10.42.0.17", "10.42.0.18", "192.168.1.9"
LEASES = "1795712592 02:00:00:00:01:00 10.42.0.17 phone 01:02\n1795712592 02:00:00:00:02:00 10.42.0.18 * *\nbroken\n"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Case(unittest.TestCase):
    def setUp(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.leases = os.path.join(self.directory.name, "leases")
        self.status = os.path.join(self.directory.name, "status.json")
        self.write(self.leases, LEASES)
        self.clock = Clock()
        self.guests = guests.Guests(guests.Leases(self.leases), self.clock)
        self.captive = captive.Captive(settings(), "CLIC-<3", self.guests, self.status)

    @staticmethod
    def write(path: str, text: str) -> None:
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(f"{path}.new", path)

    def ask(self, host: str, target: str, address: str = GUEST, method: str = "GET", **headers: str) -> web.Response:
        return self.captive.answer(web.Request(method, target, {"host": host, "x-real-ip": address, **headers}))

    def portal(self, target: str, address: str = GUEST, method: str = "GET", **headers: str) -> web.Response:
        return self.ask("clic.internal", target, address, method, **{"x-clic-portal": "yes"}, **headers)


class Systems(Case):
    QUESTIONS = (
        *probes.EXACT,
        ("connectivitycheck.gstatic.com", "/generate_204"),
        ("clients3.google.com", "/generate_204"),
        ("captive.apple.com", "/hotspot-detect.html"),
        ("www.apple.com", "/library/test/success.html"),
    )

    def test_before_and_after(self) -> None:
        for host, path in self.QUESTIONS:
            answer = self.ask(host, path)
            self.assertEqual(answer.status, 302, (host, path))
            self.assertIn(("Location", "http://clic.internal/captive/"), answer.headers)
            self.assertGreater(len(answer.body), 4)
        self.assertEqual(self.portal("/captive/continue", method="POST").status, 303)
        for host, path in self.QUESTIONS:
            self.assertIn(self.ask(host, path).status, (200, 204), (host, path))
            self.assertEqual(self.ask(host, path, OTHER).status, 302, (host, path))

    def test_as_systems_write_them(self) -> None:
        self.guests.accept(GUEST)
        for host in ("CAPTIVE.apple.com", "captive.apple.com.", "captive.apple.com:80"):
            self.assertEqual(self.ask(host, "/x?y"), probes.APPLE)
        self.assertEqual(self.ask("detectportal.firefox.com", "/success.txt?ipv6").body, b"success\n")

    def test_other_pages_lead_home(self) -> None:
        self.guests.accept(GUEST)
        for host, target in (("example.com", "/a"), ("www.msftconnecttest.com", "/redirect"), ("", "/")):
            self.assertIn(("Location", "http://clic.internal/"), self.ask(host, target).headers)

    def test_with_internet_nothing_is_asked_of_anybody(self) -> None:
        self.write(self.status, '{"online": true}')
        self.assertEqual(self.ask("captive.apple.com", "/"), probes.APPLE)
        self.assertEqual(json.loads(self.portal("/captive/state").body), {"accepted": False, "online": True})
        for broken in ("{", "[]", '{"online": "yes"}'):
            self.write(self.status, broken)
            self.assertEqual(self.ask("captive.apple.com", "/").status, 302, broken)

    def test_the_cable_has_nothing_to_accept(self) -> None:
        answer = self.ask("box.lan", "/", CABLE, **{"x-clic-server": "192.168.1.5"})
        self.assertIn(("Location", "http://192.168.1.5/"), answer.headers)
        self.assertTrue(json.loads(self.portal("/captive/state", CABLE).body)["accepted"])

    def test_only_the_portals_host_accepts(self) -> None:
        self.assertEqual(self.ask("clic.internal", "/captive/continue", method="POST").status, 405)
        self.assertEqual(self.portal("/captive/continue").status, 303)
        self.assertFalse(json.loads(self.portal("/captive/state").body)["accepted"])
        self.assertEqual(self.portal("/captive/state", method="DELETE").status, 405)
        self.assertEqual(self.portal("/captive/../x").status, 404)


class Memory(Case):
    def test_an_hour_without_a_question(self) -> None:
        self.guests.accept(GUEST)
        for _ in range(5):
            self.clock.now += guests.IDLE_SECONDS - 1
            self.assertTrue(self.guests.accepted(GUEST))
        self.clock.now += guests.IDLE_SECONDS + 1
        self.assertFalse(self.guests.accepted(GUEST))

    def test_half_a_day_at_most(self) -> None:
        self.guests.accept(GUEST)
        while self.clock.now <= guests.LONGEST_SECONDS:
            self.assertTrue(self.guests.accepted(GUEST))
            self.clock.now += 1800
        self.assertFalse(self.guests.accepted(GUEST))

    def test_an_address_with_another_device_is_another_guest(self) -> None:
        self.guests.accept(GUEST)
        self.write(self.leases, LEASES.replace("02:00:00:00:01:00", "02:00:00:00:03:00"))
        self.assertFalse(self.guests.accepted(GUEST))
        os.unlink(self.leases)
        self.assertIsNone(guests.Leases(self.leases).hardware(GUEST))

    def test_invented_addresses_fill_no_memory(self) -> None:
        for number in range(guests.MOST + 50):
            self.guests.accept(f"address-{number}")
        self.assertEqual(len(self.guests._accepted), guests.MOST)
        self.assertTrue(self.guests.accepted(f"address-{guests.MOST + 49}"))


class Page(unittest.TestCase):
    def test_languages(self) -> None:
        for header, query, wanted in (
            ("", "", "fr"), ("en", "", "en"), ("en-GB,en;q=0.9,fr;q=0.8", "", "en"), ("de,fr;q=0.5,en;q=0.4", "", "fr"),
            ("de", "", "fr"), ("fr", "lang=en", "en"), ("en", "lang=xx", "en"), ("en;q=abc,fr;q=9,en;q=0.1", "", "en"),
            ("en;q=nan", "", "fr"), ("," * 5000, "", "fr"),
        ):
            self.assertEqual(page.language(header, query), wanted, (header, query))

    def test_both_are_whole_and_nothing_is_from_elsewhere(self) -> None:
        self.assertEqual(*(set(texts) for texts in page.TEXTS.values()))
        for lang in page.TEXTS:
            for accepted in (False, True):
                text = page.render(lang, "<b>&x", "clic.internal", accepted, False).decode()
                self.assertIn(f'<html lang="{lang}">', text)
                self.assertIn("&lt;b&gt;&amp;x", text)
                self.assertNotIn("<b>", text)
                self.assertNotRegex(text, r"<script|<link|<img|url\(|src=")
                self.assertEqual("/captive/continue" in text, not accepted)
                self.assertLess(len(text), 6000)


class Socket(Case):
    """Over a real socket, with what nginx would never send, and what somebody might make it send."""

    def exchange(self, *requests: bytes) -> list[bytes]:
        async def work() -> list[bytes]:
            path = os.path.join(self.directory.name, "socket")
            server = web.Server(self.captive.answer)
            with socket.socket(socket.AF_UNIX) as listening:
                listening.bind(path)
                listening.listen()
                running = asyncio.create_task(server.run(listening))
                answers = []
                for request in requests:
                    reader, writer = await asyncio.open_unix_connection(path)
                    writer.write(request)
                    try:
                        writer.write_eof()
                        answers.append(await asyncio.wait_for(reader.read(), 5))
                    except OSError:
                        answers.append(b"")
                    writer.close()
                server.end()
                await running
            os.unlink(path)
            return answers

        return asyncio.run(work())

    def test_a_guest_from_the_first_question_to_the_last(self) -> None:
        real = f"X-Real-IP: {GUEST}\r\n"
        question = f"GET /generate_204 HTTP/1.0\r\nHost: connectivitycheck.gstatic.com\r\n{real}\r\n".encode()
        accept = f"POST /captive/continue HTTP/1.0\r\nX-Clic-Portal: yes\r\n{real}Content-Length: 3\r\n\r\na=b".encode()
        before, accepted, after = self.exchange(question, accept, question)
        self.assertTrue(before.startswith(b"HTTP/1.0 302 Found\r\n"), before)
        self.assertTrue(accepted.startswith(b"HTTP/1.0 303 See Other\r\n"), accepted)
        self.assertEqual(after, b"HTTP/1.0 204 No Content\r\nCache-Control: no-store\r\n\r\n")

    def test_head_has_no_body(self) -> None:
        answer, = self.exchange(b"HEAD / HTTP/1.1\r\nHost: x\r\nX-Real-IP: 10.42.0.17\r\n\r\n")
        self.assertTrue(answer.endswith(b"\r\n\r\n") and b"Content-Length: " in answer, answer)

    def test_nonsense(self) -> None:
        answers = self.exchange(
            b"nonsense\r\n\r\n",
            b"GET / HTTP/1.0\r\nContent-Length: -1\r\n\r\n",
            b"GET / HTTP/1.0\r\nContent-Length: 99999999999\r\n\r\n",
            b"GET / HTTP/1.0\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
            b"GET / HTTP/1.0\r\nContent-Length: \xb2\r\n\r\n",
            b"GET / HTTP/1.0\r\nX-Real-IP: \xff\x00\r\nHost: \xff\r\n\r\n",
            b"GET / HTTP/1.0\r\n" + b"a: b\r\n" * 20000 + b"\r\n",
            b"GET / HTTP/1.0\r\n",
            b"",
            b"POST /captive/continue HTTP/1.0\r\nX-Clic-Portal: yes\r\nContent-Length: 50\r\n\r\nshort",
        )
        codes = [answer[9:12].decode() for answer in answers]
        self.assertEqual(codes, ["400", "413", "413", "413", "413", "302", "413", "", "", ""])


if __name__ == "__main__":
    unittest.main()
