"""The captive portal's answers: to systems that look for internet, and to the person who presses "Continue".

nginx stands before it: it reads slow and broken requests, limits their number, and says who asks. So a request here is
whole, small and quick, and one process answers them all.
"""

import ipaddress
import json
import os

from clic import web
from clic.hotspot import page, probes
from clic.hotspot import settings as s
from clic.hotspot.guests import Guests, Leases
from clic.web import Request, Response

STATUS = f"{s.RUN}/status.json"

# nginx sets the others that the portal's pages have.
SECURITY = (
    ("Content-Security-Policy",
     "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"),
)


class Captive:
    """What each guest is answered.

    nginx sets `x-real-ip` and `x-clic-server`, the addresses of both ends, and `x-clic-portal` when the request is for the
    portal's own host.
    """

    def __init__(self, settings: s.Settings, ssid: str, guests: Guests, status: str = STATUS) -> None:
        self._settings = settings
        self._ssid = ssid
        self._guests = guests
        self._status = status
        self._stamp: tuple[int, int] | None = None
        self._online = False
        self._network = settings.interface.network
        self._domain = settings.domain
        # Sign-in windows keep no cookies, and some say of a form that it is from nowhere. Who makes somebody else press
        # "Continue" has won nothing.
        self._portal = web.App(page.PAGES, hosts=None, security=SECURITY)
        self._portal.get("/captive/")(self._page)
        self._portal.get("/captive/state")(self._state)
        self._portal.get("/captive/continue")(lambda request: to("/captive/", 303))
        self._portal.post("/captive/continue", anybody=True)(self._continue)

    def online(self) -> bool:
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

    def _is_guest(self, address: str) -> bool:
        try:
            return ipaddress.ip_address(address) in self._network
        except ValueError:
            return False

    def accepted(self, address: str) -> bool:
        """Whether who has this address has pressed "Continue". Somebody on the cable has nothing to accept."""
        return not self._is_guest(address) or self._guests.accepted(address)

    def answer(self, request: Request) -> Response:
        """The answer to a request, for the portal or for anything else that guests look for."""
        if request.headers.get("x-clic-portal") == "yes":
            return self._portal(request)
        if request.method not in ("GET", "HEAD"):
            return Response(405, b"Only GET and HEAD.\n")
        if not self._is_guest(request.address):
            # The box's own name means nothing on the cable.
            return to(f"http://{request.server or self._domain}/")
        accepted = self._guests.accepted(request.address)
        if accepted or self.online():
            found = probes.success(request.host, request.path)
            if found:
                return found
        return to(f"http://{self._domain}/{'' if accepted else 'captive/'}")

    def _page(self, request: Request) -> Response:
        lang = page.language(request.headers.get("accept-language", ""), request.query)
        body = page.render(lang, self._ssid, self._domain, self.accepted(request.address), self.online())
        return Response(200, body, "text/html; charset=utf-8", (("Vary", "Accept-Language"),))

    def _state(self, request: Request) -> Response:
        state = {"accepted": self.accepted(request.address), "online": self.online()}
        return Response(200, json.dumps(state).encode() + b"\n", "application/json")

    def _continue(self, request: Request) -> Response:
        self._guests.accept(request.address)
        return to("/", 303)


def to(url: str, status: int = 302) -> Response:
    """Leads elsewhere."""
    return Response(status, page.moved(url), "text/html; charset=utf-8", (("Location", url),))


def main() -> None:
    settings = s.load()
    captive = Captive(settings, settings.full_ssid(s.machine_id()), Guests(Leases()))
    # All is answered from memory. It never goes by itself: it would forget who has pressed "Continue".
    web.serve(web.Server(captive.answer, most=512))


if __name__ == "__main__":
    main()
