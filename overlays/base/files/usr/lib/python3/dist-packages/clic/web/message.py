"""A request and its answer, in the HTTP/1 that nginx speaks with the services behind it.

nginx has read the request whole, limited it, and says who asks in headers that replace the client's own:
`X-Real-IP` and `X-Clic-Server`, the addresses of both ends, and `X-Forwarded-Proto`. So the socket's owner and mode decide
who may speak here: nginx alone.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import unicodedata
import urllib.parse
from collections.abc import Mapping

# RFC 9110, 5.5: what is in a header stays on its line.
HEADER = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

MOST_FIELDS = 200

REASONS = {
    200: "OK", 204: "No Content", 302: "Found", 303: "See Other", 304: "Not Modified", 400: "Bad Request",
    403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 409: "Conflict", 410: "Gone",
    411: "Length Required", 413: "Content Too Large", 415: "Unsupported Media Type", 421: "Misdirected Request",
    422: "Unprocessable Content", 429: "Too Many Requests", 500: "Internal Server Error", 503: "Service Unavailable",
    507: "Insufficient Storage",
}


class Refused(Exception):
    """Ends a request with an error: a status, and the headers that belong to it."""

    def __init__(self, status: int, *headers: tuple[str, str]) -> None:
        super().__init__(f"{status} {REASONS[status]}")
        self.status = status
        self.headers = headers


@dataclasses.dataclass(frozen=True)
class Response:
    """An answer. `cache` is its Cache-Control; unless that is `no-store`, it gets an ETag (`conditional`)."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain"
    headers: tuple[tuple[str, str], ...] = ()
    cache: str = "no-store"

    def __post_init__(self) -> None:
        for value in (self.content_type, self.cache, *(text for pair in self.headers for text in pair)):
            if not HEADER.fullmatch(value):
                raise ValueError(f"no header can have the value {value!r}")

    def with_headers(self, *headers: tuple[str, str]) -> Response:
        """The same answer with more headers; those that it has already stay as they are."""
        there = {name.lower() for name, _ in self.headers}
        return dataclasses.replace(self, headers=self.headers + tuple(h for h in headers if h[0].lower() not in there))


@dataclasses.dataclass(frozen=True)
class Request:
    """What is asked: `target` as it was sent (path and query, percent-encoded), `headers` by names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        """The path as it was sent."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    @property
    def host(self) -> str:
        """The name or address that was asked for: lower case, without port and final dot."""
        host = self.headers.get("host", "").lower()
        name, bracket, _ = host.partition("]")
        return name.removeprefix("[") if bracket else host.partition(":")[0].rstrip(".")

    @property
    def address(self) -> str:
        """The IP address of who asks, or nothing."""
        return self.headers.get("x-real-ip", "")

    @property
    def server(self) -> str:
        """The IP address of this device that was asked, or nothing."""
        return self.headers.get("x-clic-server", "")

    @functools.cached_property
    def form(self) -> Form:
        """The fields of a form. Refuses what is none (415), and what is not well made (400)."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            raise Refused(415)
        return Form(decode_fields(self.body))


def decode_fields(data: bytes) -> dict[str, list[str]]:
    """The fields of a query or a form: UTF-8 in percent-encoding. Anything else is refused (400)."""
    try:
        text = data.decode("ascii")
        return urllib.parse.parse_qs(
            text, keep_blank_values=True, strict_parsing=bool(text), errors="strict", max_num_fields=MOST_FIELDS
        )
    except ValueError:
        raise Refused(400) from None


class Form:
    """The fields of a form, by name. A name that is missing is an empty text, as in a form that nobody filled in."""

    def __init__(self, fields: Mapping[str, list[str]]) -> None:
        self._fields = fields

    def text(self, name: str) -> str:
        """A field's text in one shape: NFC, lines ending in `\\n`, no other control characters, no space around it."""
        values = self.all(name)
        if len(values) > 1:
            raise Refused(400)
        return values[0] if values else ""

    def all(self, name: str) -> list[str]:
        """The texts of all fields of one name, such as boxes that are ticked."""
        return [_clean(value) for value in self._fields.get(name, [])]


def _clean(text: str) -> str:
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc").strip()


def parse(head: bytes) -> Request:
    """The request whose line and headers these are. What is no request is refused (400), as is a body of no known length.

    Lenient about what is in a header, since whoever looks at one has to check it.
    """
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise Refused(400)
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        name = name.strip().lower()
        # Two readers who each believe another one of them is how requests are smuggled.
        if name in ("host", "content-length") and name in headers:
            raise Refused(400)
        if colon:
            headers[name] = value.strip()
    if "transfer-encoding" in headers:
        raise Refused(411)
    return Request(words[0], words[1], headers)


def body_length(request: Request, longest: int) -> int:
    """How many bytes follow the headers: refused (413) when that is too many, or no number."""
    length = request.headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit() and len(length) < 12) or int(length) > longest:
        raise Refused(413)
    return int(length)


def encode(response: Response, method: str) -> bytes:
    """The answer's bytes. The connection ends with them."""
    lines = [f"HTTP/1.0 {response.status} {REASONS[response.status]}", f"Cache-Control: {response.cache}"]
    lines += [f"{name}: {value}" for name, value in response.headers]
    empty = response.status in (204, 304)
    if not empty:
        lines += [f"Content-Type: {response.content_type}", f"Content-Length: {len(response.body)}"]
    body = b"" if empty or method == "HEAD" else response.body
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def redirect(url: str, status: int = 303) -> Response:
    """Leads to another page: 303 after a form, 302 from one page to another."""
    url = urllib.parse.quote(url, safe="/:?#[]@!$&'()*+,;=%~")
    return Response(status, f"{url}\n".encode(), headers=(("Location", url),))
