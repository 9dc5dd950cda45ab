"""What a boot test asks of the portal, over HTTP as a visitor. Each command says what it saw, and exits with 1 when
something was wrong. CLIC_PORTAL=host:port asks another server than this box's, which must serve the same directories."""

import contextlib
import html.parser
import http.client
import os
import shutil
import tempfile
import urllib.parse
from collections.abc import Iterator

from clic.checks.command import by_name, expect, main

PAGES = os.environ.get("CLIC_PORTAL_PAGES", "/usr/share/clic/portal")
CONTENT = os.environ.get("CLIC_CONTENT", "/srv/clic/content")
SERVER = os.environ.get("CLIC_PORTAL", "127.0.0.1:80")
# The hotspot's server answers to every name in .local.
NAME = "clic.local"
LANGUAGES = ("en", "fr")


def ask(path: str, method: str = "GET", **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Status, headers and body of one answer."""
    connection = http.client.HTTPConnection(SERVER, timeout=20)
    with contextlib.closing(connection):
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers={"Host": NAME, **names})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def there() -> list[str]:
    """Languages that this portal has."""
    found = [language for language in LANGUAGES if os.path.exists(f"{PAGES}/{language}/index.html")]
    expect(found, f"no pages in {PAGES}: the builder makes them from the recipe")
    return found


def page_language(path: str, **headers: str) -> str:
    status, _, body = ask(path, **headers)
    expect(status == 200, f"{path} with {headers}: {status}")
    start = body.partition(b'<html lang="')[2]
    return start[:2].decode("ascii", "replace")


def languages() -> None:
    has = there()
    for language in has:
        expect(page_language(f"/{language}/") == language, f"/{language}/ is not in {language}")
        region = f"{language}-{language.upper()}"
        for wanted in (language, f"{region},{language};q=0.9", f"xx, {language.upper()};q=0.5", f"oc,{region};q=0.8,de"):
            seen = page_language("/", Accept_Language=wanted)
            expect(seen == language, f"a browser that asks for {wanted!r} gets {seen}")
    for wanted in ("", "de-DE,de;q=0.9", "frr", "x" * 2000):
        expect(page_language("/", Accept_Language=wanted) in has, f"nothing for {wanted[:20]!r}")
    if len(has) == 2:
        status, headers, _ = ask("/language/en/status/", Accept_Language="fr")
        expect((status, headers["Location"]) == (303, "/en/status/"), f"choice of English: {status} {headers['Location']}")
        cookie = headers["Set-Cookie"].partition(";")[0]
        seen = page_language("/", Accept_Language="fr", Cookie=cookie)
        expect(seen == "en", f"with the cookie {cookie!r}, a French browser gets {seen}")
    for path in ("/language/en/%0d%0aSet-Cookie:x=1", "/language/en//evil%2eexample", "/language/de/"):
        status, headers, _ = ask(path)
        expect(status == 404 or headers["Location"].startswith("/en/"), f"{path}: {status} {headers['Location']}")
    print(f"greets in {' and '.join(has)}")


class Links(html.parser.HTMLParser):
    """Everything that a page leads to or loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        # Addresses, and whether each is loaded.
        self.found: list[tuple[str, bool]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name in ("href", "src", "poster", "action", "data") and value is not None:
                self.found.append((value, tag not in ("a", "form")))
            expect(name != "srcset" and name != "ping", f"an attribute {name} that this check does not know")


def all_pages() -> Iterator[tuple[str, list[tuple[str, bool]]]]:
    """Path and links of every page of the portal."""
    for directory, _, names in sorted(os.walk(PAGES)):
        for name in sorted(names):
            if name.endswith(".html"):
                with open(os.path.join(directory, name), encoding="utf-8") as file:
                    inside = os.path.relpath(os.path.join(directory, name), PAGES)
                    yield f"/{inside}", Links(file.read()).found


def links() -> None:
    """Every address on this server answers; services and archives of other programs are theirs to check."""
    there()
    others = []
    known = {}
    for page, found in all_pages():
        status, _, _ = ask(page)
        expect(status == 200, f"{page}: {status}")
        for address, _ in found:
            path = address.partition("#")[0]
            ours = path in ("/", "/wifi.svg") or path.startswith(("/en/", "/fr/", "/assets/", "/content/", "/language/"))
            if not ours:
                others.append(path)
            elif path not in known:
                known[path] = ask(path, "HEAD")[0]
                expect(known[path] in (200, 303), f"{page} leads to {path}: {known[path]}")
    expect(known, "not a single link")
    print(f"{len(known)} addresses answer; left to others: {', '.join(sorted({path for path in others if path})) or 'none'}")


def elsewhere() -> None:
    there()
    loaded = 0
    for page, found in all_pages():
        for address, loads in found:
            parts = urllib.parse.urlsplit(address)
            expect(not loads or not (parts.scheme or parts.netloc), f"{page} loads {address}")
            loaded += loads
    for path in [f"/{language}/" for language in there()] + ["/"]:
        policy = ask(path)[1]["Content-Security-Policy"] or ""
        expect(policy.startswith("default-src 'none'") and "http" not in policy, f"{path}: {policy!r}")
    print(f"{loaded} things are loaded, all from here")


@contextlib.contextmanager
def bundle() -> Iterator[tuple[str, str]]:
    """A directory beside the bundles, gone afterwards."""
    os.makedirs(CONTENT, exist_ok=True)
    directory = tempfile.mkdtemp(prefix="clic-check-", dir=CONTENT)
    os.chmod(directory, 0o755)
    try:
        yield directory, f"/content/{os.path.basename(directory)}"
    finally:
        shutil.rmtree(directory)


def write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


TYPES = {
    "film.webm": "video/webm",
    "film.mp4": "video/mp4",
    "Été & Co.ogg": "audio/ogg",
    "talk.opus": "audio/ogg",
    "book.epub": "application/epub+zip",
    "book.pdf": "application/pdf",
    "wiki.zim": "application/x-zim",
    "page.html": "text/html",
    "note.txt": "text/plain; charset=utf-8",
    "film.fr.vtt": "text/vtt; charset=utf-8",
    "thing.unknown": "application/octet-stream",
}


def media() -> None:
    data = bytes(range(256)) * 4096  # 1 MiB
    with bundle() as (directory, url):
        for name, kind in TYPES.items():
            write(os.path.join(directory, name), data)
            path = f"{url}/{urllib.parse.quote(name)}"
            status, headers, _ = ask(path, "HEAD")
            expect((status, headers["Content-Type"]) == (200, kind), f"{name}: {status} {headers['Content-Type']}")
            expect("http" not in (headers["Content-Security-Policy"] or "http"), f"{name} may load from elsewhere")
            status, headers, body = ask(path, Range="bytes=300000-300999")
            expect(status == 206 and body == data[300000:301000], f"a part of {name}: {status}, {len(body)} bytes")
            expect(headers["Content-Range"] == f"bytes 300000-300999/{len(data)}", f"{headers['Content-Range']}")
        path = f"{url}/film.webm"
        status, _, body = ask(path, Range="bytes=-16")
        expect(status == 206 and body == data[-16:], f"the end: {status}")
        status, headers, _ = ask(path, Range=f"bytes={len(data)}-")
        expect(status == 416, f"beyond the end: {status}")
        many = ",".join(f"{at}-{at}" for at in range(0, 400, 2))
        status, _, body = ask(path, Range=f"bytes={many}")
        expect(status == 200 and len(body) == len(data), f"two hundred ranges: {status}, {len(body)} bytes")
        status, headers, _ = ask(path)
        tag = headers["ETag"]
        status, _, _ = ask(path, If_None_Match=tag)
        expect(status == 304, f"a file that the browser has: {status}")
        status, _, body = ask(path, Range="bytes=5-9", If_Range='"of-another-box"')
        expect(status == 200 and len(body) == len(data), f"a part of a file that changed: {status}")
        status, _, _ = ask(path, "POST")
        expect(status == 405, f"POST: {status}")
    print(f"{len(TYPES)} types, each from its middle")


def closed() -> None:
    with bundle() as (directory, url):
        write(os.path.join(directory, "open.txt"), b"open")
        write(os.path.join(directory, ".htpasswd"), b"secret")
        os.mkdir(os.path.join(directory, ".git"))
        write(os.path.join(directory, ".git", "notes.txt"), b"secret")
        os.symlink("/etc/passwd", os.path.join(directory, "link.txt"))
        os.symlink("/etc", os.path.join(directory, "etc"))
        expect(ask(f"{url}/open.txt")[2] == b"open", "a plain file is not served")
        tried = ("/.htpasswd", "/.git/notes.txt", "/link.txt", "/etc/passwd", "/", "/../../../../etc/passwd",
                 "/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2f..%2f..%2fetc%2fpasswd")
        for path in tried:
            status, _, body = ask(url + path)
            expect(status in (400, 404) and b"secret" not in body and b"root:" not in body, f"{path}: {status}")
    print(f"{len(tried)} ways in are closed")


def missing() -> None:
    for language in there():
        status, headers, body = ask(f"/{language}/no-such-page", Accept_Language=language)
        expect(status == 404 and f'<html lang="{language}">'.encode() in body, f"{language}: {status}")
        expect("Content-Security-Policy" in headers, "without its policy")
        status, _, body = ask("/content/no-such-bundle/x.webm", Accept_Language=language)
        expect(status == 404 and f'<html lang="{language}">'.encode() in body, f"content, {language}: {status}")
    print("404, in words")


if __name__ == "__main__":
    main(by_name(languages, links, elsewhere, media, closed, missing))
