"""A service's pages: which function answers what, and what is refused before it is asked."""

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import math
import re
import traceback
import urllib.parse
from collections.abc import Callable, Collection
from typing import Any

from clic.limits import Limit, Stations
from clic.pages import Pages
from clic.web.message import Refused, Request, Response
from clic.web.tokens import Tokens

# Nothing from elsewhere, no script in the page, no frame around it.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# `same-origin`: with `no-referrer` browsers say `Origin: null` for our own forms too (Fetch, 3.2).
SECURITY = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
)

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
ERRORS = Pages(__file__)

View = Callable[..., Response]


@dataclasses.dataclass(frozen=True)
class Route:
    method: str
    pattern: tuple[str, ...]
    view: View
    # Whether a form from anywhere is taken.
    open: bool

    def match(self, path: tuple[str, ...]) -> dict[str, str] | None:
        """What stands in the path for the pattern's `{names}`."""
        if len(path) != len(self.pattern):
            return None
        found = {}
        for part, wanted in zip(path, self.pattern, strict=True):
            if wanted.startswith("{") and part:
                found[wanted[1:-1]] = part
            elif part != wanted:
                return None
        return found


class App:
    """The pages of a service, as a function of the request (`clic.web.Server`).

    pages: its templates and texts.
    hosts: names it is asked by; it also answers to the address that a request came to. Others are refused (421), since a
        page under a name of somebody else's could read ours (DNS rebinding). `None` where nginx has looked.
    tokens: for its forms. Without, it has none but open ones.
    limit: how often a station may send a form.
    security: headers of every answer.
    """

    def __init__(self, pages: Pages, *, hosts: Collection[str] | None, tokens: Tokens | None = None,
                 limit: Limit | None = None, stations: Stations | None = None,
                 security: tuple[tuple[str, str], ...] = SECURITY) -> None:
        self._pages = pages
        self._hosts = hosts
        self._tokens = tokens
        self._limit = limit
        self._stations = stations or Stations()
        self._security = security
        self._routes: list[Route] = []

    # -- what the service says

    def get(self, pattern: str) -> Callable[[View], View]:
        """The function that shows a page, such as `/board/{number}`: called with the request, and `number` as text."""
        return self._route("GET", pattern, True)

    def post(self, pattern: str, *, anybody: bool = False) -> Callable[[View], View]:
        """The function that takes a form. `anybody`: from any page, without a token; for what cannot hurt who sends it."""
        if not anybody and self._tokens is None:
            raise ValueError(f"{pattern}: a service that takes forms needs tokens")
        return self._route("POST", pattern, anybody)

    def _route(self, method: str, pattern: str, is_open: bool) -> Callable[[View], View]:
        def add(view: View) -> View:
            self._routes.append(Route(method, tuple(pattern.split("/")), view, is_open))
            return view

        return add

    def page(self, request: Request, template: str, status: int = 200, *, cache: str = "no-cache",
             **values: Any) -> Response:
        """A page in the reader's language. Its template also gets `token`, for a hidden field of that name in each form."""
        token = self._tokens.make(request.host, self.station(request)) if self._tokens else ""
        body = self._pages.render(template, self.language(request), token=token, **values)
        return Response(status, body, "text/html; charset=utf-8", (("Vary", "Accept-Language"),), cache)

    def language(self, request: Request) -> str:
        return self._pages.texts.choose(request.headers.get("accept-language", ""), request.query)

    def station(self, request: Request) -> str:
        """Who asks, for limits and tokens. Not to be written down."""
        return self._stations.station(request.address)

    # -- what becomes of a request

    def __call__(self, request: Request) -> Response:
        try:
            response = self._answer(request)
        except Refused as refused:
            response = self._error(request, refused.status, refused.headers)
        except Exception:  # noqa: BLE001  whatever it is: the guest is answered
            # The journal is told where, and not what was asked.
            traceback.print_exc()
            response = self._error(request, 500)
        return conditional(request, response.with_headers(*self._security))

    def _answer(self, request: Request) -> Response:
        if not self._knows(request):
            raise Refused(421)
        route, found = self._find(request)
        if route.method == "POST":
            if not route.open and not same_origin(request):
                raise Refused(403)
            if self._limit and (wait := self._limit.take(self.station(request))):
                raise Refused(429, ("Retry-After", str(math.ceil(wait))))
            if not route.open and not self._token_is_good(request):
                raise Refused(403)
        return route.view(request, **found)

    def _knows(self, request: Request) -> bool:
        if self._hosts is None or request.host in self._hosts:
            return True
        # A name can be anybody's; an address that was reached is this box's own.
        try:
            return ipaddress.ip_address(request.host) == ipaddress.ip_address(request.server)
        except ValueError:
            return False

    def _find(self, request: Request) -> tuple[Route, dict[str, str]]:
        path = segments(request.path)
        found = [(route, names) for route in self._routes if (names := route.match(path)) is not None]
        if not found:
            raise Refused(404)
        method = "GET" if request.method == "HEAD" else request.method
        for route, names in found:
            if route.method == method:
                return route, names
        allowed = {route.method for route, _ in found}
        raise Refused(405, ("Allow", ", ".join(sorted(allowed | ({"HEAD"} if "GET" in allowed else set())))))

    def _token_is_good(self, request: Request) -> bool:
        token = request.form.text("token")
        return self._tokens is not None and self._tokens.good(token, request.host, self.station(request))

    def _error(self, request: Request, status: int, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        language = ERRORS.texts.choose(request.headers.get("accept-language", ""), request.query)
        kind = status if f"title-{status}" in ERRORS.texts[language] else "other"
        return Response(status, ERRORS.render("error.html", language, kind=kind), "text/html; charset=utf-8", headers)


def segments(path: str) -> tuple[str, ...]:
    """A path's parts, decoded. An encoded slash stays within its part.

    Refused (400) is what is no UTF-8; and (404) what other readers may take for another path: `..`, control characters,
    backslashes.
    """
    try:
        parts = tuple(urllib.parse.unquote_to_bytes(part.encode("latin-1")).decode() for part in path.split("/"))
    except ValueError:
        raise Refused(400) from None
    if any(part in (".", "..") or "/" in part or "\\" in part or CONTROL.search(part) for part in parts):
        raise Refused(404)
    return parts


def same_origin(request: Request) -> bool:
    """Whether a form can have come from a page of ours, as far as the browser says where it came from.

    Browsers say it by Sec-Fetch-Site (to https only) and by Origin (since about 2020). Older ones leave it to the token.
    """
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin")
    if origin is None:
        return True
    scheme, _, place = origin.lower().partition("://")
    schemes = (request.headers.get("x-forwarded-proto") or "http https").split()
    return scheme in schemes and place == request.headers.get("host", "").lower()


def conditional(request: Request, response: Response) -> Response:
    """Names what may be kept by its content (ETag), and does not send it to whoever has it already."""
    if response.status != 200 or response.cache == "no-store":
        return response
    tag = f'"{hashlib.sha256(response.body).hexdigest()[:32]}"'
    response = response.with_headers(("ETag", tag))
    known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    if request.method in ("GET", "HEAD") and tag in known:
        return dataclasses.replace(response, status=304, body=b"")
    return response
