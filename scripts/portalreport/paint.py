"""How soon a page is seen on a slow phone.

An emulated box takes many times longer for an answer than a real one, which says nothing about the page. So its answers are
recorded, header by header, and played to the browser by a server on this machine, while DevTools slow down the browser's
processor and network.
"""

import dataclasses
import http.client
import http.server
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .common import LANGUAGES, Address, say
from .devtools import Chromium, Tab
from .visit import PHONE, Page, Visit

# Processor: what is six times slower than this machine's. Network: the round trip and throughput of a bad mobile network
# (Lighthouse's "slow 4G"), which a box's wifi is at its worst, behind walls and with others on it.
SLOWDOWN, ROUND_TRIP, DOWN, UP = 6, 0.150, 1.6e6 / 8, 0.75e6 / 8
PROFILE = (f"processor {SLOWDOWN} times slower, {ROUND_TRIP * 1000:.0f} ms for each round trip (one more for each connection), "
           f"{DOWN * 8 / 1e6:.1f} Mbit/s down, {UP * 8 / 1e6:.2f} Mbit/s up")

# Headers of one connection, not of the answer.
HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}

WATCH = (Path(__file__).parent / "figures.js").read_text()
FIGURES = """(() => {
  const paint = performance.getEntriesByType("paint").find((e) => e.name === "first-contentful-paint");
  return { paint: paint ? paint.startTime : null, largest: clicSeen.largest, shift: clicSeen.shift, blocked: clicSeen.blocked };
})()"""


# Status, headers and body.
Recorded = tuple[int, list[tuple[str, str]], bytes]


class Recorder:
    """Answers of the box by path and language, asked for once each."""

    def __init__(self, address: Address, host: str) -> None:
        self.address, self.host = address, host
        # By language and path, and by the page if it is a stand-in of that page alone.
        self.answers: dict[tuple[str, ...], Recorded] = {}

    def keep(self, visit: Visit) -> None:
        """Records what a visit asked for, before it is asked for again."""
        language, page = visit.page.language, visit.page
        for path, answer in page.stand_ins.items():
            self.answers[language, path, page.name] = (answer.status, [("Content-Type", answer.content_type)], answer.body)
        for request in visit.own():
            parts = urllib.parse.urlsplit(request.url)
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            if not request.stand_in and request.url.startswith(visit.base + "/") and (language, path) not in self.answers:
                self.answers[language, path] = self._ask(path, language)

    def _ask(self, path: str, language: str) -> Recorded:
        connection = http.client.HTTPConnection(*self.address, timeout=60)
        try:
            connection.request("GET", path, headers={
                "Host": self.host, "Accept-Encoding": "gzip", "Accept-Language": LANGUAGES[language], "Accept": "*/*"})
            answer = connection.getresponse()
            headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP]
            return answer.status, headers, answer.read()
        finally:
            connection.close()

    def find(self, path: str, language: str, page: str) -> Recorded | None:
        return self.answers.get((language, path, page)) or self.answers.get((language, path))


class Player(http.server.ThreadingHTTPServer):
    """Plays what was recorded."""

    daemon_threads = True

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.recorder = recorder
        self.language, self.page = "fr", ""
        self.missed: set[str] = set()

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A browser that has enough hangs up.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Handler(http.server.BaseHTTPRequestHandler):
    server: Player
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        # Until a connection is there, DevTools' slow network does not count: this is its round trip.
        time.sleep(ROUND_TRIP)

    def do_GET(self) -> None:
        found = self.server.recorder.find(self.path, self.server.language, self.server.page)
        if not found:
            self.server.missed.add(self.path)
            found = (404, [("Content-Type", "text/plain")], b"not recorded\n")
        status, headers, body = found
        wanted = self.headers.get("Range", "")
        if status == 200 and wanted.startswith("bytes=") and "," not in wanted:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            begin, end = int(first or 0), min(int(last or len(body) - 1), len(body) - 1)
            headers = [*headers, ("Content-Range", f"bytes {begin}-{end}/{len(body)}")]
            status, body = 206, body[begin:end + 1]
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def slow_down(tab: Tab) -> None:
    tab.call("Emulation.setCPUThrottlingRate", rate=SLOWDOWN)
    tab.call("Network.emulateNetworkConditions", offline=False, latency=ROUND_TRIP * 1000,
             downloadThroughput=DOWN, uploadThroughput=UP)
    tab.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)


def measure(base: str, rules: Callable[[Address], str], recorder: Recorder, pages: list[Page],
            runs: int) -> dict[tuple[str, str], dict[str, Any]]:
    """Figures of each page, in milliseconds: those of its fastest run, and the first paint of all.

    The page, its answers, processor and network are the same each time: what makes a run slower than the fastest is whatever
    else this machine does.
    """
    server = Player(recorder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    results = {}
    try:
        with Chromium(rules(("127.0.0.1", server.server_port))) as browser:
            for page in pages:
                server.language, server.page = page.language, page.name
                samples = []
                # The player has the stand-ins: through DevTools they would come at once, however slow the network. The first
                # run is for the browser itself to get ready.
                for run in range(runs + (page is pages[0])):
                    plain = dataclasses.replace(page, stand_ins={})
                    with Visit(browser, base, plain, PHONE, LANGUAGES[page.language], prepare=slow_down) as visit:
                        visit.tab.evaluate("new Promise((done) => setTimeout(done, 1000))", wait=True)
                        figures = visit.tab.evaluate(FIGURES)
                    if run or page is not pages[0]:
                        samples.append(figures)
                # A page that is not painted at all is worse than any figure.
                best = min(samples, key=lambda sample: (sample["paint"] is not None, sample["paint"]))
                result = {**best, "samples": [sample["paint"] for sample in samples]}
                results[page.language, page.name] = result
                say(f"  {page.language} {page.name}: first paint {result['paint'] or 0:.0f} ms")
    finally:
        server.shutdown()
        server.server_close()
    if server.missed:
        say(f"not recorded, so answered with 404: {', '.join(sorted(server.missed))}")
    return results
