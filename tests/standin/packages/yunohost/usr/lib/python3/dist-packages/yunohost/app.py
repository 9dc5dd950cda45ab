"""Apps: from a folder or an archive that is there, by its own scripts (packaging format 2)."""

import glob
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import tomllib
import urllib.parse

from moulinette import Error

from . import domain as domains, permission, resources, tools
from .permission import APPS, installed, settings_of, write_settings
from .system import hooks, write

CATALOGS = "/var/cache/yunohost/repo"
KEPT = ("manifest.toml", "scripts", "conf", "doc")


def catalog():
    """The list of apps. Without it nothing can be said of apps, not even of those that are there."""
    path = f"{CATALOGS}/default.json"
    if not os.path.exists(path):
        tools.update()
    with open(path, encoding="utf-8") as file:
        found = json.load(file)
    if found.get("from_api_version") != 3:
        raise Error(f"{path} is of another version")
    return found["apps"]


def _manifest(folder):
    with open(f"{folder}/manifest.toml", "rb") as file:
        found = tomllib.load(file)
    if found.get("packaging_format") != 2:
        raise Error("the stand-in takes apps of packaging format 2 alone")
    return found


def _copy(source, to):
    """The app's files in a place that its scripts may write to."""
    if os.path.isdir(source):
        shutil.copytree(source, to, symlinks=True)
    elif os.path.isfile(source):
        with tarfile.open(source) as archive:
            archive.extractall(to)
        inside = os.listdir(to)
        if len(inside) == 1:
            return f"{to}/{inside[0]}"
    else:
        raise Error(f"{source} is no folder and no archive, and the stand-in has no list of apps")
    return to


def _answers(manifest, words):
    given, answers = dict(urllib.parse.parse_qsl(words, keep_blank_values=True)), {}
    for name, question in manifest.get("install", {}).items():
        default = question.get("default", {"init_main_permission": "visitors"}.get(name))
        answer = given.get(name, default)
        if answer is None and not question.get("optional"):
            raise Error(f"Answer required for '{name}'")
        if answer is not None:
            answers[name] = str(answer)
    if "domain" in answers and answers["domain"] not in domains.names():
        raise Error(f"The domain {answers['domain']} is unknown")
    if "path" in answers:
        answers["path"] = "/" + answers["path"].strip("/")
        place = f"{answers.get('domain', '')}{answers['path']}"
        taken = {f"{settings_of(app).get('domain')}{settings_of(app).get('path')}": app for app in installed()}
        if place in taken:
            raise Error(f"This URL is either unavailable, or conflicts with the already installed app(s): {place} ({taken[place]})")
    return answers


def _system_is_sane():
    down = [unit for unit in ("nginx", "fail2ban")
            if subprocess.run(["systemctl", "is-active", "--quiet", unit]).returncode != 0]
    if down:
        raise Error(f"These required services should be running: {', '.join(down)}")
    if subprocess.run(["dpkg", "--audit"], capture_output=True, text=True).stdout:
        raise Error("dpkg/APT (the system package managers) seem to be in a broken state")


def _script(app, folder, name):
    """Runs one of the app's scripts; whether it succeeded. What it says goes where ours does."""
    if not os.path.exists(f"{folder}/scripts/{name}"):
        return True
    env = {key: value for key, value in os.environ.items() if key != "HOME"}
    env |= {key: str(value) for key, value in settings_of(app).items() if isinstance(value, (str, int))}
    env |= {"app": app, "YNH_APP_ID": app, "YNH_APP_INSTANCE_NAME": app, "YNH_APP_BASEDIR": folder, "YNH_APP_ACTION": name,
            "YNH_APP_PACKAGING_FORMAT": "2", "YNH_HELPERS_VERSION": "2.1"}
    done = subprocess.run(["bash", f"./{name}"], cwd=f"{folder}/scripts", env=env, stdin=subprocess.DEVNULL)
    return done.returncode == 0


