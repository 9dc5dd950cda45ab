"""What a boot test asks of kiwix-serve, over HTTP as a visitor of the portal.

    archives    every archive opens, and is searched
    damaged     the same, with one more archive that is none
"""

import contextlib
import glob
import http.client
import os
import re
import subprocess
import time
import urllib.parse

from clic.checks.command import Wrong, by_name, main

CONTENT = "/srv/clic/content"
DAMAGED = f"{CONTENT}/clic-check-damaged"
# The portal's server answers to every name in .local.
NAME = "clic.local"
# How many words of the first page are looked for, at most, until one is found.
TRIES = 20


def ask(path: str) -> tuple[int, str]:
    """Status and text of a page, redirects followed."""
    for _ in range(5):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", 80, timeout=60)) as connection:
            connection.request("GET", path, headers={"Host": NAME})
            answer = connection.getresponse()
            body = answer.read().decode("utf-8", "replace")
            if answer.status not in (301, 302):
                return answer.status, body
            parts = urllib.parse.urlsplit(answer.headers["Location"])
            if parts.hostname not in (None, NAME):
                raise Wrong(f"{path} leads to {parts.hostname}")
            path = urllib.parse.urljoin(path, parts.path + (f"?{parts.query}" if parts.query else ""))
    raise Wrong(f"{path} leads on and on")


def shown(path: str) -> str:
    """The page once it answers: a slow processor takes a while to begin."""
    for _ in range(60):
        status, body = ask(path)
        if status == 200:
            return body
        time.sleep(1)
    raise Wrong(f"{path}: {status}")


def words(page: str) -> list[str]:
    """Words of a page, those with accents first: they are what searches forget."""
    text = re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>|&[#\w]+;", " ", page, flags=re.DOTALL | re.IGNORECASE)
    found = dict.fromkeys(word for word in re.findall(r"[^\W\d_]{6,}", text))
    return sorted(found, key=str.isascii)[:TRIES]


def search(name: str, page: str) -> str:
    """A word of the page, looked for: how many tries it took, and the first page found is one that opens."""
    for word in words(page):
        query = urllib.parse.urlencode({"content": name, "pattern": word})
        status, body = ask(f"/zim/search?{query}")
        if status != 200:
            raise Wrong(f"looking for {word!r} in {name}: {status}")
        if "width=device-width" not in body:
            raise Wrong("the list of results does not fit a phone")
        results = body.partition('class="results"')[2]
        found = re.search(r'href="(/zim/[^"]+)"', results)
        if found:
            shown(found[1])
            return word
    raise Wrong(f"no word of {name}'s first page is found: {words(page)}")


def archives() -> None:
    paths = sorted(path for path in glob.glob(f"{CONTENT}/**/*.zim", recursive=True) if not path.startswith(DAMAGED))
    if not paths:
        state = subprocess.run(["systemctl", "is-active", "clic-kiwix"], capture_output=True, text=True).stdout.strip()
        status, _ = ask("/zim/")
        if state == "failed" or status != 503:
            raise Wrong(f"without archives, the service is {state} and /zim/ answers {status}")
        print("no ZIM archive in this image, and that is said")
    for path in paths:
        # As libkiwix names them: see the portal's own links.
        name = os.path.basename(path).removesuffix(".zim").replace(" ", "_").replace("+", "plus")
        page = shown(f"/zim/{urllib.parse.quote(name)}/")
        print(f"{name}: opens, and {search(name, page)!r} is found")


def damaged() -> None:
    os.makedirs(DAMAGED, exist_ok=True)
    try:
        with open(f"{DAMAGED}/a.zim", "wb") as file:
            file.write(b"no archive")
        subprocess.run(["systemctl", "restart", "clic-kiwix"], check=True)
        archives()
    finally:
        os.remove(f"{DAMAGED}/a.zim")
        os.rmdir(DAMAGED)
        subprocess.run(["systemctl", "restart", "clic-kiwix"], check=True)


if __name__ == "__main__":
    main(by_name(archives, damaged))
