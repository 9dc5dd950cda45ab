"""What a boot test asks of YunoHost: as one of the box's keepers, and as guests of its hotspot, over the air.

Each command can be repeated, says what it saw, and exits with 1 when something was wrong.
"""

import contextlib
import http.client
import json
import os
import socket
import ssl
import sys
import time
from collections.abc import Iterator

from clic.checks import guest, hotspot
from clic.checks.command import Wrong, by_name, expect, main

AUTHORITY = "/usr/share/yunohost/ssl/ca/cacert.pem"
# Somebody has set up the box (overlay first-boot).
SET_UP = "/var/lib/clic/set-up"
SETUP_PAGE = "Cette boîte n’a pas encore été mise en service"
HIDDEN = ["/yunohost/admin/", "/yunohost/admin", "/yunohost/api/installed", "//yunohost/%61pi/installed"]


def ask(address: str, host: str, path: str, body: str | None = None) -> tuple[int, str]:
    """Status and body. Who vouches for the certificate is asked elsewhere: see `browse`."""
    connection = http.client.HTTPSConnection(address, 443, timeout=30, context=ssl._create_unverified_context())
    return _answer(connection, host, path, body)


def _answer(connection: http.client.HTTPConnection, host: str, path: str, body: str | None) -> tuple[int, str]:
    headers = {"Host": host}
    if body is not None:
        headers |= {"Content-Type": "application/json", "X-Requested-With": "clic"}
    try:
        connection.request("GET" if body is None else "POST", path, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        connection.close()


def api(path: str) -> tuple[int, str]:
    """YunoHost's own program behind the administration, without nginx. It takes a while to start on a small board."""
    left = 20
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", 6787, timeout=30)
        try:
            return _answer(connection, "127.0.0.1", path, None)
        except OSError:
            if not left:
                raise
        left -= 1
        time.sleep(5)


@contextlib.contextmanager
def somebody_has_set_it_up() -> Iterator[None]:
    """As it is from then on; afterwards it is as new again."""
    with open(SET_UP, "xb"):
        pass
    try:
        yield
    finally:
        os.unlink(SET_UP)


def domains() -> list[str]:
    """Those of the image and those that YunoHost added, one that nobody has, and none."""
    with open("/etc/clic/names.d/yunohost", encoding="utf-8") as file:
        names = [line.strip() for line in file if line.strip() and not line.startswith("#")]
    return [*names, "unknown.example", hotspot.BOX]


def wrong(what: str, answer: tuple[int, str]) -> str:
    return f"{what}: {answer[0]}: {answer[1][:200]}"


def keepers() -> None:
    """YunoHost is installed; its administration is the setup page, and itself once somebody has set up the box."""
    domain = domains()[0]
    answer = api("/installed")
    expect(answer[0] == 200 and json.loads(answer[1]) == {"installed": True}, wrong("the program", answer))
    admin, program = [ask("127.0.0.1", domain, path) for path in ("/yunohost/admin/", "/yunohost/api/installed")]
    expect(admin[0] == 200 and SETUP_PAGE in admin[1], wrong("no setup page", admin))
    expect(program[0] == 503, wrong("the program answers", program))
    with somebody_has_set_it_up():
        admin, program = [ask("127.0.0.1", domain, path) for path in ("/yunohost/admin/", "/yunohost/api/installed")]
        expect(admin[0] == 200 and "<html" in admin[1] and SETUP_PAGE not in admin[1],
                       wrong("no administration", admin))
        expect(program[0] == 200 and json.loads(program[1]) == {"installed": True}, wrong("the program", program))
    print(f"installed, at https://{domain}/yunohost/admin/")


def guests() -> None:
    """What is asked at the guests' address comes from a guest, as far as nginx can tell."""
    for host in domains():
        status, text = ask(hotspot.BOX, host, "/yunohost/admin/")
        expect(status == 200 and SETUP_PAGE in text, wrong(f"{host}: no setup page", (status, text)))
        with somebody_has_set_it_up():
            for path in HIDDEN:
                status, text = ask(hotspot.BOX, host, path)
                # 301 leads from /yunohost/admin to what is refused.
                refused = status == 403 or (status == 301 and path.endswith("admin"))
                expect(refused, wrong(f"{host}{path}", (status, text)))
        status, text = ask(hotspot.BOX, host, "/yunohost/portalapi/public")
        expect(status != 403, f"{host}: the portal is refused, too")


def over_the_air() -> None:
    """A phone on the wifi opens YunoHost's pages by the box's domain, and is told from somebody with a password."""
    hotspot.radios()
    hotspot.join()
    words = ("ip", "netns", "exec", hotspot.GUESTS[0], *hotspot.PYTHON, "clic.checks.yunohost", "browse", domains()[0])
    print(hotspot.run(*words, timeout=240).strip())


def browse(domain: str) -> None:
    """In a guest's network namespace. Certificates are looked at as by a browser that trusts this box's authority."""
    found = guest.resolve(domain, guest.server())["addresses"]
    expect(found == [hotspot.BOX], f"{domain} is {found}")
    context = ssl.create_default_context(cafile=AUTHORITY)

    class Connection(http.client.HTTPSConnection):
        """To the address that the guest was told, by name for the certificate."""

        def connect(self) -> None:
            plain = socket.create_connection((found[0], self.port), self.timeout)
            self.sock = context.wrap_socket(plain, server_hostname=self.host)

    def there(path: str, body: str | None = None) -> tuple[int, str]:
        return _answer(Connection(domain, 443, timeout=60), domain, path, body)

    page = there("/yunohost/sso/")
    with open("/usr/share/yunohost/portal/index.html", encoding="utf-8") as file:
        expect(page == (200, file.read()), wrong("/yunohost/sso/", page))
    public = there("/yunohost/portalapi/public")
    expect(public[0] == 200 and isinstance(json.loads(public[1]), dict), wrong("the portal's program", public))
    me = there("/yunohost/portalapi/me")
    expect(me[0] == 401, wrong("somebody who is nobody", me))
    # The administrator of the build: there, but with no password that anybody could give.
    login = there("/yunohost/portalapi/login", json.dumps({"credentials": "clic:yunohost"}))
    expect(login[0] == 401, wrong("a login", login))
    program = there("/yunohost/api/installed")
    expect(program[0] in (403, 503), wrong("the administration's program", program))
    print(f"https://{domain}/yunohost/sso/ at {found[0]}; the portal says {public[1][:200]}")


COMMANDS = by_name(keepers, guests, over_the_air)

if __name__ == "__main__":
    if sys.argv[1:2] == ["browse"]:
        try:
            browse(sys.argv[2])
        except (Wrong, OSError, http.client.HTTPException, ValueError) as error:
            sys.exit(f"browse: {error!r}")
    else:
        main(COMMANDS)
