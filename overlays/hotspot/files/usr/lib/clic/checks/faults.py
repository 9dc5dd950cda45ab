"""What a boot test does to the hotspot, and then asks of it as a guest: it serves again, without a hand.

Like hotspot.py, whose guests must have joined.
"""

import json
import time

import hotspot as h


def slow():
    """Guests who send and read as slowly as they can are sent away, and meanwhile others are served."""
    one, other = h.GUESTS
    with h.started(one, "slow", h.SETTINGS.domain) as process:
        begun = time.monotonic()
        page = h.guest(other, "get", h.HOME)
        h.expect(page["status"] == 200, f"another guest is kept out: {page}")
        seconds = round(time.monotonic() - begun, 1)
        ended = json.loads(process.stdout.readline() or "{}")
    print(f"page for another guest after {seconds} s; slow ones ended after {ended}")
    for kind in ("head", "body", "answer"):
        # nginx's own limits are 15 and 30 seconds.
        h.expect(ended.get(kind) and ended[kind] < 75, f"slow with its {kind}: {ended}")
    held = h.guest(one, "ask_slowly", h.BOX, "30", timeout=120)
    h.expect(held <= 5, f"one guest holds {held} connections to the name server")


COMMANDS = h.by_name(slow)

if __name__ == "__main__":
    h.main(COMMANDS)
