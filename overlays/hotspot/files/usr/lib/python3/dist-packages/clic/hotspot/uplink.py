"""Whether there is internet: looked at rarely and lightly, in a thread of its own."""

import http.client
import threading
import time
import urllib.parse
from collections.abc import Callable

from clic.hotspot import settings as s

# Seconds between two looks while there is a way out, and between two looks at the way itself (one line of /proc).
CHECK_SECONDS = 60
ROUTE_SECONDS = 3
TIMEOUT = 8

# One lost packet is no lost uplink.
FAILURES = 2


def has_default_route(path: str = "/proc/net/route") -> bool:
    """Whether any network but that of the guests leads out."""
    try:
        with open(path, encoding="ascii") as file:
            lines = file.read().splitlines()[1:]
    except OSError:
        return False
    for line in lines:
        fields = line.split()
        # Interface, destination, gateway, flags, ...: destination 0 with mask 0, up (RTF_UP is 1).
        out = len(fields) > 7 and fields[1] == fields[7] == "00000000" and int(fields[3], 16) & 1
        if out and fields[0] != s.BRIDGE:
            return True
    return False


def answers(url: str, timeout: float = TIMEOUT) -> bool:
    """Whether this page answers itself.

    A network that wants a sign-in answers in its place, mostly by a redirection or with a page of its own: neither is
    the status and the short text of a page that is made for this question.
    """
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=timeout)
    try:
        connection.request("GET", parts.path or "/", headers={"Connection": "close", "User-Agent": "clic"})
        answer = connection.getresponse()
        body = answer.read(4096)
        if answer.status == 204:
            return True
        return answer.status == 200 and len(body) < 200 and b"<html" not in body.lower()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class Uplink:
    """`present` is what was last found."""

    def __init__(self, url: str, route: Callable[[], bool] = has_default_route, ask: Callable[[str], bool] = answers) -> None:
        self._url = url
        self._route = route
        self._ask = ask
        self._failures = 0
        self._due = 0.0
        self.present = False

    def watch(self) -> None:
        threading.Thread(target=self._forever, daemon=True).start()

    def _forever(self) -> None:
        while True:
            self.look(time.monotonic())
            time.sleep(ROUTE_SECONDS)

    def look(self, now: float) -> None:
        if not self._route():
            # What comes back is asked at once.
            self.present, self._failures, self._due = False, 0, 0.0
        elif not self._url:
            self.present = True
        elif now >= self._due:
            if self._ask(self._url):
                self.present, self._failures = True, 0
                self._due = now + CHECK_SECONDS
            else:
                self._failures += 1
                self.present = self.present and self._failures < FAILURES
                # Soon again when it has just gone, then ever more rarely, to spare a battery.
                self._due = now + min(CHECK_SECONDS, 5 * self._failures)
