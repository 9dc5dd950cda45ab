"""How much one station may do. A station is a guest's device: by its hardware address where that is known.

Both addresses cost a nasty guest nothing, so a limit spares the others a device that is broken or somebody in a hurry. What
must hold against somebody who means it, such as tries of a code, is limited for all together.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Callable

ARP = "/proc/net/arp"
# The table is read again after this many seconds.
FRESH_SECONDS = 2
# Of entries that are not complete yet.
NO_HARDWARE = "00:00:00:00:00:00"


class Stations:
    """Tells stations apart by the kernel's table of neighbours (IPv4; guests have nothing else).

    A unit with a network of its own (PrivateNetwork=) sees an empty table, and stations by their IP address.
    """

    def __init__(self, table: str = ARP, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = table
        self._clock = clock
        self._read = float("-inf")
        self._hardware: dict[str, str] = {}
        self._lock = threading.Lock()

    def station(self, address: str) -> str:
        """A name for the station that has this IP address."""
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            # nginx over a unix socket, or a test: all that come this way are one.
            return "unknown"
        if isinstance(ip, ipaddress.IPv6Address):
            if ip.ipv4_mapped is None:
                # A station chooses among all addresses of its /64 as it likes (RFC 8981).
                return str(ipaddress.ip_network((ip, 64), strict=False))
            ip = ip.ipv4_mapped
        with self._lock:
            if self._clock() - self._read >= FRESH_SECONDS:
                self._hardware = neighbours(self._path)
                self._read = self._clock()
            return self._hardware.get(str(ip), str(ip))


def neighbours(path: str = ARP) -> dict[str, str]:
    """Hardware addresses by IP address, from the kernel's table (proc(5)); nothing where it can't be read."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            # IP address, type, flags, hardware address, mask, device; a heading above.
            rows = [line.split() for line in file][1:]
    except OSError:
        return {}
    return {row[0]: row[3].lower() for row in rows if len(row) == 6 and row[3] != NO_HARDWARE}


class Limit:
    """So many at once, then so many a minute, for each key (a token bucket).

    burst: how many at once.
    per_minute: how many come back in a minute.
    most: keys that are remembered. The one that was quiet for longest is forgotten first.
    """

    def __init__(self, burst: int, per_minute: float, most: int = 4096,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._burst = burst
        self._rate = per_minute / 60
        self._most = most
        self._clock = clock
        # Left of the burst, and when that was so; keys in the order of their last use.
        self._left: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, key: str) -> float:
        """Takes one of the key's, and returns 0; or returns the seconds until there is one again."""
        with self._lock:
            now = self._clock()
            left, since = self._left.pop(key, (float(self._burst), now))
            left = min(self._burst, left + (now - since) * self._rate)
            if left >= 1:
                left -= 1
                wait = 0.0
            else:
                wait = (1 - left) / self._rate
            self._left[key] = (left, now)
            if len(self._left) > self._most:
                del self._left[next(iter(self._left))]
            return wait
