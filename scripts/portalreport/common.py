"""What the parts of scripts/portal-report share."""

import sys

# Where something answers: host and port.
Address = tuple[str, int]


class Failed(Exception):
    """The report cannot go on; the text says what failed and what to do."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# The languages that the portal speaks, and for each a browser's Accept-Language.
LANGUAGES = {"fr": "fr-FR,fr;q=0.9,en;q=0.5", "en": "en-GB,en;q=0.9,fr;q=0.5"}
