"""Frames as any guest can send them, true or not (RFC 826, RFC 2131): for checks of what the box believes."""

import ipaddress
import os
import socket
import struct
import time
from collections.abc import Iterator

EVERYBODY = b"\xff" * 6
NOBODY = bytes(6)
IPV4, ARP, VLAN = 0x0800, 0x0806, 0x8100
REQUEST, REPLY = 1, 2
DISCOVER, OFFER, DHCP_REQUEST, DECLINE, ACK = 1, 2, 3, 4, 5
MESSAGE, SERVER, WANTED, NAME, IDENTIFIER = 53, 54, 50, 12, 61


class Link:
    """A network interface, below IP."""

    def __init__(self, name: str) -> None:
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
        self.socket.bind((name, 0))
        self.hardware: bytes = self.socket.getsockname()[4]

    def send(self, payload: bytes, kind: int = IPV4, to: bytes = EVERYBODY) -> None:
        self.socket.send(to + self.hardware + struct.pack(">H", kind) + payload)

    def receive(self, seconds: float) -> Iterator[bytes]:
        """What others send, for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                frame = self.socket.recv(65536)
            except TimeoutError:
                return
            if frame[6:12] != self.hardware:
                yield frame


def packed(address: str) -> bytes:
    return ipaddress.IPv4Address(address).packed


def made_up() -> bytes:
    """A hardware address of nobody: locally administered, of one station."""
    return b"\x02" + os.urandom(5)


def arp(operation: int, hardware: bytes, address: str, target: str) -> bytes:
    """`address` is at `hardware`, and who is `target`?"""
    return struct.pack(">HHBBH", 1, IPV4, 6, 4, operation) + hardware + packed(address) + NOBODY + packed(target)


def udp(source: tuple[str, int], to: tuple[str, int], data: bytes) -> bytes:
    """An IPv4 packet. Without UDP's checksum, which is allowed (RFC 768)."""
    length = 8 + len(data)
    ends = packed(source[0]) + packed(to[0])
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + length, 0, 0, 64, socket.IPPROTO_UDP, 0) + ends
    total = sum(struct.unpack(">10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack(">H", ~(total + (total >> 16)) & 0xFFFF) + head[12:]
    return head + struct.pack(">HHHH", source[1], to[1], length, 0) + data


def tagged(kind: int) -> bytes:
    """What stands before a payload of this kind in a frame of kind 8021Q: no VLAN, which is taken as if there were no tag."""
    return struct.pack(">HH", 0, kind)


def pieces(packet: bytes, source: str, to: str) -> list[bytes]:
    """The same packet from and to other addresses, in fragments (RFC 791), of which the first has hardly more than ports."""
    found = []
    data, ends = packet[20:], packed(source) + packed(to)
    for place in (slice(0, 16), slice(16, None)):
        part = data[place]
        more = 0x2000 if place.stop else 0
        head = struct.pack(">BBHHHBB", 0x45, 0, 20 + len(part), 1, more | (place.start // 8), 64, packet[9])
        total = sum(struct.unpack(">9H", head + ends))
        total = (total & 0xFFFF) + (total >> 16)
        found.append(head + struct.pack(">H", ~(total + (total >> 16)) & 0xFFFF) + ends + part)
    return found


def dhcp(kind: int, number: int, hardware: bytes, options: dict[int, bytes], relay: str = "0.0.0.0",
         last: bool = False) -> bytes:
    """A question to the DHCP server, as a system without an address asks it, whose answer comes by broadcast.

    last: its kind is behind the other options, not before them.
    """
    fixed = struct.pack(">BBBBIHH12x", 1, 1, 6, 0, number, 0, 0x8000) + packed(relay) + hardware.ljust(208, b"\0")
    said = {MESSAGE: bytes([kind])}
    rest = b"".join(bytes([key, len(value)]) + value for key, value in (options | said if last else said | options).items())
    return udp(("0.0.0.0", 68), ("255.255.255.255", 67), fixed[:236] + b"\x63\x82\x53\x63" + rest + b"\xff")


def dhcp_answer(frame: bytes) -> tuple[int, int, str, bytes] | None:
    """A DHCP server's answer: its kind, the question's number, the address, and the server."""
    if frame[12:14] != struct.pack(">H", IPV4) or frame[23] != socket.IPPROTO_UDP or frame[34:36] != b"\x00\x43":
        return None
    data = frame[42:]
    number, options, rest = int.from_bytes(data[4:8], "big"), {}, data[240:]
    while len(rest) > 2 and rest[0] != 255:
        options[rest[0]] = rest[2 : 2 + rest[1]]
        rest = rest[2 + rest[1]:]
    address = str(ipaddress.IPv4Address(data[16:20]))
    return options.get(MESSAGE, b"\0")[0], number, address, options.get(SERVER, b"")
