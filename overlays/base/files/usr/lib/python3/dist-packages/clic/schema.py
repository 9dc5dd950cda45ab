"""Tables of TOML that overlays and recipes bring, checked against what they can say."""

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from clic.disk import Root

Table = dict[str, Any]
# What a key holds: `str`, `int`, `dict`, or `[str]` for a list of text.
Kind = type | list[type]

NEEDED = object()
# By key: its kind, and what it is when left out, or NEEDED.
Fields = Mapping[str, tuple[Kind, Any]]

NAMES = {str: "text", int: "a number", dict: "a table"}


class Wrong(Exception):
    """A file says something that can't be meant."""


def names(root: Root, directory: str) -> list[str]:
    """Names of a directory's .toml files without their ending, in order; none if it is not there."""
    try:
        files = os.listdir(root.at(directory))
    except FileNotFoundError:
        return []
    return sorted(name.removesuffix(".toml") for name in files if name.endswith(".toml"))


def read(root: Root, path: str) -> Table:
    """The file's TOML. Raises Wrong if it is none, and OSError if it can't be read."""
    try:
        return tomllib.loads(root.read(path).decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Wrong(f"{path}: {error}") from None


def table(where: str, data: Table, fields: Fields, known: Iterable[str] = ()) -> Table:
    """The table with a value for each of its fields. Raises Wrong, which begins with `where`, for all that is none.

    `known` has words besides the fields that can be meant by one that is not understood.
    """
    for key in data:
        if key not in fields:
            near = difflib.get_close_matches(key, [*fields, *known], 1)
            raise Wrong(f"{where}: unknown key {key}{f', {near[0]} is meant?' if near else ''}")
    found = {}
    for key, (kind, otherwise) in fields.items():
        if key not in data and otherwise is NEEDED:
            raise Wrong(f"{where}: {key} is missing")
        found[key] = data.get(key, otherwise)
        if key in data and not _is(data[key], kind):
            raise Wrong(f"{where}: {key} must be {'a list of text' if isinstance(kind, list) else NAMES[kind]}")
    return found


def _is(value: object, kind: Kind) -> bool:
    if isinstance(kind, list):
        return isinstance(value, list) and all(_is(one, kind[0]) for one in value)
    # True is a kind of int for Python.
    return isinstance(value, kind) and not isinstance(value, bool)
