"""What the recipe set for the hotspot, and what follows from it."""

import dataclasses
import hashlib
import ipaddress
import os
import tomllib

SETTINGS = "/etc/clic/hotspot.toml"
PASSPHRASE = "/etc/clic/hotspot-passphrase"
# One name for each: other programs and overlays add theirs (see names.py).
NAMES_DIRECTORY = "/etc/clic/names.d"

# The bridge that the radio joins. It is there with its address from boot on, radio or not, so that nginx, dnsmasq and
# nftables need not know which radio it is, or when it comes.
BRIDGE = "hotspot0"

RUN = "/run/clic"

# What unknown names resolve to while guests have no internet: TEST-NET-2 (RFC 5737), which nobody has. Not a private
# address, since Android may take those for a sign that there is no internet to sign in to.
SPOOFED = "198.51.100.1"


@dataclasses.dataclass(frozen=True)
class Settings:
    ssid: str
    ssid_suffix: bool
    hidden: bool
    country: str
    band: str
    channel: int
    max_clients: int
    isolate: bool
    address: str
    domain: str
    share_uplink: bool
    uplink_check: str
    passphrase: str = ""

    @property
    def interface(self) -> ipaddress.IPv4Interface:
        return ipaddress.IPv4Interface(self.address)

    @property
    def gateway(self) -> str:
        return str(self.interface.ip)

    @property
    def dhcp_range(self) -> tuple[str, str]:
        """First and last address for guests. The first few are left for machines with a fixed one."""
        network = self.interface.network
        first = network.network_address + (10 if network.prefixlen <= 26 else 1)
        return str(first), str(network.broadcast_address - 1)

    def full_ssid(self, machine_id: str) -> str:
        """The wifi's name. The suffix tells devices of one recipe apart, and stays the same for a device.

        The machine's id itself is a secret (machine-id(5)), so the suffix is from a hash of it.
        """
        if not self.ssid_suffix:
            return self.ssid
        digest = hashlib.sha256(b"clic-hotspot:" + machine_id.strip().encode())
        return f"{self.ssid}-{digest.hexdigest()[:4].upper()}"


def load(path: str = SETTINGS, passphrase_path: str = PASSPHRASE) -> Settings:
    """The settings. The passphrase is left empty for those who may not read it."""
    with open(path, "rb") as file:
        values = tomllib.load(file)
    try:
        with open(passphrase_path, encoding="ascii") as file:
            values["passphrase"] = file.read().rstrip("\n")
    except PermissionError:
        pass
    return Settings(**values)


def machine_id() -> str:
    with open("/etc/machine-id", encoding="ascii") as file:
        return file.read()


def write_whole(path: str, text: str, mode: int = 0o644) -> None:
    """Readers see the old text or the new one, never half of it."""
    temporary = f"{path}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with open(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
    os.replace(temporary, path)
