"""What is asked of a page that is open: by keyboard, enlarged, and without scripts. Each check returns what is wrong, as
sentences; nothing is good."""

from pathlib import Path
from typing import Any

from .devtools import Tab
from .visit import NARROW, Screen

# More steps than that from one end of a page to the other is a page that nobody gets through.
STEPS = 400
# What may come before the content where nothing skips it: a choice of language.
BEFORE = 2

SCRIPT = (Path(__file__).parent / "page.js").read_text()


def ask(tab: Tab, question: str) -> Any:
    """What page.js says."""
    return tab.evaluate(f"{SCRIPT.rstrip()}.{question}()")


def keyboard(tab: Tab, used: bool) -> list[str]:
    """Goes through the page with the Tab key alone. On a page that was used, the way begins behind the first link."""
    wrong: list[str] = []
    seen: set[str] = set()
    reached_main = False
    here, again = None, 0
    if used:
        ask(tab, "restart")
        seen.add(ask(tab, "focus")["key"])
    for step in range(int(used), STEPS):
        tab.press("Tab", 9)
        there = ask(tab, "focus")
        if there is None:
            break
        if here and there["key"] == here["key"]:
            # Players have several buttons inside, and hide them when the keyboard is elsewhere.
            again += 1
            if again > 12:
                wrong.append(f"the keyboard does not get out of {there['name']}")
                break
            continue
        again = 0
        if there["key"] in seen:
            break
        here = there
        seen.add(there["key"])
        if not there["marked"]:
            wrong.append(f"nothing shows that the keyboard is at {there['name']}")
        if not there["inView"] or not there["free"]:
            wrong.append(f"the keyboard is at {there['name']}, which is hidden")
        if step == 0 and there["target"]:
            wrong += skip(tab, there)
            reached_main = True
            # From the beginning again, for the rest of the way.
            ask(tab, "restart")
            continue
        if step >= BEFORE and not used and not reached_main and not there["main"]:
            wrong.append(f"after {BEFORE} steps the keyboard is at {there['name']}, not in the content")
            reached_main = True
        reached_main = reached_main or there["main"]
    else:
        wrong.append(f"the end of the page is not reached in {STEPS} steps")
    if not reached_main and seen:
        wrong.append("the keyboard does not get to the content")
    count = ask(tab, "reachable")
    if len(seen) < count:
        wrong.append(f"the keyboard reached {len(seen)} of {count} links, buttons and fields")
    return wrong


def skip(tab: Tab, link: dict[str, Any]) -> list[str]:
    """Follows the link that skips to the content; the next step has to be in there."""
    tab.press("Enter", 13)
    at = tab.evaluate("document.activeElement && document.activeElement.id")
    if at != link["target"]:
        return [f"{link['name']} leads to “{at}”, not to “{link['target']}”"]
    tab.press("Tab", 9)
    there = ask(tab, "focus")
    # A page of nothing but text has nothing to press in its content.
    inside = tab.evaluate("document.querySelectorAll('main a[href], main button, main input').length")
    if inside and not (there and there["main"]):
        return [f"after {link['name']} the keyboard is not in the content"]
    return []


def width(tab: Tab, name: str) -> list[str]:
    found = ask(tab, "overflow")
    return [f"{name}: wider than the screen ({'; '.join(found['names'])})"] if found["wide"] else []


def reflow(tab: Tab, screen: Screen) -> list[str]:
    """Whether the page fits: on its screen, enlarged to 400 %, and then with wide text."""
    wrong = width(tab, f"at {screen.name} pixels")
    tab.resize(NARROW)
    wrong += width(tab, "at 320 pixels")
    ask(tab, "spread")
    wrong += width(tab, "at 320 pixels with text set wide")
    wrong += [f"text set wide is cut off: {text}" for text in ask(tab, "cut")]
    tab.resize(screen)
    return wrong


def plain(with_scripts: dict[str, list[str]], without: dict[str, list[str]]) -> list[str]:
    """What somebody without JavaScript does not get: both as `readable` has it."""
    wrong = []
    for kind, name in (("links", "link"), ("texts", "text")):
        rest = list(without[kind])
        for one in with_scripts[kind]:
            if one in rest:
                rest.remove(one)
            else:
                wrong.append(f"without JavaScript there is no {name} “{one[:120]}”")
    return wrong
