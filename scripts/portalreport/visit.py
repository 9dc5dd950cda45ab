"""A page as somebody opens it: what it asked for, what it weighed, what the console said."""

import base64
import dataclasses
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Self

from .common import Failed
from .devtools import Chromium, Event, Tab

# A page that has loaded but goes on asking (a player that keeps a film's connection open) is looked at after this many
# seconds; one that does not even load is given up.
SETTLED, GIVEN_UP = 4, 90


@dataclasses.dataclass(frozen=True)
class Screen:
    name: str
    width: int
    height: int
    scale: int
    mobile: bool


PHONE = Screen("360", 360, 740, 2, True)
DESKTOP = Screen("1280", 1280, 800, 1, False)
# What 400 % makes of a desktop 1280 pixels wide (WCAG 2.2, 1.4.10 Reflow).
NARROW = Screen("320", 320, 740, 1, True)


@dataclasses.dataclass
class StandIn:
    """An answer that is given in place of the box's."""

    status: int
    content_type: str
    body: bytes


@dataclasses.dataclass
class Page:
    """A page to look at. `stand_ins` are answers by path; a page with some says `why`."""

    name: str
    path: str
    language: str
    status: int = 200
    stand_ins: dict[str, StandIn] = dataclasses.field(default_factory=dict)
    why: str = ""
    # What is done on the page before it is looked at: JavaScript, which throws if it did not work.
    act: str = ""
    # Made by others: what is wrong with it is said, and breaks no limit of the portal's.
    theirs: bool = False


@dataclasses.dataclass
class Request:
    url: str
    kind: str
    status: int = 0
    # Bytes with headers as they came, and of the content once it is unpacked.
    transferred: int = 0
    unpacked: int = 0
    stand_in: bool = False
    failed: str = ""


