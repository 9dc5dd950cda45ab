"""Draws the QR code that joins the wifi: /run/clic/wifi.svg.

The builder draws it where it knows the wifi's name. This is for devices whose name has an ending of their own, which the
hotspot says in /run/clic/status.json.
"""

import json
import os
import subprocess
import sys
import tomllib

STATUS = "/run/clic/status.json"
SETTINGS = "/etc/clic/hotspot.toml"
PASSPHRASE = "/etc/clic/hotspot-passphrase"
DRAWING = "/run/clic/wifi.svg"


def quote(text: str) -> str:
    """Characters that mean something in such a text get a backslash."""
    return "".join(f"\\{char}" if char in '\\;,:"' else char for char in text)


def text(ssid: str, security: str, hidden: bool = False, passphrase: str | None = None) -> str | None:
    """What a phone's camera takes for a wifi to join, or None if the passphrase is not for everybody."""
    ending = "H:true;;" if hidden else ";"
    if security == "open":
        return f"WIFI:T:nopass;S:{quote(ssid)};{ending}"
    if not passphrase:
        return None
    return f"WIFI:T:WPA;S:{quote(ssid)};P:{quote(passphrase)};{ending}"


def draw(code: str) -> bytes:
    """The code as SVG: with the light border that scanners need, and room for a scratch on the screen (level M)."""
    done = subprocess.run(
        ["qrencode", "--8bit", "--type=SVG", "--svg-path", "--level=M", "--margin=4", "--output=-"],
        input=code.encode(), capture_output=True, timeout=20, check=True)
    return done.stdout


def write_whole(path: str, data: bytes) -> None:
    with open(f"{path}.new", "wb") as file:
        file.write(data)
        os.fchmod(file.fileno(), 0o644)
    os.replace(f"{path}.new", path)


def main(shows_passphrase: bool) -> None:
    with open(STATUS, encoding="utf-8") as file:
        hotspot = json.load(file)["hotspot"]
    with open(SETTINGS, "rb") as file:
        hidden = tomllib.load(file).get("hidden", False)
    passphrase = None
    if shows_passphrase:
        with open(PASSPHRASE, encoding="ascii") as file:
            passphrase = file.read().rstrip("\n")
    code = text(hotspot["ssid"], hotspot["security"], hidden, passphrase)
    if code is None:
        print("no code: the passphrase is not for everybody")
        return
    write_whole(DRAWING, draw(code))


if __name__ == "__main__":
    main("--passphrase" in sys.argv[1:])
