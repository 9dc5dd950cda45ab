"""The page that opens by itself. Plain HTML in French or English, complete without scripts or other files."""

import functools

from clic.pages import Pages

PAGES = Pages(__file__)
TEXTS = PAGES.texts


def language(header: str, query: str) -> str:
    """`fr` or `en`: what the address asks for, else what the browser prefers, else French."""
    return TEXTS.choose(header, query)


# A box has few of each, and phones ask by the hundred.
@functools.lru_cache(maxsize=16)
def render(lang: str, ssid: str, domain: str, accepted: bool, online: bool) -> bytes:
    """The page, for somebody who has pressed "Continue" or not, with internet or without."""
    return PAGES.render("captive.html", lang, ssid=ssid, domain=domain, accepted=accepted, online=online)


@functools.lru_cache(maxsize=16)
def moved(url: str) -> bytes:
    """The page that leads to another one, for those who do not go there by themselves."""
    return PAGES.render("moved.html", TEXTS.default, url=url)
