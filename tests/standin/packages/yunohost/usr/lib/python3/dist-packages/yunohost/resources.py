"""What an app's manifest asks for. Kinds that the stand-in does not know are refused, not left out."""

import os
import shutil
import subprocess

from moulinette import Error

from .permission import settings_of, write_settings
from .system import run


def provide(app, manifest):
    wanted = manifest.get("resources", {})
    for kind in wanted:
        if kind not in KINDS:
            raise Error(f"the stand-in has no resource {kind}")
    # In an order that is ours: directories belong to users.
    for kind, function in KINDS.items():
        if kind in wanted:
            settings = settings_of(app)
            function(app, wanted[kind], settings)
            write_settings(app, settings)


def _permissions(_app, wanted, settings):
    settings["_permissions"] = {}
    for name, said in wanted.items():
        first = settings.pop(f"init_{name}_permission", said.get("allowed", []))
        allowed = [first] if isinstance(first, str) else list(first)
        settings["_permissions"][name] = {
            "url": said.get("url"), "show_tile": said.get("show_tile", bool(said.get("url"))), "allowed": allowed,
            "auth_header": said.get("auth_header", True), "protected": said.get("protected", False)}


def _system_user(app, _wanted, _settings):
    if subprocess.run(["getent", "passwd", app], stdout=subprocess.DEVNULL).returncode != 0:
        run("useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", "--user-group", app)


def _install_dir(app, wanted, settings):
    settings["install_dir"] = wanted.get("dir", f"/var/www/{app}").replace("__APP__", app)
    os.makedirs(settings["install_dir"], mode=0o750, exist_ok=True)
    group = wanted.get("group", f"{app}:rx").partition(":")[0].replace("__APP__", app)
    owner = wanted.get("owner", f"{app}:rwx").partition(":")[0].replace("__APP__", app)
    shutil.chown(settings["install_dir"], owner, group)
    os.chmod(settings["install_dir"], 0o750)


def _data_dir(app, _wanted, settings):
    settings["data_dir"] = f"/home/yunohost.app/{app}"
    os.makedirs(settings["data_dir"], mode=0o750, exist_ok=True)


def _ports(_app, wanted, settings):
    taken = {str(settings_of(app).get(key)) for app in os.listdir("/etc/yunohost/apps") for key in settings_of(app)
             if key == "port" or key.startswith("port_")}
    for name, said in (wanted or {"main": {}}).items():
        port = said.get("default", 10000) if isinstance(said, dict) else said
        while str(port) in taken:
            port += 1
        settings["port" if name == "main" else f"port_{name}"] = port


def _apt(_app, wanted, _settings):
    """Packages must be there: a box without internet could not get them."""
    packages = wanted.get("packages", [])
    names = packages.replace(",", " ").split() if isinstance(packages, str) else packages
    for name in names:
        status = subprocess.run(["dpkg-query", "--show", "--showformat=${db:Status-Status}", name], capture_output=True,
                                text=True).stdout
        if status != "installed":
            raise Error(f"E: Unable to locate package {name}")


def take_away(app, manifest):
    settings = settings_of(app)
    if "install_dir" in settings:
        shutil.rmtree(settings["install_dir"], ignore_errors=True)
    if "system_user" in manifest.get("resources", {}):
        subprocess.run(["userdel", app], capture_output=True)


KINDS = {"apt": _apt, "system_user": _system_user, "install_dir": _install_dir, "data_dir": _data_dir, "ports": _ports,
         "permissions": _permissions}
