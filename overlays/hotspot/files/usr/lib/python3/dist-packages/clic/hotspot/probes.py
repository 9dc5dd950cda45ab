"""The questions by which systems find out whether a network has internet, and the answers that they take for yes."""

from clic.web import Response

NO_CONTENT = Response(204)
APPLE = Response(200, b"<HTML><HEAD><TITLE>Success</TITLE></HEAD><BODY>Success</BODY></HTML>", "text/html")
NETWORK_MANAGER = Response(200, b"NetworkManager is online\n", headers=(("X-NetworkManager-Status", "online"),))

# (host, path) of systems that ask one page of one host.
EXACT = {
    # Windows 10 1607 and later, then earlier ones.
    ("www.msftconnecttest.com", "/connecttest.txt"): Response(200, b"Microsoft Connect Test"),
    ("ipv6.msftconnecttest.com", "/connecttest.txt"): Response(200, b"Microsoft Connect Test"),
    ("www.msftncsi.com", "/ncsi.txt"): Response(200, b"Microsoft NCSI"),
    ("ipv6.msftncsi.com", "/ncsi.txt"): Response(200, b"Microsoft NCSI"),
    # Firefox.
    ("detectportal.firefox.com", "/success.txt"): Response(200, b"success\n"),
    ("detectportal.firefox.com", "/canonical.html"): Response(
        200,
        b'<meta http-equiv="refresh" content="0;url=https://support.mozilla.org/kb/captive-portal"/>',
        "text/html",
    ),
    # NetworkManager, as distributions set it; all know the header.
    ("nmcheck.gnome.org", "/check_network_status.txt"): NETWORK_MANAGER,
    ("network-test.debian.org", "/nm"): NETWORK_MANAGER,
    ("connectivity-check.ubuntu.com", "/"): Response(204, headers=(("X-NetworkManager-Status", "online"),)),
    ("ping.archlinux.org", "/nm-check.txt"): NETWORK_MANAGER,
    ("fedoraproject.org", "/static/hotspot.txt"): Response(200, b"OK\n"),
    ("networkcheck.kde.org", "/"): Response(200, b"OK\n"),
}

# Apple's host, and hosts of older systems, differ; the page is the same.
APPLE_PATHS = ("/hotspot-detect.html", "/library/test/success.html")

# Android, ChromeOS, and the makers of phones who ask hosts of their own.
NO_CONTENT_PATHS = ("/generate_204", "/gen_204", "/generate204", "/mobile/status.php")


def success(host: str, path: str) -> Response | None:
    """The answer of a network with internet, or `None` if this is none of those questions."""
    path = path.partition("?")[0]
    if path in NO_CONTENT_PATHS:
        return NO_CONTENT
    if path in APPLE_PATHS or host == "captive.apple.com":
        return APPLE
    return EXACT.get((host, path))