class Visit:
    """Opens a page in a tab of its own. Until `seal`, requests and the console's words are counted as the page's."""

    def __init__(self, browser: Chromium, base: str, page: Page, screen: Screen, accept_language: str, scheme: str = "light",
                 scripts: bool = True, prepare: Callable[[Tab], None] | None = None) -> None:
        self.base, self.page, self.screen = base, page, screen
        self.requests: dict[str, Request] = {}
        self.console: list[str] = []
        self.sealed = False
        # When each document came to each point of its life, by its loader.
        self.lives: dict[str, dict[str, float]] = {}
        self.tab = Tab(browser, screen, accept_language, scheme, scripts)
        try:
            self._listen()
            if prepare:
                prepare(self.tab)
            self._open(scripts)
        except BaseException:
            self.tab.close()
            raise

    def _listen(self) -> None:
        on = self.tab.on
        on("Network.requestWillBeSent", self._asked)
        on("Network.responseReceived", self._answered)
        on("Network.dataReceived", self._received)
        on("Network.loadingFinished", self._finished)
        on("Network.loadingFailed", self._failed)
        on("Runtime.consoleAPICalled", self._said)
        on("Runtime.exceptionThrown", self._thrown)
        on("Log.entryAdded", self._logged)
        on("Page.lifecycleEvent", self._lived)
        on("Fetch.requestPaused", self._stand_in)
        if self.page.stand_ins:
            patterns = [{"urlPattern": self.base + path} for path in self.page.stand_ins]
            self.tab.call("Fetch.enable", patterns=patterns)

    def _open(self, scripts: bool) -> None:
        answer = self.tab.call("Page.navigate", url=self.base + self.page.path)
        if "errorText" in answer:
            raise Failed(f"{self.base}{self.page.path} does not open: {answer['errorText']}")
        begun = time.monotonic()
        while True:
            life, now = self.lives.get(answer["loaderId"], {}), time.monotonic()
            if "load" in life and ("networkIdle" in life or now - life["load"] > SETTLED):
                break
            if now - begun > GIVEN_UP:
                raise Failed(f"{self.base}{self.page.path} did not load within {GIVEN_UP} seconds")
            self.tab.browser.pump(0.2)
        if self.page.act and scripts:
            self.tab.evaluate(self.page.act, wait=True)

    # Events

    def _asked(self, event: Event) -> None:
        if self.sealed:
            return
        request = self.requests.get(event["requestId"])
        if request and "redirectResponse" in event:
            # Each step of a redirection counts.
            request.status = event["redirectResponse"]["status"]
            self.requests[event["requestId"] + str(len(self.requests))] = request
        self.requests[event["requestId"]] = Request(event["request"]["url"], event.get("type", "Other"))

    def _answered(self, event: Event) -> None:
        if request := self.requests.get(event["requestId"]):
            request.status = event["response"]["status"]
            request.transferred = max(request.transferred, event["response"].get("encodedDataLength", 0))

    def _received(self, event: Event) -> None:
        if not self.sealed and (request := self.requests.get(event["requestId"])):
            request.unpacked += event["dataLength"]
            request.transferred += event.get("encodedDataLength", 0)

    def _finished(self, event: Event) -> None:
        if not self.sealed and (request := self.requests.get(event["requestId"])):
            request.transferred = event["encodedDataLength"] or request.transferred
            if request.stand_in:
                request.transferred = request.unpacked

    def _failed(self, event: Event) -> None:
        request = self.requests.get(event["requestId"])
        # A player stops reading when it has enough.
        if request and not event.get("canceled"):
            request.failed = event.get("blockedReason") or event["errorText"]

    def _said(self, event: Event) -> None:
        if event["type"] in ("error", "assert"):
            self._wrong(" ".join(str(value.get("value", value.get("description", ""))) for value in event["args"]))

    def _thrown(self, event: Event) -> None:
        details = event["exceptionDetails"]
        self._wrong(details.get("exception", {}).get("description") or details["text"])

    def _logged(self, event: Event) -> None:
        entry = event["entry"]
        # That a missing page is missing is what we asked for.
        expected = self.page.status >= 400 and entry.get("url") == self.base + self.page.path
        if entry["level"] == "error" and not expected:
            self._wrong(f"{entry['text']} {entry.get('url', '')}".strip())

    def _wrong(self, text: str) -> None:
        if not self.sealed:
            self.console.append(text)

    def _lived(self, event: Event) -> None:
        self.lives.setdefault(event["loaderId"], {})[event["name"]] = time.monotonic()

    def _stand_in(self, event: Event) -> None:
        path = event["request"]["url"].removeprefix(self.base)
        answer = self.page.stand_ins[path]
        if request := self.requests.get(event.get("networkId", "")):
            request.stand_in = True
        self.tab.send("Fetch.fulfillRequest", requestId=event["requestId"], responseCode=answer.status,
                      responseHeaders=[{"name": "Content-Type", "value": answer.content_type}],
                      body=base64.b64encode(answer.body).decode())

    # What was seen

    def seal(self) -> None:
        """From now on, what happens is our own doing."""
        self.sealed = True

    def own(self) -> list[Request]:
        """Requests over the network; those for data: and blob: never leave the browser."""
        inside = ("data", "blob", "about")
        return [request for request in self.requests.values() if urllib.parse.urlsplit(request.url).scheme not in inside]

    def elsewhere(self) -> list[str]:
        """Addresses asked that are not the box's."""
        return sorted({request.url for request in self.own() if not request.url.startswith(self.base + "/")})

    def status(self) -> int:
        document = [request for request in self.own() if request.kind == "Document"]
        return document[-1].status if document else 0

    def picture(self, path: Path) -> None:
        """The whole page as PNG, below what fits on the screen too."""
        size = self.tab.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": self.screen.width, "height": max(size["height"], self.screen.height), "scale": 1}
        data = self.tab.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)["data"]
        path.write_bytes(base64.b64decode(data))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.tab.close()
