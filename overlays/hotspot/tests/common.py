"""The overlay's programs, as the tests import them, and settings to try them with."""

import os
import shutil
import sys

sys.dont_write_bytecode = True
FILES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "files")
sys.path.insert(0, os.path.join(FILES, "usr/lib/clic/hotspot"))

import settings as s  # noqa: E402

# An ordinary user's PATH leaves out where Debian puts servers.
os.environ["PATH"] += ":/usr/sbin:/sbin"


def settings(**changes):
    values = {
        "ssid": "CLIC",
        "ssid_suffix": True,
        "hidden": False,
        "country": "FR",
        "band": "auto",
        "channel": 0,
        "max_clients": 50,
        "isolate": True,
        "address": "10.42.0.1/16",
        "domain": "clic.internal",
        "share_uplink": False,
        "uplink_check": "",
    }
    return s.Settings(**(values | changes))


def needed(program):
    """A missing program fails a test: one that is left out proves nothing."""
    found = shutil.which(program)
    if not found:
        raise AssertionError(f"{program} is not installed: apt-get install hostapd dnsmasq-base")
    return found
