"""The power is cut while a service is switched on or off: at every change of the disk, and around every program that is
started. At the next boot, `clic-service recover` ends it, one way or the other, and nothing is half."""

import unittest
from typing import Any
from unittest import mock

from clic.services import change
from clic.services.machine import Failed
from power import Power
from services_box import BOOKS, PADS, WIKI, Box, box


class PowerCut(unittest.TestCase):
    def whole(self, b: Box, name: str) -> bool:
        """On in every way, or off in every way."""
        # A temporary name that nobody reads can be left; the next write takes it away.
        files = {file for file in b.state_files() if not file.endswith(".clic-new")}
        self.assertLessEqual(files, {"state.json", "portal.json"})
        fake = b.fake()
        with b.here() as store:
            service = store.services[name]
            on = store.state(service) == "enabled"
        seen = {unit in fake[what] for unit in service.units for what in ("enabled", "active")}
        seen |= {name in b.tiles()}
        if service.nginx:
            seen |= {f"{name}.conf" in b.parts()}
        for permission in service.permissions:
            seen |= {permission in fake["tiles"], "visitors" in fake["allowed"].get(permission, [])}
        self.assertEqual(seen, {on})
        # Others are not concerned.
        self.assertIn("books", b.tiles())
        return on

    def reboot(self, b: Box) -> None:
        """What was started for this boot alone is gone; what is enabled is started."""
        b.set(cut=0, active=list(b.fake()["enabled"]))
        with b.here() as store:
            change.recover(store)

    def test_at_every_change_of_the_disk(self) -> None:
        for name, text in (("pads", PADS), ("wiki", WIKI)):
            for to in ("enabled", "dormant"):
                at, ends = 0, set()
                while True:
                    at += 1
                    with box(**{name: text}, books=BOOKS) as b:
                        with b.here() as store:
                            change.write_first(store)
                            if to == "dormant":
                                change.change(store, store.services[name], "enabled")
                            with Power(at) as power:
                                change.change(store, store.services[name], to)
                        if power.count < at:
                            break
                        self.reboot(b)
                        ends.add(self.whole(b, name))
                # Before the journal is on the disk, nothing was begun; from then on it goes forward.
                self.assertEqual(ends, {True, False})

    def test_around_every_program(self) -> None:
        for name, text in (("pads", PADS), ("wiki", WIKI)):
            for after in (False, True):
                cut = 0
                while True:
                    cut += 1
                    with box(**{name: text.replace('packages = ["wiki"]', "")}, books=BOOKS) as b:
                        b.run("write-first")
                        b.set(cut=cut, after=after)
                        if b.run("enable", name).returncode == 0:
                            break
                        # And once more while it is mended.
                        b.set(cut=len(b.fake()["calls"]) + 1)
                        b.run("recover")
                        self.reboot(b)
                        self.assertTrue(self.whole(b, name))
                self.assertGreater(cut, 3)

    def test_while_it_goes_back(self) -> None:
        with box(pads=PADS, books=BOOKS) as b:
            b.run("write-first")
            b.set(fail=["permission add"])
            with b.here() as store:
                real = store.write_journal

                def write_journal(journal: dict[str, Any]) -> None:
                    real(journal)
                    if journal["back"]:
                        raise SystemExit

                with mock.patch.object(store, "write_journal", write_journal), self.assertRaises(SystemExit):
                    change.change(store, store.services["pads"], "enabled")
            self.assertEqual(b.fake()["enabled"], ["pads.service", "pads-db.service"])
            # What failed then would succeed now; but it was told that it goes back.
            b.set(fail=[])
            self.reboot(b)
            self.assertFalse(self.whole(b, "pads"))

    def test_what_can_not_go_forward_at_the_next_boot_goes_back(self) -> None:
        with box(pads=PADS, books=BOOKS) as b:
            b.run("write-first")
            b.set(cut=1)
            b.run("enable", "pads")
            b.set(fail=["permission add"])
            self.reboot(b)
            self.assertFalse(self.whole(b, "pads"))

    def test_another_change_first_ends_what_was_interrupted(self) -> None:
        with box(pads=PADS, wiki=WIKI, books=BOOKS) as b:
            b.set(cut=1)
            b.run("enable", "pads")
            b.set(cut=0)
            self.assertEqual(b.run("enable", "wiki").returncode, 0)
            self.assertTrue(self.whole(b, "pads"))
            self.assertTrue(self.whole(b, "wiki"))

    def test_a_service_that_is_gone_leaves_nothing_to_end(self) -> None:
        with box(books=BOOKS) as b:
            b.write("/var/lib/clic/services/journal.json", '{"service": "gone", "to": "enabled"}')
            self.reboot(b)
            self.assertEqual(b.state_files(), ["portal.json"])
            # Nor does a journal that is no journal.
            b.write("/var/lib/clic/services/journal.json", "[nonsense")
            self.reboot(b)
            self.assertEqual(b.state_files(), ["portal.json"])

    def test_a_disk_that_is_full_in_the_middle(self) -> None:
        with box(wiki=WIKI, books=BOOKS) as b, b.here() as store:
            real = store._write

            def write(name: str, value: object) -> None:
                if name == "state.json":
                    raise OSError(28, "No space left on device")
                real(name, value)

            with mock.patch.object(store, "_write", write), self.assertRaisesRegex(Failed, "No space left on device"):
                change.change(store, store.services["wiki"], "enabled")
            self.assertEqual((b.parts(), b.fake()["enabled"]), ([], []))
            self.assertNotIn("journal.json", b.state_files())


if __name__ == "__main__":
    unittest.main()
