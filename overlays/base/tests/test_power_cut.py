"""First boot is cut off at every change of the disk that it makes, and at random moments, and ends well at the next boot."""

import contextlib
import io
import json
import os
import random
import re
import signal
import subprocess
import time
import unittest
from collections.abc import Sequence

from clic.first_boot import runner, state, steps
from first_boot_device import MAIN, Device, device
from helpers import searched
from power import Power

TOKEN = """
[[value]]
name = "cookie"
length = 40
[[file]]
path = "/etc/app/secret"
text = "key=@cookie@\\n"
mode = "0640"
"""
# A database that holds what two files of a program must know: all three have one value in the end.
DATABASE = """
[[value]]
name = "db"
alphabet = "hex"
[[replace]]
files = ["/var/www/app/*.php"]
placeholder = "@@CLIC-DB-PASSWORD@@"
value = "db"
[[apply]]
run = ["sh", "-c", "cat $CLIC_VALUES/db > $CLIC_ROOT/database"]
"""
# Two files that belong together, made by a program of somebody else's.
PAIR = """
secrets = ["/etc/pair/key"]
[[command]]
run = ["sh", "-c", "mkdir -p $CLIC_OUT/etc/pair; cd $CLIC_OUT/etc/pair; od -An -N16 -tx1 /dev/urandom > key; cp key key.pub"]
"""


def made(**more: str) -> contextlib.AbstractContextManager[Device]:
    return device(_10_token=TOKEN, _20_database=DATABASE, _30_pair=PAIR, **more)


def fill(box: Device) -> None:
    # As an image has them: a secret that was forgotten in it, and placeholders.
    box.write("/etc/app/secret", "key=the-same-everywhere\n")
    for name in ("config", "install"):
        box.write(f"/var/www/app/{name}.php", f"<?php // {name}\n$password = '@@CLIC-DB-PASSWORD@@';\n")


def seen(box: Device) -> dict[str, str]:
    """What the steps that are done have made; programs may be using it."""
    found: dict[str, str] = {}
    for name, paths in (("10-token", ["/etc/app/secret"]), ("20-database", ["/var/www/app/config.php", "/database"]),
                        ("30-pair", ["/etc/pair/key", "/etc/pair/key.pub"])):
        if state.is_done(box.root, name):
            found |= {path: box.read(path) for path in paths}
    return found


class PowerCut(unittest.TestCase):
    def right(self, box: Device) -> None:
        """Everything that must be so when first boot is over."""
        self.assertRegex(box.read("/etc/app/secret"), re.compile(r"\Akey=[A-Za-z0-9]{40}\n\Z"))
        self.assertEqual(box.mode("/etc/app/secret"), 0o640)
        passwords = {searched(r"'([0-9a-f]{32})'", box.read(f"/var/www/app/{name}.php"))[1]
                     for name in ("config", "install")}
        self.assertEqual(passwords, {box.read("/database")})
        self.assertIn("<?php // config\n", box.read("/var/www/app/config.php"))
        self.assertEqual(box.read("/etc/pair/key"), box.read("/etc/pair/key.pub"))
        self.assertTrue(state.all_done(box.root))
        self.assertEqual([], [path for path in box.names_below() if "clic-new" in path])
        self.assertEqual(os.listdir(box.root.at("/var/lib/clic/first-boot/work")), [])
        self.assertEqual({entry["state"] for entry in state.secrets(box.root)}, {"own"})

    def test_at_every_change_of_the_disk(self) -> None:
        for unkind in (False, True):
            at, cuts = 0, 0
            while True:
                at += 1
                with made() as box:
                    fill(box)
                    with Power(at, unkind) as power, contextlib.redirect_stdout(io.StringIO()):
                        runner.run_all(box.root)
                    if power.count < at:
                        break
                    cuts += 1
                    in_use = seen(box)
                    # And again in the middle of the boot that is to mend it.
                    with Power(random.randint(1, 30), unkind), contextlib.redirect_stdout(io.StringIO()):
                        runner.run_all(box.root)
                    in_use |= seen(box)
                    done, said = box.run()
                    self.assertTrue(done, f"cut at change {at}: {said}")
                    self.right(box)
                    for path, value in in_use.items():
                        self.assertEqual(box.read(path), value, f"{path} got a second value after a cut at {at}")
            # Else the test has watched nothing.
            self.assertGreater(cuts, 60)

    def test_killed_at_random_moments(self) -> None:
        with made() as box:
            fill(box)
            began = time.monotonic()
            subprocess.run([*MAIN, "--root", box.path, "run"], check=True, stdout=subprocess.DEVNULL)
            whole = time.monotonic() - began
            self.right(box)
        for _ in range(12):
            with made() as box:
                fill(box)
                for _ in range(2):
                    kill_after(random.uniform(0, whole), [*MAIN, "--root", box.path, "run"])
                in_use = seen(box)
                done, said = box.run()
                self.assertTrue(done, said)
                self.right(box)
                for path, value in in_use.items():
                    self.assertEqual(box.read(path), value)

    def test_nothing_is_made_twice(self) -> None:
        with made() as box:
            fill(box)
            box.run()
            before = seen(box)
            self.assertEqual(len(before), 5)
            self.assertTrue(box.run()[0])
            self.assertEqual(seen(box), before)

    def test_two_devices_of_one_image_share_nothing(self) -> None:
        with made() as one, made() as other:
            hashes = []
            for box in (one, other):
                fill(box)
                box.run()
                hashes.append({entry["secret"]: entry["sha256"] for entry in state.secrets(box.root)})
            self.assertEqual(list(hashes[0]), ["/etc/app/secret", "value:db", "/etc/pair/key"])
            self.assertEqual(hashes[0].keys(), hashes[1].keys())
            for secret in hashes[0]:
                self.assertNotEqual(hashes[0][secret], hashes[1][secret], secret)

    def test_a_value_that_was_committed_stays(self) -> None:
        # The database may have taken the new password when the power went, before the step was noted done.
        failing = DATABASE.replace("cat $CLIC_VALUES/db > $CLIC_ROOT/database",
                                   "cat $CLIC_VALUES/db > $CLIC_ROOT/database; test -e $CLIC_ROOT/up")
        with device(_20_database=failing) as box:
            fill(box)
            done, said = box.run()
            self.assertFalse(done)
            self.assertIn("20-database: failed", said)
            taken = box.read("/database")
            box.write("/up", "")
            self.assertTrue(box.run()[0])
            self.assertEqual(box.read("/database"), taken)
            self.assertIn(taken, box.read("/var/www/app/config.php"))


