"""YunoHost's steps, on a directory with the same files in the same places. YunoHost itself is tried by hand."""

import os
import subprocess
import sys
import unittest

from clic.first_boot import state, steps
from first_boot_device import Device, device
from helpers import files, needed, programs, searched

STEPS = [os.path.join(files(overlay), "usr/lib/clic/first-boot.d") for overlay in ("base", "first-boot")]

DOMAIN = "clic.internal"
HISTORY = f"/etc/yunohost/certs/{DOMAIN}-history/20261126.120000-selfsigned"


def shipped(box: Device, *names: str) -> None:
    """The steps that we ship. What they start of ours is found as these tests find it."""
    here = f'"env", "PYTHONPATH={os.environ["PYTHONPATH"]}", "{sys.executable}", "-B", "-m"'
    for name in names:
        place = next(place for place in STEPS if os.path.exists(os.path.join(place, f"{name}.toml")))
        with open(os.path.join(place, f"{name}.toml"), encoding="utf-8") as file:
            box.write(f"/usr/lib/clic/first-boot.d/{name}.toml", file.read().replace('"python3", "-IB", "-m"', here))


def installed(box: Device) -> None:
    """As a sealed image with YunoHost has it: certificates without their keys."""
    box.write("/etc/yunohost/installed", "")
    box.write("/etc/yunohost/current_host", f"{DOMAIN}\n")
    for path in ("/etc/yunohost/certs/yunohost.org", HISTORY):
        box.write(f"{path}/crt.pem", "of the image\n")
    # YunoHost's link is absolute.
    os.symlink(HISTORY, box.root.at(f"/etc/yunohost/certs/{DOMAIN}"))
    bought = "/etc/yunohost/certs/bought.example-history/20261126.120000-letsencrypt"
    box.write(f"{bought}/key.pem", "bought\n")
    os.symlink(bought, box.root.at("/etc/yunohost/certs/bought.example"))
    box.write("/usr/share/yunohost/ssl/ca/cacert.pem", "of the image\n")
    # In the place of a key that nobody reads.
    box.write("/usr/share/yunohost/ssl/certs/yunohost_key.pem", "")


def openssl(*words: str) -> str:
    return subprocess.run(["openssl", *words], check=True, capture_output=True, text=True).stdout


class Certificates(unittest.TestCase):
    def setUp(self) -> None:
        needed("openssl")

    def test_an_authority_and_what_it_signs(self) -> None:
        with device() as box:
            shipped(box, "40-yunohost-certificates")
            installed(box)
            done, said = box.run()
            self.assertTrue(done, said)
            authority = box.root.at("/usr/share/yunohost/ssl/ca/cacert.pem")
            # In the form in which YunoHost compares it with the main domain: the fourth word.
            issuer = searched("Issuer: .*", openssl("x509", "-in", authority, "-text"))[0]
            self.assertEqual(issuer.replace(",", "").split()[3], DOMAIN)
            for name, place in (("yunohost.org", "/etc/yunohost/certs/yunohost.org"), (DOMAIN, HISTORY)):
                crt = box.root.at(f"{place}/crt.pem")
                self.assertIn("OK", openssl("verify", "-CAfile", authority, "-verify_hostname", name, crt))
                self.assertEqual(openssl("pkey", "-in", box.root.at(f"{place}/key.pem"), "-pubout"),
                                 openssl("x509", "-in", crt, "-noout", "-pubkey"))
                self.assertEqual(box.mode(f"{place}/key.pem"), 0o640)
                self.assertTrue(box.read(f"{place}/crt.pem").endswith(box.read("/usr/share/yunohost/ssl/ca/cacert.pem")))
            self.assertTrue(os.path.islink(box.root.at(f"/etc/yunohost/certs/{DOMAIN}")))
            self.assertEqual(box.read("/etc/yunohost/certs/yunohost.org/ca.pem"),
                             box.read("/usr/share/yunohost/ssl/ca/cacert.pem"))
            self.assertRegex(box.read("/usr/share/yunohost/ssl/serial"), r"\A[0-9a-f]{38}\n\Z")
            self.assertEqual(box.read("/etc/yunohost/certs/bought.example-history/20261126.120000-letsencrypt/key.pem"),
                             "bought\n")
            self.assertEqual([entry["secret"] for entry in state.secrets(box.root)], [
                "/usr/share/yunohost/ssl/ca/cakey.pem", "/etc/yunohost/certs/yunohost.org/key.pem", f"{HISTORY}/key.pem"])

    def test_the_authority_signs_later_ones_too(self) -> None:
        # As YunoHost does it, with `openssl ca`, when a domain is added.
        with device() as box:
            shipped(box, "40-yunohost-certificates")
            installed(box)
            box.run()
            place = box.root.at("/usr/share/yunohost/ssl")
            box.write("/ca.cnf", f"[ca]\ndefault_ca=x\n[x]\ndatabase={place}/index.txt\nserial={place}/serial\n"
                      f"new_certs_dir={box.path}\ncertificate={place}/ca/cacert.pem\nprivate_key={place}/ca/cakey.pem\n"
                      "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
            key, request, made = (box.root.at(f"/{name}") for name in ("new.key", "new.csr", "new.crt"))
            openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-batch", "-subj", "/CN=new.test", "-keyout", key,
                    "-out", request)
            openssl("ca", "-config", box.root.at("/ca.cnf"), "-days", "30", "-in", request, "-out", made, "-batch")
            self.assertIn("OK", openssl("verify", "-CAfile", f"{place}/ca/cacert.pem", made))

    def test_before_it_is_installed_there_is_one_all_the_same(self) -> None:
        with device() as box:
            shipped(box, "40-yunohost-certificates")
            box.write("/etc/yunohost/certs/yunohost.org/crt.pem", "of the image\n")
            self.assertTrue(box.run()[0])
            self.assertIn("BEGIN PRIVATE KEY", box.read("/etc/yunohost/certs/yunohost.org/key.pem"))


