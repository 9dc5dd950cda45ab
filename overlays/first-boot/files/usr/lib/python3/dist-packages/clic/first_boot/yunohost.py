"""What only YunoHost's steps need. Steps run it with one of the words at the end; it reads CLIC_ROOT, and leaves files in
CLIC_OUT, each at its path.

Facts are those of YunoHost 12.1: where it keeps its certification authority, and that it signs domains' certificates with
it; that the authority's name must be the main domain, or it makes another one (hooks/conf_regen/02-ssl).
"""

import os
import secrets
import subprocess
import sys

from clic import disk
from clic.disk import Root
from clic.first_boot import certificate
from clic.first_boot.work import Failed, owner

AUTHORITY = "/usr/share/yunohost/ssl"
CERTIFICATES = "/etc/yunohost/certs"
# The certificate of nginx's default server and of the LDAP server, until and after somebody chooses a domain.
FIRST = "yunohost.org"
# As YunoHost has it for certificates of its own.
DAYS = 3650
BASE_DN = "dc=yunohost,dc=org"


class Out:
    """Where the step finds what it is to put into place."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self.path = os.environ["CLIC_OUT"]

    def write(self, path: str, data: bytes, mode: int = 0o640, group: str = "root") -> None:
        """The path may lead through links, as a domain's certificates do; they stay."""
        place = os.path.join(self.path, self.root.real(path).lstrip("/"))
        os.makedirs(os.path.dirname(place), exist_ok=True)
        disk.write(place, data, mode, owner(self.root, "root", group))


def certificates(root: Root) -> None:
    """An authority of this device, and a certificate that it signed for each domain."""
    out = Out(root)
    name = main_domain(root)
    authority_key = certificate.make_key()
    authority = certificate.authority(authority_key, [("CN", name), ("O", name.rpartition(".")[0] or name)], DAYS)
    out.write(f"{AUTHORITY}/ca/cakey.pem", authority_key)
    out.write(f"{AUTHORITY}/ca/cacert.pem", authority)
    # For `openssl ca`, which signs certificates of domains that are added later.
    out.write(f"{AUTHORITY}/serial", f"{secrets.token_hex(19)}\n".encode(), 0o644)
    out.write(f"{AUTHORITY}/index.txt", b"", 0o644)
    out.write(f"{CERTIFICATES}/{FIRST}/ca.pem", authority, group="ssl-cert")
    for domain in domains(root):
        key = certificate.make_key()
        made = certificate.signed(key, [domain, f"www.{domain}"], DAYS, authority_key, authority)
        out.write(f"{CERTIFICATES}/{domain}/key.pem", key, group="ssl-cert")
        # With the authority's behind it, as YunoHost does.
        out.write(f"{CERTIFICATES}/{domain}/crt.pem", made + b"\n" + authority, group="ssl-cert")
        if domain == FIRST:
            out.write(f"{AUTHORITY}/certs/yunohost_crt.pem", made, 0o644)


def main_domain(root: Root) -> str:
    try:
        return root.read("/etc/yunohost/current_host").decode().strip() or FIRST
    except FileNotFoundError:
        return FIRST


def domains(root: Root) -> list[str]:
    """Domains whose certificate is YunoHost's own. One that somebody bought or brought is left alone."""
    found = []
    for path in root.glob(f"{CERTIFICATES}/*"):
        name = os.path.basename(path)
        real = root.real(path)
        own = name == FIRST or real.endswith("-selfsigned")
        if own and not name.endswith("-history") and os.path.isdir(root.at(real)):
            found.append(name)
    # Without it, nginx's default server and the LDAP server do not start.
    return found if FIRST in found else [*found, FIRST]


def dkim(root: Root) -> None:
    """Keys that sign mail, for each domain that has one."""
    out = Out(root)
    for line in root.read("/etc/dkim/keytable").decode().splitlines():
        # mail._domainkey.DOMAIN DOMAIN:mail:/etc/dkim/DOMAIN.mail.key
        fields = line.partition(" ")[2].split(":")
        if len(fields) != 3 or not fields[2].startswith("/etc/dkim/"):
            continue
        domain, selector, path = fields
        place = os.path.join(out.path, "etc/dkim")
        os.makedirs(place, exist_ok=True)
        # By opendkim's own program, with YunoHost's arguments: YunoHost reads the text file that it writes.
        subprocess.run(["opendkim-genkey", f"--domain={domain}", f"--selector={selector}", f"--directory={place}",
                        "-b", "1024"], check=True)
        os.rename(f"{place}/{selector}.private", os.path.join(out.path, path.lstrip("/")))
        os.rename(f"{place}/{selector}.txt", f"{place}/{domain}.{selector}.txt")
    if root.path == "/":
        subprocess.run(["chown", "-R", "opendkim:", f"{out.path}/etc/dkim"], check=True)


def people(_: Root) -> None:
    """Locks everybody out until the box is set up: passwords in the image were made for its building.

    YunoHost has no password for LDAP itself: root is let in by the kernel's word (SASL EXTERNAL over the socket), and the
    administrators are people in the group `admins`. slapd must not run.
    """
    ldif = _slap("slapcat", "-o", "ldif-wrap=no", "-a", "(userPassword=*)").decode()
    names = [line for line in ldif.splitlines() if line.startswith(("dn: ", "dn:: "))]
    # No password's hash is *, so nobody can give one that fits.
    changes = "".join(f"{name}\nchangetype: modify\nreplace: userPassword\nuserPassword: {{CRYPT}}*\n\n" for name in names)
    if changes:
        _slap("slapmodify", data=changes.encode())
    print(f"{len(names)} people are locked out until the box is set up")


def _slap(program: str, *words: str, data: bytes | None = None) -> bytes:
    # As its own user: files that root makes there would keep slapd from starting.
    command = ["runuser", "-u", "openldap", "--", program, "-F", "/etc/ldap/slapd.d", "-b", BASE_DN, *words]
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


def setup_page(root: Root) -> None:
    """nginx: YunoHost's own servers show the setup page in place of the administration (snippets/clic-setup.conf)."""
    out = Out(root)
    for directory in root.glob("/etc/nginx/conf.d/*.d"):
        out.write(f"{directory}/clic-setup.conf", b"include snippets/clic-setup.conf;\n", 0o644)


def postgresql(_: Root) -> None:
    """The database's own password, which YunoHost keeps in a file. Made of letters and digits, so safe in quotes."""
    with open(os.path.join(os.environ["CLIC_VALUES"], "postgresql"), encoding="ascii") as file:
        order = f"ALTER USER postgres WITH PASSWORD '{file.read()}';"
    subprocess.run(["runuser", "-u", "postgres", "--", "psql", "--quiet", "--set=ON_ERROR_STOP=1", "postgres"],
                   input=order.encode(), check=True)


if __name__ == "__main__":
    WORDS = {"certificates": certificates, "dkim": dkim, "people": people, "postgresql": postgresql,
             "setup-page": setup_page}
    try:
        WORDS[sys.argv[1]](Root(os.environ["CLIC_ROOT"]))
    except (Failed, certificate.Failed, subprocess.CalledProcessError, OSError) as error:
        sys.exit(str(error))
