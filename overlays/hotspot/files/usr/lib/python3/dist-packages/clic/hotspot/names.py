"""What dnsmasq is told: addresses for guests, and what names mean with and without internet."""

import glob
import ipaddress
import os
import re

from clic.hotspot import settings as s
from clic.hotspot.settings import Settings

NAME = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")


def own_names(settings: Settings, host: str, directory: str = s.NAMES_DIRECTORY) -> list[str]:
    """Names that are always the box itself, with everything below them.

    Overlays add theirs as files with a name on each line. What is no name is left out: it must not stop the others.
    """
    names = {settings.domain, f"{host}.local"}
    for path in sorted(glob.glob(f"{glob.escape(directory)}/*")):
        try:
            with open(path, encoding="utf-8") as file:
                lines = file.read(65536).lower().split("\n")
        except (OSError, UnicodeDecodeError) as error:
            print(f"names: {path} is left out: {error}", flush=True)
            continue
        for line in lines:
            name = line.split("#")[0].strip().rstrip(".")
            if NAME.fullmatch(name):
                names.add(name)
            elif name:
                print(f"names: {name[:80]!r} in {path} is no name", flush=True)
    return sorted(names)


def most_leases(settings: Settings) -> int:
    """How many addresses there are to give. In a large network: room for phones that change theirs at each visit."""
    first, last = map(ipaddress.IPv4Address, settings.dhcp_range)
    return min(4000, int(last) - int(first) + 1)


def is_crowded(settings: Settings, leases: int, was: bool) -> bool:
    """Whether addresses run short: more than half are given. It is over when less than a quarter are."""
    return leases > most_leases(settings) // (4 if was else 2)


def dnsmasq_conf(
    settings: Settings, host: str, online: bool, directory: str = s.NAMES_DIRECTORY, *, crowded: bool = False
) -> str:
    first, last = settings.dhcp_range
    lines = [
        # Only guests: systemd-resolved or another dnsmasq answers the box itself.
        f"interface={s.BRIDGE}",
        "except-interface=lo",
        # Takes what comes later, such as an address, and leaves other addresses to others.
        "bind-dynamic",
        "user=dnsmasq",
        # systemd knows it.
        "pid-file=",
        "no-hosts",
        "cache-size=1000",
        # The firewall leaves few to each station.
        "max-tcp-connections=60",
        # Questions that others have not answered yet: ten seconds of what the firewall lets two stations ask.
        "dns-forward-max=1000",
        f"domain={settings.domain}",
        # Two minutes are the shortest that dnsmasq knows. Who joins under a new address each time, over and over, has only
        # those of two minutes.
        f"dhcp-range={first},{last},{settings.interface.netmask},{'2m' if crowded else '1h'}",
        # One address for each station, whatever else it calls itself: the firewall sees to it that it asks for itself.
        "dhcp-ignore-clid",
        # Nor does it get a name: it could choose one of the box's, such as a service's, and be asked in its place.
        "dhcp-ignore-names",
        # On its own network: says no at once to a phone that asks for its address of elsewhere.
        "dhcp-authoritative",
        # Three seconds less for each phone that joins, and one does not wait for another: an address is chosen by the
        # hardware's, so that hardly two want the same, and phones look themselves whether it is free.
        "no-ping",
        f"dhcp-lease-max={most_leases(settings)}",
        # In memory: a box that lost its power gives a phone the address that it asks for again, and saves its card.
        f"dhcp-leasefile={s.RUN}/dhcp/leases",
        "quiet-dhcp",
        "log-facility=-",
    ]
    lines += [f"address=/{name}/{settings.gateway}" for name in own_names(settings, host, directory)]
    if online:
        lines += [
            f"resolv-file={upstream()}",
            # Ours are never asked outside.
            f"local=/{settings.domain}/",
        ]
    else:
        lines += [
            "no-resolv",
            f"address=/#/{s.SPOOFED}",
            # Windows looks for this pair before it believes in a network (NCSI).
            "address=/dns.msftncsi.com/131.107.255.255",
        ]
    return "\n".join(lines) + "\n"


def upstream(root: str = "/") -> str:
    """The file that names the servers which the box itself asks."""
    used = os.path.join(root, "etc/resolv.conf")
    # resolved's stub is one more hop, and answers only what is not under names such as .internal; beside it is its list of
    # real servers. Where resolved is switched off (YunoHost), the directory can outlive it.
    if os.path.basename(os.path.dirname(os.path.realpath(used))) != "resolve":
        return used
    return os.path.join(root, "run/systemd/resolve/resolv.conf")
