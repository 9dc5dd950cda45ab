"""What was found, as JSON and as a page for people."""

import os
import platform
import subprocess
import time
from pathlib import Path

from . import axe
from .paint import PROFILE

# Bytes of the first page with all that it loads, before compression; milliseconds until the first paint; how much may jump
# about while a page loads (what the Core Web Vitals call good).
WEIGHT, PAINT, SHIFT = 150_000, 1000, 0.1


def machine():
    words = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = [line.split(":", 1)[1].strip() for line in words if line.startswith("model name")]
    return {
        "processor": cpu[0] if cpu else platform.machine(),
        "processors": os.cpu_count(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
    }


def version(package):
    query = ["dpkg-query", "--show", "--showformat", "${Version}", package]
    return subprocess.run(query, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout


def results(pages, begun, image, host, browser):
    found = {
        "date": time.strftime("%Y-%m-%d", time.gmtime(begun)),
        "minutes": (time.time() - begun) / 60,
        "image": image.name if image else None,
        "host": host,
        "machine": machine(),
        "tools": {"chromium": browser, "axe-core": axe.VERSION},
        "profile": PROFILE,
        "pages": pages,
    }
    if image:
        found["tools"]["qemu"] = version("qemu-system-x86")
    found["limits"] = limits(pages)
    return found


def limits(pages):
    ours = [page for page in pages if not page["theirs"]]
    views = [(page, name, view) for page in pages for name, view in page["views"].items()]

    def each(key, those=views):
        return [f"{page['language']} {page['name']} ({name}): {text}" for page, name, view in those if not page["theirs"] for text in view.get(key, [])]

    painted = [page for page in ours if "paint" in page]
    homes = [(page, view) for page, _, view in views if page["name"].startswith("home")]
    axe_found = [
        f"{page['language']} {page['name']} ({name}): {finding['rule']}, {len(finding['places'])} times: {finding['places'][0]['element']}"
        for page, name, view in views if not page["theirs"] for finding in view.get("axe", {}).get("violations", [])]
    late = [f"{page['language']} {page['name']}: {show(page['paint']['paint'], '.0f')} ms" for page in painted
            if page["paint"]["paint"] is None or page["paint"]["paint"] >= PAINT]
    jumpy = [f"{page['language']} {page['name']}: {page['paint']['shift']:.2f}" for page in painted if page["paint"]["shift"] > SHIFT]
    heavy = [f"{page['language']} {page['name']}: {view['unpacked'] / 1000:.0f} kB" for page, view in homes if view["unpacked"] > WEIGHT]
    # Also what others made loads nothing from elsewhere.
    elsewhere = [f"{page['language']} {page['name']} ({name}): {url}" for page, name, view in views for url in view["elsewhere"]]
    table = [
        ("every request stays on the box", elsewhere),
        (f"first page under {WEIGHT // 1000} kB, before compression", heavy),
        ("axe-core finds nothing", axe_found),
        ("the console has no errors", each("console")),
        ("nothing that a page asks for is missing", each("failed")),
        ("the keyboard gets everywhere, and one sees where it is", each("keyboard")),
        ("pages fit the screen, also enlarged to 400 % and with text set wide", each("reflow")),
        ("everything but search can be read without JavaScript", [f"{page['language']} {page['name']}: {text}" for page in ours for text in page.get("plain", [])]),
    ]
    if painted:
        table += [(f"first paint under {PAINT / 1000:.0f} s on a slow phone", late), (f"nothing jumps about (shift at most {SHIFT})", jumpy)]
    return [{"what": what, "broken": broken, "met": not broken} for what, broken in table]


def show(value, form):
    return "–" if value is None else format(value, form)


def page(found):
    there = found["machine"]
    tools = ", ".join(f"{name} {version}" for name, version in found["tools"].items())
    lines = [
        "# The portal in a browser", "",
        f"{found['date']}, {found['image'] or found['host']}, on {there['processors']} processors ({there['processor']}), "
        f"{there['memory'] / 1e9:.0f} GB of memory, Linux {there['kernel']}. {tools}.", "",
        "| limit | kept |", "|---|---|",
    ]
    for limit in found["limits"]:
        lines.append(f"| {limit['what']} | {'yes' if limit['met'] else 'no: ' + str(len(limit['broken'])) + ' times'} |")
    for limit in found["limits"]:
        if limit["broken"]:
            lines += ["", f"**{limit['what']}**: no.", "", *(f"- {text}" for text in limit["broken"][:40])]
    lines += ["", *table(found), ""]
    for text in (notes(found), unsure(found), theirs(found)):
        if text:
            lines += [*text, ""]
    return "\n".join(lines).rstrip() + "\n"


def table(found):
    lines = [
        "Requests and kB: of a first visit with nothing kept, by phone; on the way (compressed, with headers) and unpacked. First "
        "paint, largest paint, shift and blocked: medians on a slow phone. axe-core's findings on phone, desktop and in the dark.", "",
        "| page | | requests | kB on the way | kB unpacked | first paint, ms | largest paint, ms | shift | blocked, ms | axe-core |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for entry in found["pages"]:
        view = entry["views"].get("360") or next(iter(entry["views"].values()))
        paint = entry.get("paint", {})
        counts = " ".join(str(len(one["axe"]["violations"])) for one in entry["views"].values() if "axe" in one) or "–"
        lines.append(
            f"| {entry['name']} | {entry['language']} | {len(view['requests'])} | {view['transferred'] / 1000:.1f} | {view['unpacked'] / 1000:.1f} | "
            f"{show(paint.get('paint'), '.0f')} | {show(paint.get('largest'), '.0f')} | {show(paint.get('shift'), '.3f')} | "
            f"{show(paint.get('blocked'), '.0f')} | {counts} |")
    return lines


def notes(found):
    lines = ["How it was measured:", ""]
    if any("paint" in entry for entry in found["pages"]):
        lines.append(f"- Paint: the box's answers, recorded and played from this machine, so that the emulated box's own slowness does not count; {found['profile']}; painted by software, since there is no graphics processor.")
    lines += [f"- {name}: {why}." for name, why in dict.fromkeys((entry["name"], entry["why"]) for entry in found["pages"] if entry["why"])]
    return lines


def unsure(found):
    """What axe leaves to people, once for each kind of place."""
    places = {}
    for entry in found["pages"]:
        for view in entry["views"].values():
            for finding in view.get("axe", {}).get("unsure", []) if not entry["theirs"] else []:
                for place in finding["places"]:
                    places.setdefault((finding["rule"], place["element"]), set()).add(entry["name"])
    if not places:
        return []
    return ["What axe-core leaves to people:", "", *(f"- {rule}: `{element}` ({', '.join(sorted(names))})" for (rule, element), names in sorted(places.items()))]


def theirs(found):
    """Content: made by others, so told and not judged."""
    lines = []
    for entry in found["pages"]:
        if entry["theirs"]:
            rules = sorted({finding["rule"] for view in entry["views"].values() for finding in view["axe"]["violations"]})
            console = sorted({text for view in entry["views"].values() for text in view["console"]})
            lines.append(f"- {entry['language']} {entry['name']} ({entry['path']}): axe-core {', '.join(rules) or 'nothing'}; console {'; '.join(console) or 'nothing'}")
    return ["Content, made by others and not judged:", "", *lines] if lines else []
