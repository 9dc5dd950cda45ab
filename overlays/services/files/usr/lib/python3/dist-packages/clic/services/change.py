"""Switches a service on or off, whole or not at all, whenever the power is cut.

`journal.json` says what is under way, before anything is changed, and is taken away when it has ended. What it names is done
again from the beginning (each part can be) and goes forward; once something has failed, it goes back instead, to the end.
"""

from typing import Any

from clic.services import machine, needs
from clic.services.definitions import Service
from clic.services.machine import Failed, Interrupted
from clic.services.needs import Problem
from clic.services.store import Store
from clic.services.words import say, text

OTHER = {"enabled": "dormant", "dormant": "enabled"}
VERB = {"enabled": "enable", "dormant": "disable"}


class Refused(Exception):
    """It was not begun. Has a list of reasons."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(problem["text"] for problem in problems))
        self.problems = problems


def change(store: Store, service: Service, to: str) -> str:
    """Switches it. Returns `changed`, `already`, or `repaired` for one that was on but did not run."""
    with store.lock():
        unfinished = store.journal()
        if unfinished:
            _end(store, unfinished)
        already = store.state(service) == to
        if already and (to == "dormant" or _runs(service)):
            # As after a power cut between the two.
            store.tell_portal()
            return "already"
        problems = needs.to_enable(store, service) if to == "enabled" else needs.to_disable(store, service)
        if problems:
            raise Refused(problems)
        journal = {"service": service.name, "from": OTHER[to] if not already else to, "to": to, "back": False, "why": ""}
        store.write_journal(journal)
        _end(store, journal)
        return "repaired" if already else "changed"


def recover(store: Store) -> Service | None:
    """Ends what was interrupted. The service that it was about, or None."""
    with store.lock():
        journal = store.journal()
        if journal is None:
            # One of a service that is no longer in this box says nothing that could be done.
            store.forget_journal()
            store.tell_portal()
            return None
        service = store.services[journal["service"]]
        try:
            _end(store, journal)
        except Failed:
            # Back where it was is an end, too.
            if store.journal():
                raise
        return service


def _end(store: Store, journal: dict[str, Any]) -> None:
    """Brings the journal's change to its end: forward, or back if that fails."""
    service, failure = store.services[journal["service"]], Failed
    if not journal["back"]:
        try:
            _bring(store, service, journal["to"])
        except (Failed, OSError, KeyboardInterrupt) as error:
            stopped = isinstance(error, KeyboardInterrupt)
            failure = Interrupted if stopped else Failed
            journal |= {"back": True, "why": say("interrupted") if stopped else str(error)}
            store.write_journal(journal)
        else:
            store.forget_journal()
            return
    undone = say(f"undone-{VERB[journal['to']]}", title=text(service.title), why=journal["why"])
    if journal["from"] == journal["to"]:
        # It was meant to be on and would not run: there is nothing to go back to.
        store.forget_journal()
        raise failure(journal["why"])
    try:
        _bring(store, service, journal["from"])
    except (Failed, OSError) as error:
        raise Failed(say("half", title=text(service.title), why=journal["why"], second=error)) from None
    store.forget_journal()
    raise failure(undone)


def _bring(store: Store, service: Service, to: str) -> None:
    if to == "enabled":
        machine.switch_on(store.root, service)
    else:
        machine.switch_off(store.root, service)
    store.note(service, to)


def _runs(service: Service) -> bool:
    return all(unit["active"] == "active" for unit in machine.unit_states(service.units))


def write_first(store: Store) -> None:
    """At the first boot, before nginx starts: the places of services that came switched on, and what the portal shows."""
    with store.lock():
        for service in store.services.values():
            if service.nginx and store.state(service) == "enabled":
                machine.place(store.root, service)
            elif service.nginx:
                machine.unplace(store.root, service)
        store.tell_portal()
