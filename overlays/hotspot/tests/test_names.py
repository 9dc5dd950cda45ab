import contextlib
import io
import os
import subprocess
import tempfile
import unittest

from clic.hotspot import names
from clic.hotspot import settings as s
from helpers import needed
from hotspot_settings import settings


class OwnNames(unittest.TestCase):
    def read(self, **files: bytes) -> tuple[list[str], str]:
        with tempfile.TemporaryDirectory() as directory:
            for name, data in files.items():
                with open(os.path.join(directory, name), "wb") as file:
                    file.write(data)
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                found = names.own_names(settings(), "box", directory)
            return found, said.getvalue()

    def test_the_box_and_what_others_add(self) -> None:
        found, said = self.read(yunohost=b"# ours\nWiki.test.\n\npad.test # pads\n")
        self.assertEqual(found, ["box.local", "clic.internal", "pad.test", "wiki.test"])
        self.assertEqual(said, "")

    def test_what_is_no_name_is_left_out_and_told(self) -> None:
        evil = b"/etc/passwd\nx/1.2.3.4\na b\n-x.test\n" + b"a" * 300 + b"\ngood.test\n"
        found, said = self.read(evil=evil, binary=b"\xff\xfe\n")
        self.assertEqual(found, ["box.local", "clic.internal", "good.test"])
        self.assertEqual(said.count("is no name"), 5)
        self.assertIn("binary is left out", said)


class Dnsmasq(unittest.TestCase):
    def accepted(self, text: str) -> tuple[bool, str]:
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
            file.write(text)
            file.flush()
            done = subprocess.run(
                [needed("dnsmasq"), "--test", f"--conf-file={file.name}"], capture_output=True, text=True, timeout=10
            )
        return done.returncode == 0, done.stderr

    def test_it_reads_what_it_is_told(self) -> None:
        for online in (False, True):
            for address in ("10.42.0.1/16", "192.168.7.1/24"):
                text = names.dnsmasq_conf(settings(address=address), "box", online, "/nonexistent")
                accepted, said = self.accepted(text)
                self.assertTrue(accepted, said)
        self.assertFalse(self.accepted("interfaces=x\n")[0])

    def test_names_are_spoofed_only_without_internet(self) -> None:
        offline = names.dnsmasq_conf(settings(), "box", False, "/nonexistent")
        online = names.dnsmasq_conf(settings(), "box", True, "/nonexistent")
        self.assertIn(f"address=/#/{s.SPOOFED}", offline)
        self.assertIn("no-resolv", offline)
        self.assertNotIn(s.SPOOFED, online)
        self.assertIn("resolv-file=", online)
        self.assertNotIn("131.107", online)

    def test_when_addresses_run_short_they_are_given_for_a_short_time(self) -> None:
        for address, most in (("10.42.0.1/16", 4000), ("192.168.7.1/24", 245)):
            changed = settings(address=address)
            self.assertEqual(names.most_leases(changed), most)
            before = names.is_crowded(changed, most // 2, False), names.is_crowded(changed, most // 2 + 1, False)
            self.assertEqual(before, (False, True))
            after = names.is_crowded(changed, most // 4 + 1, True), names.is_crowded(changed, most // 4, True)
            self.assertEqual(after, (True, False))
            for crowded, lease in ((False, ",1h"), (True, ",2m")):
                text = names.dnsmasq_conf(changed, "box", False, "/nonexistent", crowded=crowded)
                (line,) = (line for line in text.splitlines() if line.startswith("dhcp-range="))
                self.assertTrue(line.endswith(lease), line)

    def test_the_servers_of_the_box(self) -> None:
        with tempfile.TemporaryDirectory() as root:
            used, real = os.path.join(root, "etc/resolv.conf"), os.path.join(root, "run/systemd/resolve/resolv.conf")
            for path in (used, real):
                os.makedirs(os.path.dirname(path))
                with open(path, "w", encoding="ascii"):
                    pass
            # Left there by a resolved that is switched off.
            self.assertEqual(names.upstream(root), used)
            os.unlink(used)
            os.symlink("../run/systemd/resolve/stub-resolv.conf", used)
            self.assertEqual(names.upstream(root), real)


if __name__ == "__main__":
    unittest.main()
