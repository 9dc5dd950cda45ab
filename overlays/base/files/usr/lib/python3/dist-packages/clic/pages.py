"""HTML pages from templates (Jinja2) and texts, which lie beside the package that shows them.

    clic/board/templates/board.html
    clic/board/texts/{fr,en}.toml

A template has `t("key", name=value)` for a text, `lang`, and what it is given. Everything is escaped; nothing marks itself as
safe, so what a guest wrote is never HTML.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import markupsafe

from clic.texts import Texts


class Pages:
    """The pages of one package, found beside a file of it (its `__file__`)."""

    def __init__(self, beside: str, default: str = "fr") -> None:
        directory = Path(beside).parent
        self.texts = Texts(directory / "texts", default)
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(directory / "templates"),
            autoescape=True,
            # A name that nobody gave is a mistake, not an empty place.
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            # The files change with the image only.
            auto_reload=False,
        )

    def render(self, template: str, language: str, **values: Any) -> bytes:
        """The page in UTF-8."""
        def t(key: str, **filled: object) -> markupsafe.Markup:
            # Escapes what is filled in, unless it comes from a macro of the template.
            return markupsafe.escape(self.texts.text(language, key)).format(**filled)

        page = self._environment.get_template(template).render(t=t, lang=language, **values)
        # Half of a pair, which no UTF-8 has, cannot come from a form, but from a file's name.
        return page.encode("utf-8", "replace")
