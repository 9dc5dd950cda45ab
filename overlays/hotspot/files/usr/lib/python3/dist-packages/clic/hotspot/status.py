"""What the box says of itself: /run/clic/status.json, for the portal and for checks."""

import json
import os
import time

from clic.hotspot import settings as s

PATH = f"{s.RUN}/status.json"


def memory(path="/proc/meminfo"):
    """Total and available memory in bytes."""
    values = {}
    with open(path, encoding="ascii") as file:
        for line in file:
            name, _, rest = line.partition(":")
            if name in ("MemTotal", "MemAvailable"):
                values[name] = int(rest.split()[0]) * 1024
    return {"total": values.get("MemTotal", 0), "available": values.get("MemAvailable", 0)}


def disk(path="/"):
    """Size and free space in bytes, as an ordinary program sees them."""
    info = os.statvfs(path)
    return {"size": info.f_blocks * info.f_frsize, "free": info.f_bavail * info.f_frsize}


def uptime(path="/proc/uptime"):
    with open(path, encoding="ascii") as file:
        return int(float(file.read().split()[0]))


def clock_set(now, root="/"):
    """Whether the time can be believed: it was asked of the network since boot, or a battery kept it.

    Without either, systemd starts at the time when it last ran, or when it was built: later than 1970, but not now.
    """
    if os.path.exists(os.path.join(root, "run/systemd/timesync/synchronized")):
        return True
    try:
        # When this image was made: a clock with an empty battery is before that.
        made = os.stat(os.path.join(root, "etc/clic/hotspot.toml")).st_mtime
        with open(os.path.join(root, "sys/class/rtc/rtc0/since_epoch"), encoding="ascii") as file:
            kept = int(file.read())
    except (OSError, ValueError):
        return False
    return kept > made and abs(kept - now) < 86400


def collect(hotspot, uplink):
    now = time.time()
    return {
        "time": int(now),
        "clock_set": clock_set(now),
        "hotspot": hotspot,
        "uplink": uplink,
        "disk": disk(),
        "memory": memory(),
        "uptime": uptime(),
    }


def write(report, path=PATH):
    s.write_whole(path, json.dumps(report, ensure_ascii=False) + "\n")
