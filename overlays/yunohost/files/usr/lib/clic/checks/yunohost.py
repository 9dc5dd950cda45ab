"""What a boot test asks of YunoHost, from inside the box: as one of its keepers, and as a guest of its hotspot."""

import http.client
import json
import ssl
import subprocess
import sys
import time

HIDDEN = ["/yunohost/admin/", "/yunohost/admin", "/yunohost/api/installed", "//yunohost/%61pi/installed"]


def ask(address, host, path):
    """Status and body. The box's certificate is its own, so that nobody vouches for it."""
    context = ssl._create_unverified_context()
    connection = http.client.HTTPSConnection(address, 443, timeout=20, context=context)
    try:
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def address_of_guests():
    """The address by which guests reach the box. What is asked there comes from a guest, as far as nginx can tell."""
    command = ["ip", "-json", "-4", "address", "show", "dev", "hotspot0"]
    links = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return links[0]["addr_info"][0]["local"]


def domains():
    """Those of the image and those that YunoHost added, one that nobody has, and none."""
    with open("/etc/clic/names.d/yunohost", encoding="utf-8") as file:
        names = [line.strip() for line in file if line.strip() and not line.startswith("#")]
    return [*names, "unknown.example", address_of_guests()]


def keepers():
    # The program behind the administration takes a while to start on a small board.
    for _ in range(20):
        status, body = ask("127.0.0.1", domains()[0], "/yunohost/api/installed")
        if status == 200:
            break
        time.sleep(5)
    assert status == 200 and "installed" in json.loads(body), f"{status}: {body[:200]}"
    print(body.decode())
    status, body = ask("127.0.0.1", domains()[0], "/yunohost/admin/")
    assert status == 200 and b"<html" in body.lower(), f"{status}: {body[:200]}"


def guests():
    for host in domains():
        for path in HIDDEN:
            status, body = ask(address_of_guests(), host, path)
            # 301 leads from /yunohost/admin to what is refused.
            assert status == 403 or (status == 301 and path.endswith("admin")), f"{host}{path}: {status}: {body[:200]}"
        status, body = ask(address_of_guests(), host, "/yunohost/portalapi/")
        assert status != 403, f"{host}: the portal is refused, too"


if __name__ == "__main__":
    {"keepers": keepers, "guests": guests}[sys.argv[1]]()
