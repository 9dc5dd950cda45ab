"""What the hotspot says of itself and of the box: /run/clic/status.json, for the portal and for checks."""

import json
import time
from collections.abc import Mapping

from clic import status as box
from clic.hotspot import settings as s

PATH = f"{s.RUN}/status.json"


def collect(hotspot: Mapping[str, object], uplink: object) -> dict[str, object]:
    now = time.time()
    return {
        "time": int(now),
        "clock_set": box.clock_set(now, s.SETTINGS.removeprefix("/")),
        "hotspot": hotspot,
        "uplink": uplink,
        "disk": box.disk(),
        "memory": box.memory(),
        "uptime": box.uptime(),
    }


def write(report: Mapping[str, object], path: str = PATH) -> None:
    s.write_whole(path, json.dumps(report, ensure_ascii=False) + "\n")
