"""Services as files in /usr/share/clic/services.d say them (the format is in this overlay's README)."""

import dataclasses
import os
import re

from clic import schema
from clic.disk import Root
from clic.schema import NEEDED, Fields, Table, Wrong

DIRECTORY = "/usr/share/clic/services.d"
LANGUAGES = ("fr", "en")

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")
UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]+\.(service|socket|target|path|timer|mount)\Z")
# What goes into an nginx configuration as it is.
PATH = re.compile(r"(/[A-Za-z0-9_][A-Za-z0-9._-]*)+\Z")
DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?\Z")
YUNOHOST_APP = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*\Z")
WORD = re.compile(r"[a-z0-9_.-]+\Z")

SERVICE: Fields = {
    "schema": (int, NEEDED), "kind": (str, NEEDED), "state": (str, NEEDED), "category": (str, ""), "units": ([str], []),
    "packages": ([str], []), "ram": (int, 0), "disk": (int, 0), "domain": (str, ""), "path": (str, ""), "url": (str, ""),
    "needs": ([str], []), "conflicts": ([str], []), "start-seconds": (int, 60), "title": (dict, NEEDED),
    "description": (dict, {}), "yunohost": (dict, {}), "nginx": (dict, {}),
}
YUNOHOST: Fields = {"app": (str, NEEDED), "permissions": ([str], ["main"]), "groups": ([str], ["visitors"])}
NGINX: Fields = {"root": (str, ""), "port": (int, 0), "text": (str, ""), "uploads": (int, 0)}


@dataclasses.dataclass(frozen=True)
class Service:
    name: str
    kind: str
    state: str
    category: str
    units: list[str]
    packages: list[str]
    ram: int
    disk: int
    domain: str
    path: str
    url: str
    needs: list[str]
    conflicts: list[str]
    start_seconds: int
    title: dict[str, str]
    description: dict[str, str]
    yunohost: Table
    nginx: Table

    @property
    def link(self) -> str:
        """Where its tile leads."""
        if self.url:
            return self.url
        # A YunoHost app is behind TLS, as YunoHost redirects there.
        scheme = "https" if self.kind == "yunohost-app" else "http"
        return f"{f'{scheme}://{self.domain}' if self.domain else ''}{self.path}/"

    @property
    def permissions(self) -> list[str]:
        return [f"{self.yunohost['app']}.{name}" for name in self.yunohost["permissions"]] if self.yunohost else []


def load(root: Root, name: str) -> Service:
    """One service."""
    path = os.path.join(DIRECTORY, f"{name}.toml")
    if not NAME.match(name):
        raise Wrong(f"{path}: a service's name is lower case letters, digits and hyphens")
    values = schema.table(path, schema.read(root, path), SERVICE)
    values["yunohost"] = schema.table(f"{path}: [yunohost]", values["yunohost"], YUNOHOST) if values["yunohost"] else {}
    values["nginx"] = schema.table(f"{path}: [nginx]", values["nginx"], NGINX) if values["nginx"] else {}
    if values.pop("schema") != 1:
        raise Wrong(f"{path}: this program knows schema 1")
    service = Service(name=name, **{key.replace("-", "_"): value for key, value in values.items()})
    _check(path, service)
    return service


def names(root: Root) -> list[str]:
    return schema.names(root, DIRECTORY)


def load_all(root: Root) -> tuple[dict[str, Service], list[str]]:
    """All services that can be read, and what is wrong with the others."""
    found: dict[str, Service] = {}
    wrong: list[str] = []
    for name in names(root):
        try:
            found[name] = load(root, name)
        except (Wrong, OSError) as error:
            wrong.append(str(error))
    return found, wrong


def _check(path: str, service: Service) -> None:
    def need(true: object, what: str) -> None:
        if not true:
            raise Wrong(f"{path}: {what}")

    need(service.kind in ("yunohost-app", "debian", "static"), f"kind {service.kind} is none of yunohost-app, debian, static")
    need(service.state in ("enabled", "dormant"), f"state {service.state} is none of enabled, dormant")
    need(service.ram >= 0 and service.disk >= 0, "ram and disk are bytes, 0 or more")
    need(service.start_seconds > 0, "start-seconds must be more than 0")
    for unit in service.units:
        need(UNIT.match(unit), f"units: {unit} is no systemd unit, such as pads.service")
    for package in service.packages:
        need(re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", package), f"packages: {package} is no Debian package")
    for name in service.needs + service.conflicts:
        need(NAME.match(name) and name != service.name, f"{name} is no other service")
    need(not service.domain or DOMAIN.match(service.domain), f"domain: {service.domain} is no domain")
    need(not service.path or PATH.match(service.path), f"path: {service.path} is not like /pads")
    need(not service.url or re.fullmatch(r"(https?:/)?/[!-~]*", service.url), f"url: {service.url} is no address")
    for texts in (service.title, service.description):
        need(all(key in LANGUAGES and isinstance(text, str) for key, text in texts.items()),
             f"title and description have texts by language: {', '.join(LANGUAGES)}")
    need(service.title, "title is empty")
    need(bool(service.yunohost) == (service.kind == "yunohost-app"), "[yunohost] is for, and needed by, kind yunohost-app")
    if service.yunohost:
        need(YUNOHOST_APP.match(service.yunohost["app"]), f"[yunohost] app: {service.yunohost['app']} is no app's id")
        for word in service.yunohost["permissions"] + service.yunohost["groups"]:
            need(WORD.match(word), f"[yunohost]: {word} is no permission or group")
    need(service.kind != "static" or service.nginx, "kind static needs [nginx]")
    if service.nginx:
        need(service.kind != "yunohost-app", "[nginx] is not for YunoHost's apps, which bring their own")
        need(not service.domain, "[nginx] is for the box's own domain: leave out `domain`")
        given = [key for key in ("root", "port", "text") if service.nginx[key]]
        need(len(given) == 1, "[nginx] has one of root, port and text")
        need(service.path or given == ["text"], "[nginx] needs `path`")
        need(not service.nginx["root"] or PATH.match(service.nginx["root"]), "[nginx] root is no path such as /srv/pads")
        need(0 <= service.nginx["port"] < 65536, "[nginx] port is 1 to 65535")
        need(service.nginx["uploads"] >= 0, "[nginx] uploads are bytes, 0 or more")
        need(not service.nginx["uploads"] or given == ["port"], "[nginx] uploads are for a port")