def install(app, label=None, args="", no_remove_on_failure=False, force=False):
    if shutil.disk_usage("/").free < 512_000_000:
        raise Error("There is not enough disk space left to install this application")
    with tempfile.TemporaryDirectory(prefix="app_", dir="/var/cache/yunohost") as scratch:
        folder = _copy(app, f"{scratch}/app")
        manifest = _manifest(folder)
        name = manifest["id"]
        if not force:
            raise Error(f"{name} is not of the list of apps: --force installs it all the same")
        if name in installed():
            raise Error(f"{name} is already installed")
        catalog()
        _system_is_sane()
        answers = _answers(manifest, args)
        print(f"Info: Installing {name}...")
        write_settings(name, {"id": name, **({"label": label} if label else {}), **answers})
        os.chmod(f"{APPS}/{name}", 0o700)
        for kept in KEPT:
            if os.path.isdir(f"{folder}/{kept}"):
                shutil.copytree(f"{folder}/{kept}", f"{APPS}/{name}/{kept}")
            elif os.path.exists(f"{folder}/{kept}"):
                shutil.copy(f"{folder}/{kept}", f"{APPS}/{name}/{kept}")
        try:
            resources.provide(name, manifest)
            if not _script(name, folder, "install"):
                raise Error("An error occurred inside the app installation script")
            _system_is_sane()
        except (Error, OSError) as error:
            if not no_remove_on_failure:
                _script(name, folder, "remove")
                resources.take_away(name, manifest)
                shutil.rmtree(f"{APPS}/{name}")
                ssowatconf()
            raise Error(f"The installation of {name} failed: {error}") from None
    ssowatconf()
    hooks("post_app_install", name)
    print("Success! Installation completed")


def remove(app, purge=False):
    _installed(app)
    manifest = _manifest(f"{APPS}/{app}")
    _script(app, f"{APPS}/{app}", "remove")
    resources.take_away(app, manifest)
    shutil.rmtree(f"{APPS}/{app}")
    ssowatconf()


def _installed(app):
    if app not in installed():
        raise Error(f"Could not find {app} in the list of installed apps: {', '.join(installed()) or 'none'}")


def info(app, full=False):
    _installed(app)
    manifest, settings = _manifest(f"{APPS}/{app}"), settings_of(app)
    description = manifest["description"]
    told = {"id": app, "name": settings.get("label") or manifest["name"], "version": manifest["version"],
            "description": description.get("en") if isinstance(description, dict) else description}
    if "domain" in settings and "path" in settings:
        told["domain_path"] = settings["domain"] + settings["path"]
    if full:
        catalog()
        told |= {"settings": settings, "manifest": manifest, "permissions": permission.all_of(app)}
    return told


def list_all(full=False):
    return {"apps": [info(app, full) for app in installed()]}


def map_all(raw=False):
    found = {}
    for app in installed():
        for each in permission.all_of(app).values():
            if not each["url"]:
                continue
            if raw:
                domain, _, path = each["url"].partition("/")
                found.setdefault(domain, {})[f"/{path}"] = {"label": each["label"], "id": app}
            else:
                found[each["url"]] = each["label"]
    return found


def setting(app, key, value=None, delete=False):
    _installed(app)
    settings = settings_of(app)
    if value is None and not delete:
        return settings.get(key)
    if delete:
        settings.pop(key, None)
    else:
        settings[key] = value
    return write_settings(app, settings)


def ssowatconf():
    """What is public, for the web server; and each domain's tiles, for the portal."""
    names = domains.names()
    if os.path.exists("/etc/yunohost/installed"):
        catalog()
    core = [f"{name}/yunohost/{part}" for name in names for part in ("admin", "api", "portalapi")]
    permissions = {"core_skipped": {"users": [], "public": True, "uris": core}}
    tiles = {name: {} for name in names}
    for app in installed():
        for name, each in permission.all_of(app).items():
            if not each["url"]:
                continue
            public = "visitors" in each["allowed"]
            permissions[name] = {"users": [], "public": public, "uris": [each["url"]]}
            if each["show_tile"]:
                tile = {"label": each["label"], "public": public, "url": each["url"]}
                tiles.setdefault(each["url"].partition("/")[0], {})[name] = tile
    portals = {name: f"{name}/yunohost/sso" for name in names} | {"default": "/yunohost/admin"}
    settings = {"permissions": permissions, "domain_portal_urls": portals, "redirected_urls": {}}
    write("/etc/ssowat/conf.json", json.dumps(settings, indent=4))
    for path in glob.glob("/etc/yunohost/portal/*.json"):
        os.unlink(path)
    for name, shown in tiles.items():
        path = f"/etc/yunohost/portal/{name}.json"
        write(path, json.dumps({"apps": shown}), 0o600)
        shutil.chown(path, "ynh-portal", "ynh-portal")
