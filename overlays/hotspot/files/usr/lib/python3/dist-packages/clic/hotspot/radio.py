"""Radios: which there are, what they can do, and what hostapd is told about one."""

import collections
import dataclasses
import glob
import os
import re
import subprocess

from clic.hotspot.settings import Settings

# Band and number.
Channel = tuple[str, int]

# What a phone finds in most places without radar rules: the three channels of 2.4 GHz that do not overlap, then the
# lower and the upper 5 GHz channels that need no radar detection almost anywhere.
CHANNELS = {
    "2.4": (1, 6, 11),
    "5": (36, 40, 44, 48, 149, 153, 157, 161),
}


@dataclasses.dataclass(frozen=True)
class Radio:
    phy: str
    interface: str
    can_ap: bool = False
    channels: tuple[Channel, ...] = ()
    """Channels that may be used without waiting for a radar."""
    ht: tuple[str, ...] = ()
    """Bands where it knows 802.11n."""
    vht: bool = False
    sae: bool = False


def interfaces(sys: str = "/sys") -> list[tuple[str, str]]:
    """Pairs of wiphy and network interface, by interface's name."""
    found = []
    for path in sorted(glob.glob(f"{sys}/class/net/*/phy80211/name")):
        try:
            with open(path, encoding="ascii") as file:
                found.append((file.read().strip(), path.split("/")[-3]))
        except OSError:
            # It was unplugged meanwhile.
            continue
    return found


def parse(phy: str, interface: str, text: str) -> Radio:
    """Reads what `iw phy PHY info` says."""
    modes = re.search(r"Supported interface modes:\n((?:\t\t \* .*\n)*)", text)
    can_ap = modes is not None and re.search(r"\* AP$", modes[1], re.MULTILINE) is not None
    channels: list[Channel] = []
    ht: list[str] = []
    vht = False
    for rest_of_text in re.split(r"^\tBand \d+:\n", text, flags=re.MULTILINE)[1:]:
        part = re.split(r"^\t\S", rest_of_text, maxsplit=1, flags=re.MULTILINE)[0]
        bands = set()
        for mhz, number, rest in re.findall(r"\* (\d+)(?:\.\d+)? MHz \[(\d+)\](.*)", part):
            band = "2.4" if int(mhz) < 3000 else "5" if int(mhz) < 5925 else None
            if band is None:
                continue
            bands.add(band)
            if not re.search(r"disabled|no IR|radar detection", rest):
                channels.append((band, int(number)))
        if re.search(r"\bHT20\b", part):
            ht += bands
        vht = vht or ("5" in bands and "VHT Capabilities" in part)
    return Radio(
        phy=phy,
        interface=interface,
        can_ap=can_ap,
        channels=tuple(channels),
        ht=tuple(ht),
        vht=vht,
        sae="SAE with AUTHENTICATE command" in text,
    )


def iw(*words: str, timeout: float = 10) -> str:
    """Output of `iw`, empty when it fails: a radio can vanish at any moment."""
    try:
        done = subprocess.run(
            ["iw", *words], capture_output=True, timeout=timeout, encoding="utf-8", errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def find() -> list[Radio]:
    """All radios with a network interface. The first that can do most is first."""
    radios = [parse(phy, interface, iw("phy", phy, "info")) for phy, interface in interfaces()]
    return sorted(radios, key=lambda radio: (not radio.can_ap, -len(radio.channels)))


def unblock(sys: str = "/sys") -> None:
    """Lifts the software switch of every radio, which some boards start with."""
    for path in glob.glob(f"{sys}/class/rfkill/rfkill*"):
        try:
            with open(f"{path}/type", encoding="ascii") as file:
                if file.read().strip() != "wlan":
                    continue
            with open(f"{path}/soft", "w", encoding="ascii") as file:
                file.write("0")
        except OSError:
            continue


def neighbours(interface: str) -> collections.Counter[Channel]:
    """How many networks are heard on each channel, as (band, channel). Empty when the radio can't listen."""
    try:
        subprocess.run(["ip", "link", "set", interface, "up"], capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return collections.Counter()
    return heard(iw("dev", interface, "scan", timeout=20))


def heard(text: str) -> collections.Counter[Channel]:
    """Reads what `iw dev INTERFACE scan` says."""
    counter: collections.Counter[Channel] = collections.Counter()
    for mhz in map(int, re.findall(r"^\tfreq: (\d+)", text, flags=re.MULTILINE)):
        if 2412 <= mhz <= 2472:
            counter["2.4", (mhz - 2407) // 5] += 1
        elif 5180 <= mhz <= 5885:
            counter["5", (mhz - 5000) // 5] += 1
    return counter


def attempts(radio: Radio, settings: Settings, around: collections.Counter[Channel] | None = None) -> list[Channel]:
    """What to try, best first, as (band, channel): a channel that does not work is followed by the next."""
    around = around or collections.Counter()

    def crowd(attempt: Channel) -> int:
        band, channel = attempt
        # Channels of 2.4 GHz are 5 MHz apart and 20 MHz wide.
        reach = 3 if band == "2.4" else 0
        return sum(around[band, channel + offset] for offset in range(-reach, reach + 1))

    bands = {"auto": ("2.4", "5"), "2.4": ("2.4", "5"), "5": ("5", "2.4")}[settings.band]
    order = []
    if settings.channel:
        order.append(("2.4" if settings.channel <= 14 else "5", settings.channel))
    for band in bands:
        usable = [(band, channel) for channel in CHANNELS[band] if (band, channel) in radio.channels]
        order += sorted(usable, key=crowd)
    return list(dict.fromkeys(order))


def hostapd_conf(radio: Radio, settings: Settings, ssid: str, band: str, channel: int, control: str) -> str:
    """The configuration for one attempt. 20 MHz wide: small boxes serve many phones, not one fast one."""
    lines = [
        f"interface={radio.interface}",
        "bridge=hotspot0",
        "driver=nl80211",
        f"ctrl_interface={control}",
        # Hexadecimal: any byte that a name can have, and no way out of the line.
        f"ssid2={ssid.encode().hex()}",
        "utf8_ssid=1",
        f"country_code={settings.country}",
        "ieee80211d=1",
        f"hw_mode={'g' if band == '2.4' else 'a'}",
        f"channel={channel}",
        f"max_num_sta={settings.max_clients}",
        f"ap_isolate={int(settings.isolate)}",
        f"ignore_broadcast_ssid={int(settings.hidden)}",
        # Phones that went away make room for others.
        "ap_max_inactivity=300",
        "disassoc_low_ack=1",
    ]
    if band in radio.ht:
        lines += ["ieee80211n=1", "wmm_enabled=1"]
    if band == "5" and radio.vht:
        lines += ["ieee80211ac=1", "vht_oper_chwidth=0"]
    if settings.passphrase:
        lines += ["wpa=2", "rsn_pairwise=CCMP", f"wpa_passphrase={settings.passphrase}"]
        if radio.sae:
            # WPA3 for those who know it, WPA2 for the others.
            lines += ["wpa_key_mgmt=WPA-PSK SAE", "ieee80211w=1", "sae_require_mfp=1"]
        else:
            lines += ["wpa_key_mgmt=WPA-PSK"]
    return "\n".join(lines) + "\n"


def address(interface: str, sys: str = "/sys") -> str:
    """An interface's hardware address, as a line; nothing while there is no such interface."""
    try:
        with open(f"{sys}/class/net/{interface}/address", encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""


def exists(interface: str, sys: str = "/sys") -> bool:
    return os.path.exists(f"{sys}/class/net/{interface}")
