"""A hundred guests at once, for hotspot.py: each a station of its own, as the box counts by station.

No test has a hundred radios. They are on one cable into the guests' network, which is kept apart from others as radios are.
"""

import concurrent.futures
import contextlib
import ipaddress
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from clic.checks.guest import request
from clic.hotspot.guests import Leases

NAME = "clic-crowd"
GUESTS = 100


def addresses(network: str) -> list[str]:
    """Theirs, which are nobody else's."""
    leases = Leases()
    free = (str(address) for address in itertools.islice(ipaddress.ip_network(network), 20, None))
    return list(itertools.islice((address for address in free if not leases.hardware(address)), GUESTS))


def commands(box: str, network: str, guests: list[str]) -> str:
    """For `ip -batch` in their namespace: for each guest an interface, an address, and a way out of its own."""
    lines = ["link set lo up", "link set cable up"]
    for number, address in enumerate(guests):
        lines += [
            f"link add link cable name g{number} type macvlan mode private",
            f"address add {address}/{network.split('/')[1]} dev g{number}",
            f"link set g{number} up",
            f"rule add from {address} lookup {1000 + number}",
            f"route add {box} dev g{number} table {1000 + number}",
            f"route add default via {box} dev g{number} table {1000 + number}",
        ]
    return "\n".join([*lines, f"route add default via {box} dev g0", ""])


def run(*words: str, text: str | None = None) -> None:
    done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")


def leave() -> None:
    subprocess.run(["ip", "netns", "delete", NAME], check=False, capture_output=True)


@contextlib.contextmanager
def joined(box: str, network: str) -> Iterator[list[str]]:
    """They are there, under these addresses, until the end."""
    guests = addresses(network)
    leave()
    run("ip", "netns", "add", NAME)
    try:
        run("ip", "link", "add", "to-crowd", "type", "veth", "peer", "name", "cable", "netns", NAME)
        run("ip", "link", "set", "to-crowd", "master", "hotspot0")
        run("bridge", "link", "set", "dev", "to-crowd", "isolated", "on")
        run("ip", "link", "set", "to-crowd", "up")
        # Only whose address it is says so.
        run("ip", "netns", "exec", NAME, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore")
        run("ip", "-n", NAME, "-batch", "-", text=commands(box, network, guests))
        yield guests
    finally:
        leave()


def visit(domain: str, *guests: str) -> dict[str, Any]:
    """In their namespace: each asks as one that has just joined."""
    urls = [
        "http://connectivitycheck.gstatic.com/generate_204",
        "http://captive.apple.com/hotspot-detect.html",
        "http://www.msftconnecttest.com/connecttest.txt",
        f"http://{domain}/captive/",
        f"http://{domain}/",
    ]

    def ask(one: str) -> tuple[list[float], list[str]]:
        times, wrong = [], []
        for url in urls:
            begun = time.monotonic()
            try:
                answer = request("GET", url, source=one)["status"]
                if answer != (302 if urls.index(url) < 3 else 200):
                    wrong.append(f"{url}: {answer}")
            except OSError as error:
                wrong.append(f"{url}: {error}")
            times.append(time.monotonic() - begun)
        return times, wrong

    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(GUESTS) as pool:
        results = list(pool.map(ask, guests))
    whole = time.monotonic() - begun
    times = sorted(seconds for some, _ in results for seconds in some)
    wrong = [text for _, some in results for text in some]
    return {
        "requests": len(times), "errors": len(wrong), "some-errors": wrong[:3], "seconds": round(whole, 2),
        "median-ms": round(times[len(times) // 2] * 1000), "p99-ms": round(times[len(times) * 99 // 100] * 1000),
    }


if __name__ == "__main__":
    print(json.dumps(visit(*sys.argv[1:])))
