"""A guest of the hotspot, for hotspot.py: run in the guest's network namespace, prints one JSON value."""

import collections
import contextlib
import functools
import http.client
import ipaddress
import json
import os
import random
import select
import socket
import ssl
import struct
import subprocess
import sys
import time
import urllib.parse
from typing import Any

# An emulated processor is slow, and a hundred guests are many.
TIMEOUT = 30

DHCP_EVENT = "/usr/lib/clic/checks/dhcp-event"


def interface() -> str:
    return next(name for name in sorted(os.listdir("/sys/class/net")) if name not in ("lo", "hwsim0"))


def associated() -> bool:
    done = subprocess.run(["iw", "dev", interface(), "link"], capture_output=True, text=True)
    return "Connected to" in done.stdout


def lease() -> dict[str, str]:
    """An address by DHCP (RFC 2131), asked for as a system without an address does, and set."""
    name = interface()
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    done = subprocess.run(
        ["udhcpc", "-i", name, "-n", "-q", "-f", "-t", "10", "-T", "1", "-s", DHCP_EVENT],
        capture_output=True, text=True, timeout=40,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("bound ")]
    if not lines:
        sys.exit(f"no lease: {done.stderr.strip()[-300:]}")
    _, ip, prefix, router, dns, domain = lines[-1].split(" ")
    subprocess.run(["ip", "-4", "address", "flush", "dev", name], check=True)
    subprocess.run(["ip", "address", "add", f"{ip}/{prefix}", "dev", name], check=True)
    subprocess.run(["ip", "route", "replace", "default", "via", router], check=True)
    return {"ip": ip, "router": router, "dns": dns, "domain": domain}


def address() -> str:
    done = subprocess.run(["ip", "-4", "-json", "address", "show", "dev", interface()], capture_output=True, text=True)
    return str(json.loads(done.stdout)[0]["addr_info"][0]["local"])


@functools.cache
def server() -> str:
    """The name server: the router, as the lease said."""
    done = subprocess.run(["ip", "-4", "-json", "route", "show", "default"], capture_output=True, text=True)
    return str(json.loads(done.stdout)[0]["gateway"])


def resolve(name: str, at: str, source: str = "") -> dict[str, Any]:
    """Asks for IPv4 addresses (RFC 1035)."""
    number = random.randrange(65536)
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    question = struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + labels + struct.pack(">2H", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.settimeout(3)
        asked.bind((source, 0))
        asked.connect((at, 53))
        for last in (False, False, False, True):
            asked.send(question)
            try:
                answer = asked.recv(4096)
                break
            except TimeoutError:
                if last:
                    raise
    got, flags, _, count = struct.unpack(">4H", answer[:8])
    if got != number:
        raise OSError("an answer to another question")
    place, addresses, ttl = 12 + len(labels) + 4, [], None
    for _ in range(count):
        # A pointer to the question's name.
        kind, _, ttl, size = struct.unpack(">2HIH", answer[place + 2 : place + 12])
        if kind == 1:
            addresses.append(socket.inet_ntoa(answer[place + 12 : place + 12 + size]))
        place += 12 + size
    return {"code": flags & 15, "addresses": addresses, "ttl": ttl}


def request(method: str, url: str, source: str = "", timeout: float = TIMEOUT) -> dict[str, Any]:
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or ""
    try:
        where = str(ipaddress.ip_address(host))
    except ValueError:
        found = resolve(host, server(), source)["addresses"]
        if not found:
            raise OSError(f"{host} has no address") from None
        where = found[0]
    bound = (source, 0) if source else None
    connection = http.client.HTTPConnection(where, 80, timeout, bound)
    if parts.scheme == "https":
        # The box vouches for itself.
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(where, 443, timeout=timeout, source_address=bound, context=context)
    try:
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), headers={"Host": host})
        answer = connection.getresponse()
        body = answer.read(1 << 20).decode("utf-8", "replace")
        return {"status": answer.status, "location": answer.headers.get("Location", ""), "body": body}
    finally:
        connection.close()


def get(url: str) -> dict[str, Any]:
    return request("GET", url)


def post(url: str) -> dict[str, Any]:
    return request("POST", url)


def connect(where: str, port: str) -> dict[str, Any]:
    begun = time.monotonic()
    with socket.socket() as tried:
        tried.settimeout(5)
        try:
            tried.connect((where, int(port)))
            result = "connected"
        except ConnectionRefusedError:
            result = "refused"
        except OSError as error:
            result = str(error)
    return {"result": result, "seconds": round(time.monotonic() - begun, 3)}


def route(where: str, via: str) -> bool:
    """Sends what is for one address by way of another."""
    subprocess.run(["ip", "route", "replace", f"{where}/32", "via", via], check=True)
    return True


def unroute(where: str) -> bool:
    subprocess.run(["ip", "route", "delete", f"{where}/32"], check=False, capture_output=True)
    return True


def listen(port: str) -> None:
    """Accepts connections until it is ended."""
    with socket.create_server(("", int(port))) as listening:
        print("true", flush=True)
        while True:
            listening.accept()[0].close()


