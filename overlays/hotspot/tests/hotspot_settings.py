"""Settings to try the hotspot with."""

from typing import Any

from clic.hotspot import settings as s


def settings(**changes: Any) -> s.Settings:
    values: dict[str, Any] = {
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
