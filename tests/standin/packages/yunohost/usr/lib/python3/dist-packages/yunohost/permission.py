"""Who may use which app. Kept in the app's settings."""

import os

from moulinette import Error

from .system import read_yaml, write_yaml
from .user import GROUPS, list_all as users

APPS = "/etc/yunohost/apps"


def settings_of(app):
    return read_yaml(f"{APPS}/{app}/settings.yml")


def write_settings(app, settings):
    write_yaml(f"{APPS}/{app}/settings.yml", settings, 0o400)


def installed():
    return sorted(name for name in os.listdir(APPS) if os.path.exists(f"{APPS}/{name}/settings.yml"))


def all_of(app):
    """An app's permissions by their full names, with whole addresses."""
    settings, found = settings_of(app), {}
    base = f"{settings.get('domain', '')}{settings.get('path', '').rstrip('/')}"
    for name, kept in settings.get("_permissions", {}).items():
        url = kept.get("url")
        found[f"{app}.{name}"] = {
            "label": kept.get("label") or settings.get("label") or app.title(), "url": url and f"{base}{url}".rstrip("/"),
            "additional_urls": [], "auth_header": kept.get("auth_header", True), "show_tile": kept.get("show_tile", bool(url)),
            "protected": kept.get("protected", False), "allowed": kept.get("allowed", [])}
    return found


def list_all(apps=(), full=False):
    found = {}
    for app in apps or installed():
        for name, permission in all_of(app).items():
            found[name] = permission if full else {key: permission[key] for key in ("label", "url", "allowed")}
    return {"permissions": found}


def info(permission):
    name = permission if "." in permission else f"{permission}.main"
    try:
        return all_of(name.partition(".")[0])[name]
    except KeyError:
        raise Error(f"Permission '{name}' not found") from None


def _change(permission, **changes):
    from . import app

    info(permission)
    name, _, part = permission.partition(".")
    settings = settings_of(name)
    settings["_permissions"][part or "main"].update(changes)
    write_settings(name, settings)
    app.ssowatconf()
    return info(permission)


def update(permission, label=None, show_tile=None):
    changes = {"label": label} if label else {}
    if show_tile:
        changes["show_tile"] = show_tile == "True"
    return _change(permission, **changes)


def add(permission, names):
    known = {*GROUPS, *users()["users"]}
    for name in names:
        if name not in known:
            raise Error(f"The group '{name}' is unknown")
    there = info(permission)
    if there["protected"] and "visitors" in names:
        raise Error(f"Permission {permission} is protected. You cannot add or remove the visitors group")
    return _change(permission, allowed=[*there["allowed"], *(name for name in names if name not in there["allowed"])])


def remove(permission, names):
    return _change(permission, allowed=[name for name in info(permission)["allowed"] if name not in names])
