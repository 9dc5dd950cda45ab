"""clic-service: the services of this box, switched on and off without internet."""

import difflib
import json
import os
import signal
import sys
from typing import Any

from clic import disk
from clic.services import change, definitions, machine, needs
from clic.services.definitions import Service
from clic.services.store import Store
from clic.services.words import say, size, text

COMMANDS = {"list": (0, 0), "status": (0, 1), "enable": (1, 1), "disable": (1, 1), "recover": (0, 0), "write-first": (0, 0)}
FOR_ROOT = ("enable", "disable", "recover", "write-first")


class Usage(Exception):
    """The request was wrong."""


def parse(words: list[str]) -> tuple[str, str | None, bool, str]:
    """Command, name or None, whether JSON is wanted, and the root."""
    as_json, root, rest = False, "/", []
    words = list(words)
    while words:
        word = words.pop(0)
        if word in ("-h", "--help", "help"):
            print(say("usage"), end="")
            sys.exit(0)
        if word == "--json":
            as_json = True
        elif word == "--root" and words:
            root = words.pop(0)
        elif word.startswith("-"):
            raise Usage(say("unknown-option", option=word))
        else:
            rest.append(word)
    if not rest or rest[0] not in COMMANDS:
        raise Usage(say("unknown-command", command=rest[0]) if rest else say("usage").rstrip())
    command, *names = rest
    least, most = COMMANDS[command]
    if len(names) < least:
        raise Usage(say("one-name", command=command))
    if len(names) > most:
        raise Usage(say("too-many", word=names[most]))
    return command, names[0] if names else None, as_json, root


def find(services: dict[str, Service], name: str) -> Service:
    if name in services:
        return services[name]
    near = difflib.get_close_matches(name, services, 1)
    more = say("near", name=near[0]) if near else say("there-are", names=", ".join(services)) if services else ""
    raise Usage(say("unknown-service", name=name) + more)


def describe(store: Store, service: Service) -> dict[str, Any]:
    """What is said of a service in JSON."""
    return {
        "name": service.name, "kind": service.kind, "category": service.category, "title": service.title,
        "description": service.description, "url": service.link, "state": store.state(service), "shipped": service.state,
        "ram": service.ram, "disk": service.disk,
    }


def examine(store: Store, service: Service) -> dict[str, Any]:
    """And how it is now."""
    units = machine.unit_states(service.units)
    on = store.state(service) == "enabled"
    problems = [needs.problem("not-running", unit=unit["unit"], state=unit["active"])
                for unit in units if unit["active"] != "active"] if on else needs.to_enable(store, service)
    return describe(store, service) | {
        "units": units, "running": on and not problems, "can_enable": not on and not problems, "problems": problems}


def report(store: Store, as_json: bool, name: str | None, examined: bool) -> None:
    chosen = [find(store.services, name)] if name else list(store.services.values())
    told = [examine(store, service) if examined else describe(store, service) for service in chosen]
    answer: dict[str, Any] = {"services": told}
    journal = store.journal()
    if examined:
        answer |= {"disk_free": needs.free_disk(store.root), "memory_free": needs.free_memory(store.root),
                   "unfinished": journal and {"service": journal["service"], "to": journal["to"]}}
    if as_json:
        print(json.dumps(answer, ensure_ascii=False))
        return
    if not told:
        print(say("none"))
    for service in told:
        print(f"{service['name']:20} {say(service['state']):12} {text(service['title'])}")
        for problem in service.get("problems", ()):
            print(f"{'':20} - {problem['text']}")
        if service.get("can_enable"):
            print(f"{'':20} {say('can-enable')}: {size(service['ram'])} + {size(service['disk'])}")
    if examined:
        print(say("room", disk=size(answer["disk_free"]), memory=size(answer["memory_free"])))
    if journal:
        print(say("unfinished", name=journal["service"]))


def switch(store: Store, as_json: bool, name: str, to: str) -> int:
    service = find(store.services, name)
    title = text(service.title)
    answer: dict[str, Any] = {"service": name, "ok": False, "changed": False, "problems": [], "text": ""}
    code = 1
    try:
        outcome = change.change(store, service, to)
        key = {"already": f"already-{to}", "changed": f"now-{to}", "repaired": "repaired"}[outcome]
        answer |= {"ok": True, "changed": outcome != "already", "text": say(key, title=title, url=service.link)}
        code = 0
    except change.Refused as refused:
        answer |= {"problems": refused.problems, "text": say(f"refused-{change.VERB[to]}", title=title)}
    except (machine.Failed, OSError) as error:
        answer |= {"text": str(error)}
        code = 130 if isinstance(error, machine.Interrupted) else 1
    answer["state"] = store.state(service)
    if as_json:
        print(json.dumps(answer, ensure_ascii=False))
    else:
        out = sys.stdout if answer["ok"] else sys.stderr
        print(f"{'' if answer['ok'] else say('error') + ': '}{answer['text']}", file=out)
        for problem in answer["problems"]:
            print(f"  - {problem['text']}", file=out)
    return code


def main(words: list[str]) -> int:
    try:
        command, name, as_json, path = parse(words)
        if command in FOR_ROOT and path == "/" and os.geteuid() != 0:
            raise Usage(say("for-root", command=" ".join(filter(None, (command, name)))))
        root = disk.Root(path)
        services, wrong = definitions.load_all(root)
        for why in wrong:
            print(f"{say('error')}: {why}", file=sys.stderr)
        store = Store(root, services)
        if command in ("list", "status"):
            report(store, as_json, name, command == "status")
            return 0
        if command in ("enable", "disable"):
            # They are not understood without one.
            assert name is not None
            return switch(store, as_json, name, "enabled" if command == "enable" else "dormant")
        if command == "write-first":
            change.write_first(store)
            return 0
        service = change.recover(store)
        print(say("recovered", title=text(service.title), state=say(store.state(service))) if service else
              say("nothing-to-recover"))
        return 0
    except Usage as error:
        print(f"{say('error')}: {error}", file=sys.stderr)
        return 2
    except (machine.Failed, OSError) as error:
        print(f"{say('error')}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    # Whoever ends it politely gets what Ctrl-C gets: everything as it was before.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
