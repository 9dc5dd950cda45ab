"""What people read, in their language: one file for each, `texts/fr.toml` and `texts/en.toml`, with the same keys.

A text is plain: no HTML, and `{name}` where something is filled in.
"""

from __future__ import annotations

import string
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

# What is looked at of Accept-Language: somebody who lists more is not helped by more work.
MOST_ASKED = 20


class Texts(Mapping[str, Mapping[str, str]]):
    """Texts by language, then by key."""

    def __init__(self, directory: str | Path, default: str = "fr") -> None:
        found = {path.stem: read(path) for path in sorted(Path(directory).glob("*.toml"))}
        if default not in found:
            raise FileNotFoundError(f"{directory}: no {default}.toml, which is the default language")
        self.default = default
        self._texts = found

    def __getitem__(self, language: str) -> Mapping[str, str]:
        return self._texts[language]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    def text(self, language: str, key: str) -> str:
        """A text. What a language lacks comes from the default one: a test finds it, and a reader is not to suffer."""
        return self._texts[language].get(key) or self._texts[self.default][key]

    def choose(self, accept_language: str, query: str = "") -> str:
        """The language for somebody: what the address asks for (`?lang=`), else what the browser prefers, else the default."""
        for asked in query.split("&"):
            name, _, language = asked.partition("=")
            if name == "lang" and language in self._texts:
                return language
        best, found = 0.0, self.default
        for item in accept_language.split(",")[:MOST_ASKED]:
            tag, _, quality = item.partition(";")
            tag = tag.strip().lower().split("-")[0]
            try:
                weight = float(quality.strip().removeprefix("q=") or 1)
            except ValueError:
                continue
            if tag in self._texts and best < weight <= 1:
                best, found = weight, tag
        return found


def read(path: Path) -> dict[str, str]:
    """The texts of a file; an error names the file, and the key whose value is no text."""
    with open(path, "rb") as file:
        try:
            texts = tomllib.load(file)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    for key, text in texts.items():
        if not isinstance(text, str):
            raise ValueError(f"{path}: {key} is no text")
    return texts


def differences(directory: str | Path) -> list[str]:
    """Keys that one of the languages lacks, and placeholders that differ: what a test expects to be nothing."""
    found = {path.name: read(path) for path in sorted(Path(directory).glob("*.toml"))}
    every = {key for texts in found.values() for key in texts}
    problems = [f"{name} has no {key}" for name, texts in found.items() for key in sorted(every - set(texts))]
    for key in sorted(every):
        shapes = {tuple(sorted(placeholders(texts[key]))) for texts in found.values() if key in texts}
        if len(shapes) > 1:
            problems.append(f"{key} has other placeholders in another language")
    return problems


def placeholders(text: str) -> set[str]:
    """Names between braces."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
