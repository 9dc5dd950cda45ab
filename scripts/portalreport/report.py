"""What was found, as JSON and as a page for people."""

import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

from . import axe
from .paint import PROFILE

# Bytes of the first page with all that it loads, before compression; milliseconds until the first paint; how much may jump
# about while a page loads (what the Core Web Vitals call good).
WEIGHT, PAINT, SHIFT = 150_000, 1000, 0.1


def machine() -> dict[str, Any]:
    words = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = [line.split(":", 1)[1].strip() for line in words if line.startswith("model name")]
    return {
        "processor": cpu[0] if cpu else platform.machine(),
        "processors": os.cpu_count(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "load": os.getloadavg()[1],
    }


def version(package: str) -> str:
    query = ["dpkg-query", "--show", "--showformat", "${Version}", package]
    return subprocess.run(query, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout


def results(pages: list[dict[str, Any]], begun: float, image: Path | None, host: str, browser: str) -> dict[str, Any]:
    found: dict[str, Any] = {
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


def limits(pages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each limit, and where it is broken."""
    ours = [page for page in pages if not page["theirs"]]
    painted = [(page, page["paint"]) for page in ours if "paint" in page]

    def at(page: dict[str, Any], view: str = "") -> str:
        return f"{page['language']} {page['name']}" + (f" ({view})" if view else "")

    def each(key: str, those: list[dict[str, Any]] = ours) -> list[str]:
        return [f"{at(page, name)}: {text}" for page in those for name, view in page["views"].items() for text in view.get(key, [])]

    heavy = [f"{at(page, name)}: {view['unpacked'] / 1000:.0f} kB" for page in ours if page["name"].startswith("home")
             for name, view in page["views"].items() if view["unpacked"] > WEIGHT]
    axe_found = [f"{at(page, name)}: {finding['rule']}, {len(finding['places'])} times: {finding['places'][0]['element']}"
                 for page in ours for name, view in page["views"].items() for finding in view["axe"]["violations"]]
    table = [
        # Also what others made loads nothing from elsewhere.
        ("every request stays on the box", each("elsewhere", pages)),
        (f"first page under {WEIGHT // 1000} kB, before compression", heavy),
        ("axe-core finds nothing", axe_found),
        ("the console has no errors", each("console")),
        ("nothing that a page asks for is missing", each("failed")),
        ("the keyboard gets everywhere, and one sees where it is", each("keyboard")),
        ("pages fit the screen, also enlarged to 400 % and with text set wide", each("reflow")),
        ("everything but search can be read without JavaScript",
         [f"{at(page)}: {text}" for page in ours for text in page.get("plain", [])]),
    ]
    if painted:
        table += [
            (f"first paint under {PAINT / 1000:.0f} s on a slow phone",
             [f"{at(page)}: {show(paint['paint'], '.0f')} ms" for page, paint in painted if paint["paint"] is None or paint["paint"] >= PAINT]),
            (f"nothing jumps about (shift at most {SHIFT})",
             [f"{at(page)}: {paint['shift']:.2f}" for page, paint in painted if paint["shift"] > SHIFT]),
        ]
    return [{"what": what, "broken": broken, "met": not broken} for what, broken in table]


def show(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def page(found: dict[str, Any]) -> str:
    there = found["machine"]
    tools = ", ".join(f"{name} {version}" for name, version in found["tools"].items())
    lines = [
        "# The portal in a browser", "",
        f"{found['date']}, {found['image'] or found['host']}, on {there['processors']} processors ({there['processor']}), "
        f"{there['memory'] / 1e9:.0f} GB of memory, Linux {there['kernel']}; {there['load']:.1f} programs wanted a processor at the end. {tools}.", "",
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


def table(found: dict[str, Any]) -> list[str]:
    lines = [
        "Requests and kB: of a first visit with nothing kept, by phone; on the way (compressed, with headers) and unpacked. First "
        "paint, largest paint, shift and blocked: on a slow phone, the fastest of some runs. axe-core's findings on phone, desktop and in the dark.",
        "",
        "| page | | requests | kB on the way | kB unpacked | first paint, ms | largest paint, ms | shift | blocked, ms | axe-core |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for entry in found["pages"]:
        view = entry["views"]["360"]
        paint = entry.get("paint", {})
        cells = [
            entry["name"], entry["language"], len(view["requests"]),
            f"{view['transferred'] / 1000:.1f}", f"{view['unpacked'] / 1000:.1f}",
            show(paint.get("paint"), ".0f"), show(paint.get("largest"), ".0f"), show(paint.get("shift"), ".3f"), show(paint.get("blocked"), ".0f"),
            " ".join(str(len(one["axe"]["violations"])) for one in entry["views"].values()),
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def notes(found: dict[str, Any]) -> list[str]:
    lines = ["How it was measured:", ""]
    if any("paint" in entry for entry in found["pages"]):
        lines.append(
            "- Paint: the box's answers, recorded and played from this machine, so that an emulated box's own slowness does not "
            f"count; {found['profile']}; painted by software, since there is no graphics processor.")
    why = {entry["name"]: entry["why"] for entry in found["pages"] if entry["why"]}
    return lines + [f"- {name}: {text}." for name, text in why.items()]


def unsure(found: dict[str, Any]) -> list[str]:
    """What axe leaves to people, once for each kind of place."""
    places: dict[tuple[str, str], set[str]] = {}
    for entry in found["pages"]:
        for view in entry["views"].values() if not entry["theirs"] else []:
            for finding in view["axe"]["unsure"]:
                for place in finding["places"]:
                    places.setdefault((finding["rule"], place["element"]), set()).add(entry["name"])
    if not places:
        return []
    lines = [f"- {rule}: `{element}` ({', '.join(sorted(names))})" for (rule, element), names in sorted(places.items())]
    return ["What axe-core leaves to people:", "", *lines]


def theirs(found: dict[str, Any]) -> list[str]:
    """Content: made by others, so told and not judged."""
    lines = []
    for entry in found["pages"]:
        if entry["theirs"]:
            views = entry["views"].values()
            rules = sorted({finding["rule"] for view in views for finding in view["axe"]["violations"]})
            console = sorted({text for view in views for text in view["console"]})
            lines.append(f"- {entry['name']} ({entry['path']}): axe-core {', '.join(rules) or 'nothing'}; "
                         f"console {f'{len(console)} errors' if console else 'nothing'}")
    return ["Content, made by others and not judged:", "", *lines] if lines else []
