"""The captive portal's answers: to systems that look for internet, and to the person who presses "Continue".

nginx stands before it: it reads slow and broken requests, limits their number, and says who asks. So a request here is
whole, small and quick, and one process answers them all.
"""

import asyncio
import ipaddress
import json
import os
import socket
import sys

from clic.hotspot import page, probes
from clic.hotspot import settings as s
from clic.hotspot.guests import Guests, Leases
from clic.hotspot.probes import Answer

STATUS = f"{s.RUN}/status.json"

# nginx sends what it took, which is less (large_client_header_buffers, client_max_body_size).
LONGEST_HEAD = 32768
LONGEST_BODY = 4096
TIMEOUT = 10

REASONS = {200: "OK", 204: "No Content", 302: "Found", 303: "See Other", 400: "Bad Request", 404: "Not Found",
           405: "Method Not Allowed", 413: "Content Too Large"}


class Captive:
    def __init__(self, settings, ssid, guests, status=STATUS):
        self._settings = settings
        self._ssid = ssid
        self._guests = guests
        self._status = status
        self._stamp = None
        self._online = False
        self._network = settings.interface.network
        self._domain = settings.domain

    def online(self):
        """Whether guests have internet, as the supervisor last said."""
        try:
            info = os.stat(self._status)
            stamp = (info.st_mtime_ns, info.st_ino)
            if stamp != self._stamp:
                with open(self._status, encoding="utf-8") as file:
                    self._online = json.load(file).get("online") is True
                self._stamp = stamp
        except (OSError, ValueError, AttributeError):
            self._stamp, self._online = None, False
        return self._online

    def _is_guest(self, address):
        try:
            return ipaddress.ip_address(address) in self._network
        except ValueError:
            return False

    def accepted(self, address):
        # Somebody on the cable has nothing to accept.
        return not self._is_guest(address) or self._guests.accepted(address)

    def answer(self, method, target, headers):
        """The answer to a request.

        nginx sets `x-real-ip` and `x-clic-server`, the addresses of both ends, and `x-clic-portal` when the request is
        for the portal's own host.
        """
        path, _, query = target.partition("?")
        address = headers.get("x-real-ip", "")
        if headers.get("x-clic-portal") == "yes":
            return self._portal(method, path, query, address, headers)
        if method not in ("GET", "HEAD"):
            return Answer(405, b"Only GET and HEAD.\n")
        host = headers.get("host", "").lower().partition(":")[0].rstrip(".")
        if not self._is_guest(address):
            # The box's own name means nothing on the cable.
            return self._to(f"http://{headers.get('x-clic-server', self._domain)}/")
        accepted = self._guests.accepted(address)
        if accepted or self.online():
            found = probes.success(host, path)
            if found:
                return found
        return self._to(f"http://{self._domain}/{'' if accepted else 'captive/'}")

    def _portal(self, method, path, query, address, headers):
        if path == "/captive/continue":
            if method != "POST":
                return self._to("/captive/", 303)
            self._guests.accept(address)
            return self._to("/", 303)
        if method not in ("GET", "HEAD"):
            return Answer(405, b"Only GET and HEAD.\n")
        if path == "/captive/state":
            state = {"accepted": self.accepted(address), "online": self.online()}
            return Answer(200, json.dumps(state).encode() + b"\n", "application/json")
        if path == "/captive/":
            lang = page.language(headers.get("accept-language", ""), query)
            body = page.render(lang, self._ssid, self._settings.domain, self.accepted(address), self.online())
            return Answer(200, body, "text/html; charset=utf-8", (("Vary", "Accept-Language"),))
        return Answer(404, b"Not found.\n")

    @staticmethod
    def _to(url, status=302):
        # Never an empty body: Android takes a short one for a broken network instead of one that wants a sign-in.
        body = f'<!doctype html><title>CLIC!</title><p><a href="{url}">{url}</a></p>\n'
        return Answer(status, body.encode(), "text/html; charset=utf-8", (("Location", url),))

    async def serve(self, reader, writer):
        try:
            async with asyncio.timeout(TIMEOUT):
                method, answer = await self._exchange(reader)
                writer.write(encode(answer, method))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _exchange(self, reader):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return "GET", Answer(413, b"Too long.\n")
        method, target, headers = parse(head)
        if method is None:
            return "GET", Answer(400, b"Not understood.\n")
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit() and len(length) < 9) or int(length) > LONGEST_BODY:
            return method, Answer(413, b"Too long.\n")
        await reader.readexactly(int(length))
        return method, self.answer(method, target, headers)


def parse(head):
    """Method, target, and headers in lower case; `None`s for what is no request."""
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return None, None, None
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return words[0], words[1], headers


def encode(answer, method):
    lines = [f"HTTP/1.0 {answer.status} {REASONS[answer.status]}", "Cache-Control: no-store"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    if answer.status != 204:
        lines += [f"Content-Type: {answer.content_type}", f"Content-Length: {len(answer.body)}"]
    body = b"" if method == "HEAD" or answer.status == 204 else answer.body
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


async def main():
    settings = s.load()
    captive = Captive(settings, settings.full_ssid(s.machine_id()), Guests(Leases()))
    # The first socket that systemd passes (sd_listen_fds(3)).
    listening = socket.socket(fileno=3)
    server = await asyncio.start_unix_server(captive.serve, sock=listening, limit=LONGEST_HEAD, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
