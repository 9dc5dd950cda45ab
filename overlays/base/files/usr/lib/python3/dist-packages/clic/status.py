"""What every part of the box can say of it: memory, disk, how long it runs, and whether its clock can be believed."""

import os


def memory(path: str = "/proc/meminfo") -> dict[str, int]:
    """Total and available memory in bytes."""
    values = {}
    with open(path, encoding="ascii") as file:
        for line in file:
            name, _, rest = line.partition(":")
            if name in ("MemTotal", "MemAvailable"):
                values[name] = int(rest.split()[0]) * 1024
    return {"total": values.get("MemTotal", 0), "available": values.get("MemAvailable", 0)}


def disk(path: str = "/") -> dict[str, int]:
    """Size and free space in bytes, as an ordinary program sees them."""
    info = os.statvfs(path)
    return {"size": info.f_blocks * info.f_frsize, "free": info.f_bavail * info.f_frsize}


def uptime(path: str = "/proc/uptime") -> int:
    """Seconds since boot."""
    with open(path, encoding="ascii") as file:
        return int(float(file.read().split()[0]))


def clock_set(now: float, made: str, root: str = "/") -> bool:
    """Whether the time can be believed: it was asked of the network since boot, or a battery kept it.

    Without either, systemd starts at the time when it last ran, or when it was built: later than 1970, but not now.
    `made` is a file that is as old as the image, below `root`: a clock with an empty battery is before that.
    """
    if os.path.exists(os.path.join(root, "run/systemd/timesync/synchronized")):
        return True
    try:
        oldest = os.stat(os.path.join(root, made)).st_mtime
        with open(os.path.join(root, "sys/class/rtc/rtc0/since_epoch"), encoding="ascii") as file:
            kept = int(file.read())
    except (OSError, ValueError):
        return False
    return kept > oldest and abs(kept - now) < 86400