def kill_after(seconds: float, words: Sequence[str]) -> None:
    """Kills a program with what it has started: a power cut leaves nobody running."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    with contextlib.suppress(OSError):
        os.kill(process.pid, signal.SIGSTOP)
        with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as file:
            for child in file.read().split():
                os.killpg(int(child), signal.SIGKILL)
    process.kill()
    process.wait()


class Report(unittest.TestCase):
    def test_status_in_json(self) -> None:
        with made(_40_other='only-if = ["/nowhere"]\n') as box:
            fill(box)
            words = [*MAIN, "--root", box.path, "status", "--json"]
            before = subprocess.run(words, capture_output=True)
            self.assertEqual(before.returncode, 1)
            self.assertEqual(json.loads(before.stdout)["state"], "waiting")
            box.run()
            after = subprocess.run(words, capture_output=True)
            self.assertEqual(after.returncode, 0)
            report = json.loads(after.stdout)
            self.assertEqual((report["state"], report["set_up"]), ("done", False))
            self.assertEqual([(step["name"], step["state"]) for step in report["steps"]], [
                ("10-token", "done"), ("20-database", "done"), ("30-pair", "done"), ("40-other", "not-needed")])
            self.assertEqual(steps.names(box.root), [name.removesuffix(".toml") for name in
                                                     box.read("/var/lib/clic/first-boot/done").split()])

    def test_a_step_that_runs_says_so(self) -> None:
        with made() as box:
            fill(box)
            with state.lock(box.root, "10-token"):
                report = state.status(box.root)
            self.assertEqual(report["state"], "running")
            self.assertEqual([step["state"] for step in report["steps"]], ["running", "waiting", "waiting"])

    def test_a_secret_of_the_image_is_told(self) -> None:
        with made() as box:
            fill(box)
            words = [*MAIN, "--root", box.path, "secrets", "--json"]
            before = subprocess.run(words, capture_output=True)
            self.assertEqual(before.returncode, 1)
            told = {entry["secret"]: entry for entry in json.loads(before.stdout)["secrets"]}
            self.assertTrue(told["/etc/app/secret"]["as_image"])
            self.assertNotIn("the-same-everywhere", before.stdout.decode())
            box.run()
            self.assertEqual(subprocess.run(words, capture_output=True).returncode, 0)
            # Somebody puts the image's secret back, such as from a backup of another box.
            box.write("/etc/app/secret", "key=the-same-everywhere\n")
            self.assertEqual(subprocess.run(words, capture_output=True).returncode, 1)


if __name__ == "__main__":
    unittest.main()
