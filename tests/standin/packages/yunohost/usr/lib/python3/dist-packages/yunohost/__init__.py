"""A stand-in for YunoHost, for tests of CLIC! without internet: its commands and servers, as far as CLIC! uses them."""

import json
import os
import sys

import moulinette

from . import app, domain, permission, settings, tools, user

BEFORE_SET_UP = ("tools postinstall", "tools versions")


def argument(*names, **more):
    return {"names": names, **more}


def flag(*names):
    return argument(*names, action="store_true")


ACTIONS = {
    "tools postinstall": (tools.postinstall, [
        argument("-d", "--domain", required=True), argument("-u", "--username", required=True),
        argument("-F", "--fullname", required=True), argument("-p", "--password", required=True), flag("--ignore-dyndns"),
        flag("--force-diskspace"), flag("--i-have-read-terms-of-services")]),
    "tools versions": (tools.versions, []),
    "tools update": (tools.update, [argument("target", nargs="?", choices=["apps", "system", "all"], default="all")]),
    "tools regen-conf": (tools.regen_conf, [argument("names", nargs="*"), flag("-f", "--force")]),
    "domain add": (domain.add, [argument("domain"), flag("--ignore-dyndns")]),
    "domain list": (lambda: {"domains": domain.names(), "main": domain.main()}, []),
    "domain info": (domain.info, [argument("domain")]),
    "domain main-domain": (lambda: {"current_main_domain": domain.main()}, []),
    "domain cert status": (domain.cert_status, [argument("domain_list", nargs="*")]),
    "domain cert renew": (domain.cert_renew, [argument("domain_list", nargs="*"), flag("--email")]),
    "user create": (user.create, [
        argument("username"), argument("-F", "--fullname", required=True), argument("-p", "--password", required=True),
        argument("-d", "--domain")]),
    "user list": (user.list_all, []),
    "user permission list": (permission.list_all, [argument("apps", nargs="*"), flag("-f", "--full")]),
    "user permission info": (permission.info, [argument("permission")]),
    "user permission update": (permission.update, [
        argument("permission"), argument("-l", "--label"), argument("-s", "--show_tile", choices=["True", "False"])]),
    "user permission add": (permission.add, [argument("permission"), argument("names", nargs="*")]),
    "user permission remove": (permission.remove, [argument("permission"), argument("names", nargs="*")]),
    "settings get": (settings.get, [argument("key")]),
    "settings set": (settings.set_one, [argument("key"), argument("-v", "--value", required=True)]),
    "settings list": (settings.read, []),
    "app install": (app.install, [
        argument("app"), argument("-l", "--label"), argument("-a", "--args", default=""),
        flag("-n", "--no-remove-on-failure"), flag("-f", "--force")]),
    "app remove": (app.remove, [argument("app"), flag("-p", "--purge")]),
    "app list": (app.list_all, [flag("-f", "--full")]),
    "app info": (app.info, [argument("app"), flag("-f", "--full")]),
    "app map": (app.map_all, [argument("-r", "--raw", action="store_true")]),
    "app setting": (app.setting, [
        argument("app"), argument("key"), argument("-v", "--value"), flag("-d", "--delete")]),
    "app ssowatconf": (app.ssowatconf, []),
}


def cli():
    words = sys.argv[1:]
    if os.geteuid() != 0:
        sys.exit("Error: yunohost command must be run as root or with sudo.")
    if "--version" in words:
        words = ["tools", "versions"]
    if not os.path.exists("/etc/yunohost/installed") and " ".join(words[:2]) not in BEFORE_SET_UP:
        sys.exit("Error: YunoHost is not correctly installed. Please execute 'yunohost tools postinstall'")
    moulinette.cli("yunohost", ACTIONS, words)


def api():
    """The program behind the administration. Nobody can log in to the stand-in's."""
    moulinette.serve(6787, {"/installed": lambda _: {"installed": os.path.exists("/etc/yunohost/installed")}})


def portal_api():
    """The program behind the portal, as its own user: it may read its part of the settings, and make no log of its own."""
    with open("/var/log/yunohost-portalapi.log", "a", encoding="utf-8") as log:
        print("started", file=log)
    if os.path.exists("/etc/yunohost/installed"):
        # The key of cookies (AES-256): exactly 32 characters.
        with open("/etc/yunohost/.ssowat_cookie_secret", encoding="ascii") as file:
            assert len(file.read()) == 32, "the portal's secret is no key"

    def public(host):
        try:
            with open(f"/etc/yunohost/portal/{os.path.basename(host)}.json", encoding="utf-8") as file:
                apps = json.load(file)["apps"]
        except FileNotFoundError:
            apps = {}
        return {"apps": {name: tile for name, tile in apps.items() if tile["public"]}}

    moulinette.serve(6788, {"/public": public})
