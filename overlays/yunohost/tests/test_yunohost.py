"""YunoHost's overlay, as far as it can be tried without YunoHost. It is tried with it by `clic test`."""

import os
import re
import subprocess
import tomllib
import unittest

from helpers import searched

OVERLAY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")


def read(path: str) -> str:
    with open(os.path.join(OVERLAY, path), encoding="utf-8") as file:
        return file.read()


class Guests(unittest.TestCase):
    def test_the_administration_is_refused_and_the_setup_page_is_not(self) -> None:
        # nginx's regular expressions are PCRE, of which this one uses nothing that Python has not.
        pattern = re.compile(searched(r'"~(\^1 .*)" 1;', read("files/etc/nginx/conf.d/clic-yunohost.conf"))[1])
        for uri, refused in (
            ("/yunohost/admin", True), ("/yunohost/admin/", True), ("/yunohost/admin/index.html", True),
            ("/yunohost/api/installed", True), ("/yunohost/admin/clic-setup.html/x", True),
            ("/yunohost/admin/clic-setup.html", False), ("/yunohost/administrator", False),
            ("/yunohost/sso/", False), ("/yunohost/portalapi/login", False), ("/pads/yunohost/api/", False),
        ):
            self.assertEqual(bool(pattern.match(f"1 {uri}")), refused, uri)
            self.assertFalse(pattern.match(f"0 {uri}"), uri)


class SetUp(unittest.TestCase):
    def test_it_is_a_script(self) -> None:
        for name in ("set-up", "all-up", "online"):
            path = f"files/usr/lib/clic/yunohost/{name}"
            subprocess.run(["sh", "-n", os.path.join(OVERLAY, path)], check=True)

    def test_the_administrators_name_is_one_that_yunohost_takes(self) -> None:
        # YunoHost's own patterns (actionsmap.yml), which refuse what they do not match before anything is done.
        words = dict(re.findall(r"--(username|fullname) (\S+)", read("files/usr/lib/clic/yunohost/set-up")))
        self.assertRegex(words["username"], r"\A[a-z0-9_.]+\Z")
        self.assertRegex(words["fullname"], r"\A([^\W_]{1,30}[ ,.'-]{0,3})+\Z")

    def test_no_hash_of_a_password_is_left(self) -> None:
        script = read("files/usr/lib/clic/yunohost/set-up")
        # `passwd --lock` puts a `!` before the hash.
        self.assertNotRegex(script, "(?m)^ *passwd ")
        self.assertLess(script.index("usermod --password '*' root"), script.index("rm -f /etc/shadow-"))
        self.assertLess(script.index("systemctl stop slapd"), script.index("first_boot.yunohost people"))
        self.assertLess(script.index("first_boot.yunohost people"), script.index("slapcat >"))

    def test_it_is_done_while_the_image_is_baked(self) -> None:
        overlay = tomllib.loads(read("overlay.toml"))
        self.assertEqual([bake["command"] for bake in overlay["bake"]],
                         ["/usr/lib/clic/yunohost/set-up", "/usr/lib/clic/yunohost/all-up"])
        self.assertFalse(any(bake.get("network") for bake in overlay["bake"]))


if __name__ == "__main__":
    unittest.main()
