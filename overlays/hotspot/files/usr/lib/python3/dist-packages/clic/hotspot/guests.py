"""Who has pressed "Continue": kept here, since sign-in assistants keep no cookies."""

import dataclasses
import os
import time
from collections.abc import Callable

from clic.hotspot import settings as s

LEASES = f"{s.RUN}/dhcp/leases"

# Forgotten after an hour without a question. Phones ask again now and then, so those that stay are not bothered.
IDLE_SECONDS = 3600
# At most this long: an address can have been given to somebody else.
LONGEST_SECONDS = 12 * 3600
# More than any radio serves; a guest that invents addresses fills no memory.
MOST = 10000


class Leases:
    """Hardware addresses by IP address, from dnsmasq's file, which is read again when it changed."""

    def __init__(self, path: str = LEASES) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._found: dict[str, str] = {}

    def hardware(self, address: str) -> str | None:
        return self._all().get(address)

    def count(self) -> int:
        return len(self._all())

    def _all(self) -> dict[str, str]:
        try:
            info = os.stat(self._path)
            stamp = (info.st_mtime_ns, info.st_size, info.st_ino)
            if stamp != self._stamp:
                with open(self._path, encoding="utf-8", errors="replace") as file:
                    # Expiry, hardware address, IP address, name, client id.
                    rows = [line.split() for line in file]
                self._found = {row[2]: row[1] for row in rows if len(row) >= 4}
                self._stamp = stamp
        except OSError:
            self._stamp, self._found = None, {}
        return self._found


@dataclasses.dataclass
class Acceptance:
    hardware: str | None
    since: float
    last: float


class Guests:
    def __init__(self, leases: Leases, clock: Callable[[], float] = time.monotonic) -> None:
        self._leases = leases
        # Not the time of day, which a box without a battery learns later.
        self._clock = clock
        self._accepted: dict[str, Acceptance] = {}

    def accept(self, address: str) -> None:
        now = self._clock()
        if len(self._accepted) >= MOST:
            self._accepted = {
                guest: entry for guest, entry in self._accepted.items() if not self._over(entry, now)
            }
            while len(self._accepted) >= MOST:
                del self._accepted[next(iter(self._accepted))]
        self._accepted[address] = Acceptance(self._leases.hardware(address), now, now)

    def accepted(self, address: str) -> bool:
        """Whether this guest has accepted, which this question makes last longer."""
        entry = self._accepted.get(address)
        if entry is None:
            return False
        now = self._clock()
        # The same address for another device is another guest.
        if self._over(entry, now) or entry.hardware != self._leases.hardware(address):
            del self._accepted[address]
            return False
        entry.last = now
        return True

    @staticmethod
    def _over(entry: Acceptance, now: float) -> bool:
        return now - entry.last > IDLE_SECONDS or now - entry.since > LONGEST_SECONDS
