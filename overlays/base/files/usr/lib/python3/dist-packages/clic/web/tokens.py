"""Form tokens: a form comes from a page that this service gave to the same station, under the same name, not long ago.

Sign-in windows keep no cookies, so the token is in the form alone, and says nothing about who somebody is.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path

# People who read or write slowly need their time (WCAG 2.2.1: twenty hours).
LIFETIME = 24 * 3600
SECRET_BYTES = 32

TOKEN = re.compile(r"([0-9a-f]{1,16})-([0-9a-f]{64})", re.ASCII)


def since_boot() -> float:
    """Seconds since boot. Not the time of day, which a box without a battery learns later."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Tokens:
    """Makes form tokens, and tells its own from others."""

    def __init__(self, secret: bytes, clock: Callable[[], float] = since_boot) -> None:
        if len(secret) < SECRET_BYTES:
            raise ValueError(f"a secret of {len(secret)} bytes is too short: {SECRET_BYTES} are needed")
        self._secret = secret
        self._clock = clock

    @classmethod
    def in_memory(cls) -> Tokens:
        """Tokens that end with this process: for a service that never goes."""
        return cls(secrets.token_bytes(SECRET_BYTES))

    @classmethod
    def kept(cls, path: str | Path) -> Tokens:
        """Tokens whose secret is in a file below /run, made when it is missing: for a service that goes when idle.

        Not on the disk: a token's age is counted from boot, and what is on a disk can get into an image.
        """
        if not (secret := _read(path)):
            temporary = f"{path}.{os.getpid()}"
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "wb") as file:
                file.write(secrets.token_bytes(SECRET_BYTES))
            try:
                # Of two that begin at once, one wins, and both read its secret.
                os.link(temporary, path)
            except FileExistsError:
                pass
            finally:
                os.unlink(temporary)
            secret = _read(path)
        return cls(secret)

    def make(self, host: str, station: str) -> str:
        """A token for the forms of a page that this station gets under this host name."""
        moment = f"{int(self._clock()):x}"
        return f"{moment}-{self._sign(moment, host, station)}"

    def good(self, token: str, host: str, station: str) -> bool:
        """Whether the token was made here, for this host and station, and is not too old."""
        found = TOKEN.fullmatch(token)
        if not found:
            return False
        moment, signature = found.groups()
        # In the same time whether it is nearly right or not at all.
        mine = hmac.compare_digest(signature, self._sign(moment, host, station))
        return mine and 0 <= int(self._clock()) - int(moment, 16) <= LIFETIME

    def _sign(self, *parts: str) -> str:
        # With its length before each part: no two lists of parts are signed as the same bytes.
        text = "".join(f"{len(part)}:{part}" for part in parts)
        return hmac.new(self._secret, text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


def _read(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        return b""
