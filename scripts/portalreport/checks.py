"""What is asked of a page that is open: by keyboard, enlarged, and without scripts. Each check returns what is wrong, as
sentences; nothing is good."""

from .visit import NARROW

# More steps than that from one end of a page to the other is a page that nobody gets through.
STEPS = 400
# What may come before the content where nothing skips it: a choice of language.
BEFORE = 2

# Where the keyboard is. `mark`: an outline of at least two pixels (WCAG 2.2, 2.4.7 and 2.4.13), on the element, on what it
# draws over its tile, or on the field around it.
FOCUS = """(() => {
  const e = document.activeElement;
  if (!e || e === document.body || e === document.documentElement) return null;
  const outlined = (style) => style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 && !/, 0\\)$/.test(style.outlineColor);
  const marked = outlined(getComputedStyle(e)) || outlined(getComputedStyle(e, "::after")) || outlined(getComputedStyle(e.parentElement));
  const r = e.getBoundingClientRect();
  const [x, y] = [(Math.max(0, r.left) + Math.min(innerWidth, r.right)) / 2, (Math.max(0, r.top) + Math.min(innerHeight, r.bottom)) / 2];
  const top = document.elementFromPoint(x, y);
  const key = (window.clicKeys = window.clicKeys || new Map());
  if (!key.has(e)) key.set(e, key.size);
  return {
    key: key.get(e),
    name: `${e.tagName.toLowerCase()} “${(e.getAttribute("aria-label") || e.innerText || e.name || "").trim().replace(/\\s+/g, " ").slice(0, 50)}”`,
    target: e.tagName === "A" && e.getAttribute("href").startsWith("#") ? e.getAttribute("href").slice(1) : null,
    main: Boolean(e.closest("main")),
    marked,
    inView: r.bottom > 0 && r.right > 0 && r.top < innerHeight && r.left < innerWidth && r.width > 0 && r.height > 0,
    free: Boolean(top) && (e.contains(top) || top.contains(e)),
  };
})()"""

# What one can press or type into, in the order of the page.
REACHABLE = """(() => Array.from(document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, audio[controls], video[controls]"))
  .filter((e) => !e.disabled && e.checkVisibility({ visibilityProperty: true })).length)()"""


def keyboard(tab):
    """Goes through the page with the Tab key alone."""
    wrong, seen, reached_main = [], set(), False
    here, again = None, 0
    for step in range(STEPS):
        tab.press("Tab", 9)
        there = tab.evaluate(FOCUS)
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
            tab.evaluate("document.activeElement.blur(); getSelection().removeAllRanges(); scrollTo(0, 0)")
            tab.evaluate("(() => { const a = document.querySelector('a[href^=\"#\"]'); a.focus(); })()")
            continue
        if step >= BEFORE and not reached_main and not there["main"]:
            wrong.append(f"after {BEFORE} steps the keyboard is at {there['name']}, not in the content nor at a link that skips to it")
            reached_main = True
        reached_main = reached_main or there["main"]
    else:
        wrong.append(f"the end of the page is not reached in {STEPS} steps")
    if not reached_main and seen:
        wrong.append("the keyboard does not get to the content")
    count = tab.evaluate(REACHABLE)
    if len(seen) < count:
        wrong.append(f"the keyboard reached {len(seen)} of {count} links, buttons and fields")
    return wrong


def skip(tab, link):
    """Follows the link that skips to the content; the next step has to be in there."""
    tab.press("Enter", 13)
    at = tab.evaluate("document.activeElement && document.activeElement.id")
    if at != link["target"]:
        return [f"{link['name']} leads to “{at}”, not to “{link['target']}”"]
    tab.press("Tab", 9)
    there = tab.evaluate(FOCUS)
    # A page of nothing but text has nothing to press in its content.
    inside = tab.evaluate("document.querySelectorAll('main a[href], main button, main input').length")
    if inside and not (there and there["main"]):
        return [f"after {link['name']} the keyboard is not in the content"]
    return []


OVERFLOW = """(() => {
  const wide = document.documentElement.clientWidth;
  const culprits = Array.from(document.querySelectorAll("body *")).filter((e) => {
    if (!e.checkVisibility() || e.closest("svg") !== null && e.tagName !== "svg") return false;
    for (let p = e.parentElement; p; p = p.parentElement) if (/hidden|clip|auto|scroll/.test(getComputedStyle(p).overflowX) && p !== document.body) return false;
    return e.getBoundingClientRect().right > wide + 1;
  });
  return { wide: document.documentElement.scrollWidth > wide + 1, names: culprits.slice(0, 3).map((e) => e.outerHTML.slice(0, 80)) };
})()"""
# WCAG 2.2, 1.4.12 Text Spacing. Constructed sheets are not subject to the page's policy.
SPACING = """(() => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync("* { line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important } p { margin-bottom: 2em !important }");
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
})()"""
# Text that is cut off in a box of its own.
CUT = """(() => Array.from(document.querySelectorAll("a, button, p, h1, h2, h3, h4, dt, dd, span, strong"))
  .filter((e) => e.innerText && e.checkVisibility() && e.clientWidth > 1 && getComputedStyle(e).overflow !== "visible" && (e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1))
  .map((e) => e.innerText.slice(0, 40)))()"""


def width(tab, name):
    found = tab.evaluate(OVERFLOW)
    return [f"{name}: wider than the screen ({'; '.join(found['names'])})"] if found["wide"] else []


def reflow(tab, screen):
    """Whether the page fits: on its screen, enlarged to 400 %, and then with wide text."""
    wrong = width(tab, f"at {screen.name} pixels")
    tab.resize(NARROW)
    wrong += width(tab, "at 320 pixels")
    tab.evaluate(SPACING)
    wrong += width(tab, "at 320 pixels with text set wide")
    wrong += [f"text set wide is cut off: {text}" for text in tab.evaluate(CUT)]
    tab.resize(screen)
    return wrong


# What can be read, line by line, without what the script makes or feeds: the search, the filter by language, the ticks of a
# course and the figures of the box.
READABLE = """(() => {
  const made = "form[role=search].needs-js, #results, .chips, #progress, #status, .steps label, .without-js, [data-live]";
  const hidden = (e) => e.closest(made) || !e.checkVisibility();
  const links = Array.from(document.querySelectorAll("a[href]")).filter((e) => !hidden(e))
    .map((e) => `${e.textContent.trim().replace(/\\s+/g, " ")} -> ${e.getAttribute("href")}`);
  const texts = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    const text = walk.currentNode.data.trim().replace(/\\s+/g, " ");
    if (text && !/^(SCRIPT|STYLE|NOSCRIPT)$/.test(e.tagName) && !hidden(e)) texts.push(text);
  }
  return { links, texts };
})()"""


def plain(with_scripts, without):
    """What somebody without JavaScript does not get: both as READABLE has it."""
    wrong = []
    for kind, name in (("links", "link"), ("texts", "text")):
        rest = list(without[kind])
        for one in with_scripts[kind]:
            if one in rest:
                rest.remove(one)
            else:
                wrong.append(f"without JavaScript there is no {name} “{one[:120]}”")
    return wrong
