"""Which pages there are: those that the home page leads to, what their content opens with, and those that nobody links to."""

import html.parser
import http.client
import json
from pathlib import Path

from clic.hotspot import page as captive

from .common import LANGUAGES, Address, Failed
from .visit import Page, StandIn

ROOT = Path(__file__).resolve().parent.parent.parent
HOTSPOT = ROOT / "overlays/hotspot/files/usr"

# A box in QEMU has no radio, and who reports comes by the cable, where there is nothing to accept. What guests of a real box
# see is played to the page instead.
NOT_ACCEPTED = {"accepted": False, "online": False}
HOTSPOT_ON = {"state": "on", "band": "2.4", "channel": 6, "clients": 7, "security": "open", "hidden": False}


# Types the last word of the first title into the search, as somebody who looks for it would.
SEARCH = """(async () => {
  const field = document.querySelector("#search");
  field.focus();
  field.value = document.querySelector("#browse .tile a").textContent.trim().split(/\\s+/).pop();
  field.dispatchEvent(new Event("input", { bubbles: true }));
  for (let i = 0; i < 200 && !document.querySelector("#results li"); i++) await new Promise((done) => setTimeout(done, 50));
  if (!document.querySelector("#results li")) throw new Error(`nothing found for ${field.value}`);
})()"""


class Links(html.parser.HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a" and (href := dict(attrs).get("href")):
            self.found.append(href.partition("#")[0])


class Box:
    """The box, asked directly."""

    def __init__(self, address: Address, host: str) -> None:
        self.address, self.host = address, host

    def ask(self, path: str, language: str = "fr") -> tuple[int, str]:
        connection = http.client.HTTPConnection(*self.address, timeout=60)
        try:
            connection.request("GET", path, headers={"Host": self.host, "Accept-Language": LANGUAGES[language]})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise Failed(f"{self.host} at {self.address[0]}:{self.address[1]} does not answer: {error}") from None
        finally:
            connection.close()

    def links(self, path: str, language: str) -> list[str]:
        status, text = self.ask(path, language)
        if status != 200:
            raise Failed(f"{path} answers with {status}")
        return list(dict.fromkeys(Links(text).found))


def name_of(path: str) -> str:
    return path.strip("/").replace("/", "-") or "home"


def find(box: Box, languages: list[str]) -> list[Page]:
    found = [page for language in languages for page in of(box, language)]
    # What others made is the same in each language.
    first = {page.path: page for page in reversed(found) if page.theirs}
    return [page for page in found if not page.theirs or first[page.path] is page]


def of(box: Box, language: str) -> list[Page]:
    start = f"/{language}/"
    # As everybody comes: the box chooses the language.
    pages = [
        Page("home", "/", language),
        Page("home-search", "/", language, act=SEARCH, why="after a word was typed into the search"),
    ]
    contents = []
    for path in (link for link in box.links("/", language) if link.startswith(start) and link != start):
        pages.append(Page(name_of(path.removeprefix(start)), path, language))
        if path.startswith(f"{start}bundle/"):
            inside = [link for link in box.links(path, language) if link.startswith("/content/")]
            opens = [link for link in inside if link.endswith((".html", "/"))][:1]
            name = f"content-{name_of(path.removeprefix(f'{start}bundle/'))}"
            contents += [Page(name, link, language, theirs=True) for link in opens]
    pages.append(Page("missing", f"{start}nowhere/", language, status=404))
    # Where nothing serves ZIM archives, their address says so.
    if box.ask("/zim/")[0] == 503:
        pages.append(Page("unavailable", "/zim/", language, status=503))
    else:
        pages.append(Page("unavailable", f"{start}unavailable.html", language))
    pages.append(Page("captive", "/captive/", language))
    return pages + played(box, language) + contents


def played(box: Box, language: str) -> list[Page]:
    status = json.loads(box.ask("/status.json")[1])
    on = {**status, "hotspot": {**status["hotspot"], **HOTSPOT_ON}}
    on["hotspot"].pop("why", None)
    ssid, domain = on["hotspot"].get("ssid", "CLIC"), on["hotspot"].get("domain", box.host)
    before = captive.render(language, ssid, domain, False, False)
    nothing = (HOTSPOT / "share/clic/hotspot/welcome.html").read_bytes()

    def json_of(value: object) -> StandIn:
        return StandIn(200, "application/json", json.dumps(value).encode())

    pages = [
        Page("home-joined", "/", language, stand_ins={"/captive/state": json_of(NOT_ACCEPTED)},
             why="as somebody who has just joined: /captive/state says that nothing was accepted"),
        Page("status-on", f"/{language}/status/", language, stand_ins={"/status.json": json_of(on)},
             why="with a radio: /status.json says that the wifi is on"),
        Page("captive-before", "/captive/", language, stand_ins={"/captive/": StandIn(200, "text/html; charset=utf-8", before)},
             why="as somebody who has just joined: made by this tree's page.py"),
    ]
    if language == "fr":
        # In both languages on one page.
        pages.append(Page("nothing-yet", "/", language, stand_ins={"/": StandIn(200, "text/html; charset=utf-8", nothing)},
                          why="an image without the overlay portal: this tree's welcome.html"))
    return pages
