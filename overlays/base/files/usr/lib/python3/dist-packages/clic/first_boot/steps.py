"""Steps of first boot, as files in /usr/lib/clic/first-boot.d say them (the format is in this overlay's README)."""

import dataclasses
import os
import re

from clic import schema
from clic.disk import Root
from clic.schema import NEEDED, Fields, Table, Wrong

DIRECTORY = "/usr/lib/clic/first-boot.d"
# Is there while an image is baked (`[[bake]]`), and on no device.
BAKING = "/etc/clic/baking"

# Number, then words: a part of a systemd unit's name without anything to escape.
NAME = re.compile(r"[0-9]{2}(-[a-z0-9]+)+\Z")
VALUE_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")
UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]+\.(service|socket|target|path|timer|mount)\Z")

# Fewer characters than this can be guessed. 16 of `hex` are 64 bits.
SHORTEST_VALUE = 16
# A shorter placeholder might stand somewhere by chance.
SHORTEST_PLACEHOLDER = 8

# What each table can say: key, type, and what it is when left out.
STEP: Fields = {
    "schema": (int, NEEDED), "title": (str, NEEDED), "only-if": ([str], []), "before": ([str], []), "needs": ([str], []),
    "after": ([str], []), "steps": ([str], []), "restart": ([str], []), "secrets": ([str], []),
    "never-in-image": ([str], []), "made-on-device": ([str], []), "timeout-seconds": (int, 300),
}
TABLES: dict[str, Fields] = {
    "value": {"name": (str, NEEDED), "length": (int, 32), "alphabet": (str, "alnum")},
    "file": {
        "path": (str, NEEDED), "text": (str, NEEDED), "mode": (str, "0600"), "owner": (str, "root"), "group": (str, "root"),
    },
    "certificate": {
        "key": (str, NEEDED), "certificate": (str, NEEDED), "names": ([str], NEEDED), "days": (int, 3650),
        "algorithm": (str, "ec"), "mode": (str, "0600"), "owner": (str, "root"), "group": (str, "root"),
    },
    "command": {"run": ([str], NEEDED)},
    "replace": {"files": ([str], NEEDED), "placeholder": (str, NEEDED), "value": (str, NEEDED)},
    "apply": {"run": ([str], NEEDED)},
}


@dataclasses.dataclass(frozen=True)
class Step:
    name: str
    title: str
    only_if: list[str]
    before: list[str]
    needs: list[str]
    after: list[str]
    steps: list[str]
    restart: list[str]
    secrets: list[str]
    never_in_image: list[str]
    made_on_device: list[str]
    timeout_seconds: int
    tables: dict[str, list[Table]]

    def applies(self, root: Root) -> bool:
        """Whether this device has what the step is about.

        While an image is baked, secrets are thrown away afterwards, but placeholders are for the device: they stay.
        """
        if self.tables["replace"] and root.exists(BAKING):
            return False
        return all(root.exists(path) for path in self.only_if)

    @property
    def unit(self) -> str:
        return f"clic-first-boot@{self.name}.service"

    def secret_paths(self, root: Root) -> list[str]:
        """Files that hold a secret of this step, in order."""
        paths = [file["path"] for file in self.tables["file"]]
        paths += [made["key"] for made in self.tables["certificate"]]
        for pattern in self.secrets:
            paths += root.glob(pattern)
        return list(dict.fromkeys(paths))


def load(root: Root, name: str) -> Step:
    """One step."""
    path = os.path.join(DIRECTORY, f"{name}.toml")
    if not NAME.match(name):
        raise Wrong(f"{path}: a step is called NN-words, such as 50-wiki")
    try:
        data = schema.read(root, path)
    except FileNotFoundError:
        raise Wrong(f"there is no step {name}: {path} is missing") from None
    tables = {kind: data.pop(kind, []) for kind in TABLES}
    settings = schema.table(path, data, STEP, TABLES)
    for kind, entries in tables.items():
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise Wrong(f"{path}: write [[{kind}]], with two brackets")
        tables[kind] = [schema.table(f"{path}: [[{kind}]]", entry, TABLES[kind]) for entry in entries]
    version = settings.pop("schema")
    if version != 1:
        raise Wrong(f"{path}: schema {version} is newer than this program, which knows 1")
    step = Step(name, **{key.replace("-", "_"): value for key, value in settings.items()}, tables=tables)
    _check(path, step)
    return step


def names(root: Root) -> list[str]:
    """All steps' names, in order."""
    return schema.names(root, DIRECTORY)


def load_all(root: Root) -> tuple[list[Step], dict[str, str]]:
    """All steps that can be read, and what is wrong with the others by their names."""
    steps: list[Step] = []
    wrong: dict[str, str] = {}
    for name in names(root):
        try:
            steps.append(load(root, name))
        except (Wrong, OSError) as error:
            wrong[name] = str(error)
    return steps, wrong


def _check(path: str, step: Step) -> None:
    def need(true: object, what: str) -> None:
        if not true:
            raise Wrong(f"{path}: {what}")

    need(step.timeout_seconds > 0, "timeout-seconds must be more than 0")
    for key in ("before", "needs", "after", "restart"):
        for unit in getattr(step, key):
            need(UNIT.match(unit), f"{key}: {unit} is no systemd unit, such as nginx.service")
    for name in step.steps:
        need(NAME.match(name) and name < step.name, f"steps: {name} is no step before this one")
    values = {value["name"] for value in step.tables["value"]}
    for value in step.tables["value"]:
        name = value["name"]
        need(VALUE_NAME.match(name) and name != "hostname", f"a value can't be called {name}")
        need(value["length"] >= SHORTEST_VALUE, f"value {name}: length must be {SHORTEST_VALUE} or more")
        need(value["alphabet"] in ("alnum", "hex"), f"value {name}: alphabet is alnum or hex")
    for replace in step.tables["replace"]:
        need(replace["value"] in values, f"[[replace]]: there is no [[value]] {replace['value']}")
        need(len(replace["placeholder"]) >= SHORTEST_PLACEHOLDER,
             f"placeholder {replace['placeholder']} is shorter than {SHORTEST_PLACEHOLDER} characters")
    for made in step.tables["certificate"]:
        need(made["algorithm"] in ("ec", "rsa"), "[[certificate]]: algorithm is ec or rsa")
        need(made["names"] and made["days"] > 0, "[[certificate]]: at least one name and one day")
    for made in step.tables["file"] + step.tables["certificate"]:
        need(re.fullmatch("0[0-7]{3}", made["mode"]), f"mode {made['mode']} is not octal, such as 0640")
    for kind in ("command", "apply"):
        need(all(entry["run"] for entry in step.tables[kind]), f"[[{kind}]]: run is empty")
    paths = [*step.only_if, *step.secrets, *step.never_in_image, *step.made_on_device]
    paths += [file["path"] for file in step.tables["file"]]
    paths += [made[key] for made in step.tables["certificate"] for key in ("key", "certificate")]
    paths += [file for replace in step.tables["replace"] for file in replace["files"]]
    for each in paths:
        need(each.startswith("/") and ".." not in each.split("/"), f"{each} is no absolute path")
