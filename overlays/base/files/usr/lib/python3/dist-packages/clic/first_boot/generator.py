"""Makes systemd wait: each unit for the steps that it needs, and for no others (systemd.generator(7)).

The portal that guests see is up before a slow step ends, unless it needs that step. A step that fails keeps down exactly
the units that asked for it. /usr/lib/systemd/system-generators/clic-first-boot starts this while something is left to do.
"""

import os
import sys

from clic.disk import Root
from clic.first_boot import state, steps
from clic.first_boot.steps import Step

TEMPLATE = "/usr/lib/systemd/system/clic-first-boot@.service"
END = "clic-first-boot.service"


def plan(root: Root) -> tuple[dict[str, str], dict[str, str]]:
    """Files to write, and links to make, below the generator's directory: two dictionaries by path."""
    found, wrong = steps.load_all(root)
    for why in wrong.values():
        print(f"clic-first-boot: {why}", file=sys.stderr)
    waiting = [step for step in found if step.applies(root) and not state.is_done(root, step.name)]
    waited_for: dict[str, list[str]] = {}
    files: dict[str, str] = {}
    links: dict[str, str] = {}
    for step in waiting:
        links[f"{END}.wants/{step.unit}"] = TEMPLATE
        files[f"{step.unit}.d/50-step.conf"] = _own(step, {other.name: other for other in waiting})
        for unit in step.before:
            waited_for.setdefault(unit, []).append(step.unit)
    for unit, needed in waited_for.items():
        # A service stays down without its secrets; a target is a moment of the start, which must come.
        need = _section(Wants=needed, After=needed) if unit.endswith(".target") else _section(Requires=needed, After=needed)
        files[f"{unit}.d/50-clic-first-boot.conf"] = need
    files[f"{END}.d/50-steps.conf"] = _section(After=[step.unit for step in waiting])
    return files, links


def _own(step: Step, waiting: dict[str, Step]) -> str:
    # A step that is done already, or not needed on this device, is nothing to wait for.
    needs = step.needs + [waiting[name].unit for name in step.steps if name in waiting]
    # % begins a specifier in a unit.
    title = " ".join(step.title.replace("%", "%%").split())
    return f"[Unit]\nDescription=First boot: {title}\n" + _section(Requires=needs, After=needs + step.after, head=False)


def _section(head: bool = True, **lists: list[str]) -> str:
    lines = [f"{key}={' '.join(units)}\n" for key, units in lists.items() if units]
    return ("[Unit]\n" if head else "") + "".join(lines)


def main(directory: str, root: Root) -> None:
    files, links = plan(root)
    for name, text in files.items():
        path = os.path.join(directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    for name, target in links.items():
        path = os.path.join(directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(target, path)


if __name__ == "__main__":
    main(sys.argv[1], Root(os.environ.get("CLIC_ROOT", "/")))