def pour(at: str, path: str) -> dict[str, int]:
    """Asks as fast as the server reads, without waiting for answers, until one is refused or half a minute is over: how often
    each status came. A slow processor can't be asked fast enough one answer after the other."""
    ask = f"HEAD {path} HTTP/1.1\r\nHost: {at}\r\n"
    codes: collections.Counter[str] = collections.Counter()
    end = time.monotonic() + 30
    while "429" not in codes and time.monotonic() < end:
        with socket.create_connection((at, 80), timeout=30) as one, one.makefile("rb") as answers:
            one.sendall(f"{ask}\r\n".encode() * 199 + f"{ask}Connection: close\r\n\r\n".encode())
            codes.update(line.split()[1].decode() for line in answers if line.startswith(b"HTTP/1.1 "))
    return dict(codes)


def hold(domain: str, other: str) -> dict[str, Any]:
    """Opens connections and says nothing; meanwhile the other guest opens the page; then asks as fast as it can."""
    at = resolve(domain, server())["addresses"][0]
    held = []
    for _ in range(200):
        one = socket.socket()
        one.settimeout(0.3)
        try:
            one.connect((at, 80))
            one.send(b"GET / HTTP/1.1\r\nHost: ")
            held.append(one)
        except OSError:
            one.close()
    begun = time.monotonic()
    done = subprocess.run(
        ["ip", "netns", "exec", other, sys.executable, "-IB", "-m", "clic.checks.guest", "get", f"http://{domain}/"],
        capture_output=True, text=True, timeout=60,
    )
    seconds = time.monotonic() - begun
    if done.returncode or json.loads(done.stdout)["status"] != 200:
        sys.exit(f"the other guest is kept out: {done.stdout[:200]} {done.stderr[-200:]}")
    count = len(held)
    for one in held:
        one.close()
    time.sleep(0.5)
    return {"held": count, "others-page-seconds": round(seconds, 3), "codes": pour(at, "/content/not-there")}


def slow(domain: str) -> dict[str, float | None]:
    """Connections that get nowhere, ten of each kind: after how many seconds the box had ended each kind, or null."""
    at = resolve(domain, server())["addresses"][0]
    head = f"Host: {domain}\r\n"
    kinds = {
        # One byte each second, for hours.
        "head": f"GET / HTTP/1.1\r\n{head}X: ",
        "body": f"POST /captive/continue HTTP/1.1\r\n{head}Content-Length: 1000\r\n\r\nx",
        # Asks for the page a thousand times, and reads none of them.
        "answer": f"GET / HTTP/1.1\r\n{head}\r\n" * 1000,
    }
    poll, kind_of, sockets, ended = select.poll(), {}, [], dict.fromkeys(kinds, 0.0)
    for kind, text in kinds.items():
        for _ in range(10):
            one = socket.socket()
            # So that little fits between the box and the one who does not read.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.settimeout(TIMEOUT)
            one.connect((at, 80))
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                one.send(text.encode())
            # Only ends and resets: what has come is left unread.
            poll.register(one, select.POLLRDHUP)
            sockets.append(one)
            kind_of[one.fileno()] = kind
    print("true", flush=True)
    begun = time.monotonic()
    while kind_of and time.monotonic() - begun < 100:
        for number, _ in poll.poll(1000):
            poll.unregister(number)
            kind = kind_of.pop(number)
            ended[kind] = round(time.monotonic() - begun, 1)
        for one in sockets:
            if kind_of.get(one.fileno()) == "head":
                with contextlib.suppress(OSError):
                    one.send(b"x")
    return ended | dict.fromkeys(kind_of.values())


def ask_slowly(at: str, count: str) -> int:
    """Holds connections to the name server, of which each would keep one of its few places: how many it got."""
    held = []
    for _ in range(int(count)):
        one = socket.socket()
        one.settimeout(3)
        try:
            one.connect((at, 53))
            held.append(one)
        except OSError:
            one.close()
    return len(held)


def visit(url: str, seconds: str) -> dict[str, float]:
    """Opens a page over and over, until it has been away and is there again: for how long it was away."""
    end, away = time.monotonic() + float(seconds), False
    seen: float | None = None
    while time.monotonic() < end:
        try:
            there = request("GET", url, timeout=5)["status"] == 200
        except (OSError, http.client.HTTPException):
            there = False
        now = time.monotonic()
        if there and away and seen is not None:
            return {"seconds-away": round(now - seen, 1)}
        if there and seen is None:
            print("true", flush=True)
        if there:
            seen = now
        else:
            away = seen is not None
        time.sleep(0.2)
    sys.exit(f"{url} {'did not come back' if away else 'was not away'} within {seconds} s")


ACTIONS = {
    action.__name__: action
    for action in (
        interface, associated, lease, address, resolve, get, post, connect, route, unroute, listen, hold, slow,
        ask_slowly, visit
    )
}

if __name__ == "__main__":
    try:
        print(json.dumps(ACTIONS[sys.argv[1]](*sys.argv[2:])))
    except (OSError, http.client.HTTPException) as error:
        sys.exit(f"{' '.join(sys.argv[1:])}: {error!r}")