class Others(unittest.TestCase):
    def test_without_yunohost_nothing_of_it_is_needed(self) -> None:
        names = [name.removesuffix(".toml") for place in STEPS for name in os.listdir(place)]
        with device() as box:
            shipped(box, *names)
            box.write("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
            self.assertTrue(box.run()[0])
            self.assertEqual({step["name"]: step["state"] for step in state.status(box.root)["steps"]},
                             {name: "done" if name == "10-identity" else "not-needed" for name in names})
            self.assertEqual([entry["secret"] for entry in state.secrets(box.root)], ["/etc/machine-id"])

    def test_cookies(self) -> None:
        with device() as box:
            shipped(box, "41-yunohost-cookies")
            installed(box)
            self.assertTrue(box.run()[0])
            self.assertRegex(box.read("/etc/yunohost/.admin_cookie_secret"), r"\A[A-Za-z0-9]{64}\Z")
            self.assertRegex(box.read("/etc/yunohost/.ssowat_cookie_secret"), r"\A[A-Za-z0-9]{32}\Z")
            self.assertEqual(box.mode("/etc/yunohost/.ssowat_cookie_secret"), 0o400)

    def test_mail_keys(self) -> None:
        genkey = ('for word; do case $word in --directory=*) cd "${word#*=}";; --selector=*) s=${word#*=};; '
                  '--domain=*) d=${word#*=};; esac; done\n'
                  'od -An -N9 -tx1 /dev/urandom > $s.private; echo "for $d" > $s.txt')
        with programs(opendkim_genkey=genkey), device() as box:
            shipped(box, "52-yunohost-dkim")
            box.write("/usr/sbin/opendkim-genkey", "")
            box.write("/etc/dkim/keytable", f"\nmail._domainkey.{DOMAIN} {DOMAIN}:mail:/etc/dkim/{DOMAIN}.mail.key\n"
                      "nonsense\nx y:z:/elsewhere\n")
            done, said = box.run()
            self.assertTrue(done, said)
            self.assertEqual(box.read(f"/etc/dkim/{DOMAIN}.mail.txt"), f"for {DOMAIN}\n")
            self.assertEqual([entry["secret"] for entry in state.secrets(box.root)], [f"/etc/dkim/{DOMAIN}.mail.key"])
            self.assertEqual(sorted(os.listdir(box.root.at("/etc/dkim"))),
                             [f"{DOMAIN}.mail.key", f"{DOMAIN}.mail.txt", "keytable"])

    def test_everybody_is_locked_out(self) -> None:
        run = ('shift 3\n'
               'if [ $1 = slapcat ]; then printf "dn: uid=a,ou=users\\nuserPassword:: e1NTSEF9\\n\\ndn:: dWlkPcOp\\n"; '
               'else cat > $CLIC_ROOT/ldif; fi')
        with programs(runuser=run), device() as box:
            shipped(box, "42-yunohost-people")
            # It waits for this one.
            shipped(box, "40-yunohost-certificates")
            installed(box)
            box.write("/usr/sbin/slapmodify", "")
            done, said = box.run()
            self.assertTrue(done, said)
            self.assertEqual(box.read("/ldif").split("\n\n")[:2], [
                f"{name}\nchangetype: modify\nreplace: userPassword\nuserPassword: {{CRYPT}}*"
                for name in ("dn: uid=a,ou=users", "dn:: dWlkPcOp")])

    def test_the_setup_page_is_in_all_of_its_servers(self) -> None:
        with device() as box:
            shipped(box, "30-yunohost-setup-page")
            installed(box)
            for name in (DOMAIN, "default"):
                os.makedirs(box.root.at(f"/etc/nginx/conf.d/{name}.d"))
            self.assertTrue(box.run()[0])
            for name in (DOMAIN, "default"):
                self.assertIn("include snippets/clic-setup.conf;", box.read(f"/etc/nginx/conf.d/{name}.d/clic-setup.conf"))

    def test_a_database_takes_its_password_before_anybody_needs_it(self) -> None:
        with programs(runuser='cat > $CLIC_ROOT/sql'), device() as box:
            shipped(box, "60-yunohost-postgresql")
            box.write("/etc/yunohost/psql", "of the image")
            done, said = box.run()
            self.assertTrue(done, said)
            self.assertEqual(box.read("/sql"), f"ALTER USER postgres WITH PASSWORD '{box.read('/etc/yunohost/psql').strip()}';")
            self.assertEqual(steps.load(box.root, "60-yunohost-postgresql").needs, ["postgresql.service"])

    def test_the_page_can_be_read_by_everybody(self) -> None:
        with open(os.path.join(files("first-boot"), "usr/share/clic/setup/index.html"), encoding="utf-8") as file:
            page = file.read()
        self.assertNotIn("<script", page)
        self.assertNotRegex(page, "(?:https?:)?//[a-z]")
        for needed_part in ('lang="fr"', 'lang="en"', 'name="viewport"', "<h1", "<title>"):
            self.assertIn(needed_part, page)


if __name__ == "__main__":
    unittest.main()
