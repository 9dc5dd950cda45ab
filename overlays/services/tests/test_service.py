import os
import signal
import string
import subprocess
import tempfile
import time
import unittest
from typing import Any
from unittest import mock

from clic.services import change, machine, needs, words
from services_box import BOOKS, MAIN, PADS, WIKI, Box, box

BIG = 1 << 50


class Switching(unittest.TestCase):
    def test_a_yunohost_app(self) -> None:
        with box(pads=PADS) as b:
            done = b.run("enable", "pads")
            said = "Notepads is on: https://pads.clic.internal/pads/\n"
            self.assertEqual((done.returncode, done.stdout), (0, said), done.stderr)
            self.assertEqual(b.fake()["calls"], [
                "systemctl enable --now pads.service pads-db.service",
                "yunohost user permission update etherpad.main --show_tile True",
                "yunohost user permission add etherpad.main visitors",
            ])
            self.assertEqual(b.tiles(), ["pads"])
            self.assertEqual(b.state_files(), ["portal.json", "state.json"])
            self.assertEqual(b.run("disable", "pads").returncode, 0)
            fake = b.fake()
            self.assertEqual((fake["enabled"], fake["active"], fake["tiles"]), ([], [], []))
            self.assertEqual(fake["allowed"], {"etherpad.main": ["all_users"]})
            self.assertEqual(b.tiles(), [])

    def test_a_debian_service_has_its_place_in_nginx(self) -> None:
        with box(wiki=WIKI, books=BOOKS) as b:
            self.assertEqual(b.run("enable", "wiki").returncode, 0)
            self.assertEqual(b.fake()["calls"], [
                "dpkg-query --show --showformat=${Package} ${db:Status-Status}\n wiki", "systemctl enable --now wiki.service",
                "nginx -t", "systemctl try-reload-or-restart nginx.service"])
            self.assertIn("location /wiki/ { return 204; }\n", b.read("/etc/nginx/clic.d/services/wiki.conf"))
            self.assertEqual(b.tiles(), ["books", "wiki"])
            b.run("disable", "wiki")
            self.assertEqual(b.parts(), [])
            # One that came switched on can be switched off.
            b.run("disable", "books")
            self.assertEqual(b.tiles(), [])

    def test_twice_is_fine_and_said(self) -> None:
        with box(pads=PADS) as b:
            b.run("enable", "pads")
            calls = b.fake()["calls"]
            code, answer = b.json("enable", "pads")
            self.assertEqual((code, answer["ok"], answer["changed"]), (0, True, False))
            self.assertEqual(answer["text"], "Notepads was on already: nothing to do.")
            self.assertEqual(b.fake()["calls"], calls)
            self.assertEqual(b.run("disable", "pads").returncode, 0)
            self.assertIn("was off already", b.run("disable", "pads").stdout)

    def test_what_is_on_but_does_not_run_is_started_again(self) -> None:
        with box(pads=PADS) as b:
            b.run("enable", "pads")
            b.set(active=["pads-db.service"])
            self.assertIn("on, but pads.service is not: inactive", b.run("status", "pads").stdout)
            done = b.run("enable", "pads")
            self.assertEqual(done.returncode, 0)
            self.assertIn("switched on again", done.stdout)
            self.assertIn("pads.service", b.fake()["active"])

    def test_the_first_boot_writes_what_came_switched_on(self) -> None:
        with box(pads=PADS, books=BOOKS) as b:
            b.write("/etc/nginx/clic.d/services/wiki.conf", "")
            self.assertEqual(b.run("write-first").returncode, 0)
            self.assertIn("books.conf", b.parts())
            self.assertEqual(b.tiles(), ["books"])
            part = b.read("/etc/nginx/clic.d/services/books.conf")
            self.assertIn("location /books/ {\n    alias /srv/books/;", part)
            self.assertEqual(b.fake()["calls"], [])


class Reloading(unittest.TestCase):
    """nginx answers as before for a while after it was told: whoever is told "on" must find it on."""

    def proc(self, directory: str, **titles: str) -> None:
        os.makedirs(f"{directory}/7/task/7", exist_ok=True)
        with open(f"{directory}/7/task/7/children", "w", encoding="ascii") as file:
            file.write(" ".join(titles).replace("p", "") + " 99 ")
        for name, title in titles.items():
            os.makedirs(f"{directory}/{name[1:]}", exist_ok=True)
            with open(f"{directory}/{name[1:]}/cmdline", "w", encoding="ascii") as file:
                file.write(f"nginx: {title}\0")

    def test_workers_are_those_that_take_requests(self) -> None:
        with tempfile.TemporaryDirectory() as directory, \
                mock.patch.object(machine, "_show", lambda *_: {"MainPID": "7"}):
            self.proc(directory, p8="worker process", p9="worker process", p10="cache manager process")
            self.assertEqual(machine._workers(directory), {"8", "9"})
            self.proc(directory, p8="worker process is shutting down", p11="worker process")
            self.assertEqual(machine._workers(directory), {"11"})
        with mock.patch.object(machine, "_show", lambda *_: {"MainPID": "0"}):
            self.assertEqual(machine._workers(), set())

    def test_it_waits_for_the_old_ones(self) -> None:
        seen = [{"8"}, {"8"}, {"8", "9"}, {"9"}]
        with mock.patch.object(machine, "run"), mock.patch.object(machine, "_workers", lambda: seen.pop(0)):
            machine.reload_nginx()
        self.assertEqual(seen, [])
        with mock.patch.object(machine, "run"), mock.patch.object(machine, "_workers", lambda: {"8"}), \
                mock.patch.object(machine, "NGINX_SECONDS", 0):
            self.assertRaisesRegex(machine.Failed, "nginx", machine.reload_nginx)


class Failing(unittest.TestCase):
    def as_before(self, b: Box) -> None:
        fake = b.fake()
        self.assertEqual((fake["enabled"], fake["active"], fake["tiles"], b.parts()), ([], [], [], []))
        self.assertEqual(fake["allowed"].get("etherpad.main", ["all_users"]), ["all_users"])
        self.assertNotIn("journal.json", b.state_files())
        if "portal.json" in b.state_files():
            self.assertEqual(b.tiles(), [])

    def test_everything_is_undone(self) -> None:
        for fails in ("enable --now", "--show_tile True", "permission add"):
            with self.subTest(fails), box(pads=PADS) as b:
                b.set(fail=[fails])
                done = b.run("enable", "pads")
                self.assertEqual(done.returncode, 1)
                self.assertIn("everything is as it was before", done.stderr)
                self.assertIn(f"no luck with {fails}", done.stderr)
                self.as_before(b)

    def test_what_nginx_does_not_take_is_taken_away(self) -> None:
        with box(wiki=WIKI.replace("location", "nonsense")) as b:
            done = b.run("enable", "wiki")
            self.assertEqual(done.returncode, 1)
            self.assertIn("unknown directive nonsense", done.stderr)
            self.as_before(b)
            self.assertEqual(b.fake()["calls"][-3:], [
                "nginx -t", "systemctl try-reload-or-restart nginx.service", "systemctl disable --now wiki.service"])

    def test_a_service_that_does_not_come_up(self) -> None:
        with box(pads=PADS) as b:
            b.set(broken=["pads.service"], dead="failed")
            done = b.run("enable", "pads")
            self.assertEqual(done.returncode, 1)
            self.assertIn("pads.service did not start: see `journalctl -u pads.service`", done.stderr)
            self.as_before(b)
            b.write("/usr/share/clic/services.d/pads.toml", PADS.replace("[yuno", "[nginx]\nx=1\n[yuno"))
            self.assertIn("unknown key x", b.run("list").stderr)
            b.write("/usr/share/clic/services.d/pads.toml", "start-seconds = 1\n" + PADS)
            b.set(dead="inactive")
            self.assertIn("pads.service is not active after 1 s", b.run("enable", "pads").stderr)
            self.as_before(b)

    def test_a_program_that_ends_a_moment_later(self) -> None:
        with box(pads=PADS) as b:
            b.set(flappy=["pads.service"])
            self.assertIn("pads.service did not start", b.run("enable", "pads").stderr)
            self.as_before(b)

    def test_a_port_on_which_nobody_listens(self) -> None:
        wiki = WIKI.replace('text = "location /wiki/ { return 204; }"', "port = 1")
        with box(wiki="start-seconds = 1\n" + wiki) as b:
            self.assertIn("nothing listens on port 1 after 1 s", b.run("enable", "wiki").stderr)
            self.as_before(b)

    def test_undoing_that_fails_is_tried_again(self) -> None:
        with box(pads=PADS) as b:
            b.set(fail=["permission add", "disable --now"])
            done = b.run("enable", "pads")
            self.assertEqual(done.returncode, 1)
            self.assertIn("undoing it failed as well", done.stderr)
            self.assertIn("journal.json", b.state_files())
            self.assertEqual(b.json("status")[1]["unfinished"], {"service": "pads", "to": "enabled"})
            b.set(fail=[])
            done = b.run("recover")
            self.assertEqual(done.returncode, 0)
            self.assertIn("has ended now: dormant", done.stdout)
            self.as_before(b)

    def test_somebody_stops_it(self) -> None:
        with box(pads=PADS) as b:
            b.set(broken=["pads.service"])
            process = subprocess.Popen([*MAIN, "--root", b.path, "enable", "pads"], env=b.environment,
                                       stderr=subprocess.PIPE, text=True)
            while "journal.json" not in b.state_files() or "pads.service" not in b.fake()["enabled"]:
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            said = process.communicate(timeout=60)[1]
            self.assertEqual(process.returncode, 130, said)
            self.assertIn("interrupted", said)
            self.as_before(b)


class Refusing(unittest.TestCase):
    """Before anything is changed, and in numbers."""

    def refused(self, b: Box, name: str = "pads") -> dict[str, dict[str, Any]]:
        before = b.state_files()
        code, answer = b.json("enable", name)
        self.assertEqual((code, answer["ok"], answer["changed"], answer["state"]), (1, False, False, "dormant"))
        self.assertEqual(b.state_files(), before)
        self.assertEqual([call for call in b.fake()["calls"] if "dpkg" not in call], [])
        self.assertIn("nothing was changed", answer["text"])
        return {problem["code"]: problem for problem in answer["problems"]}

    def test_disk_and_memory(self) -> None:
        with box(pads=PADS.replace("disk = 1048576", f"disk = {BIG}")) as b:
            b.write("/proc/meminfo", "MemAvailable: 51200 kB\n")
            found = self.refused(b)
            self.assertEqual(found["disk-full"]["needed"], BIG + needs.DISK_RESERVE)
            self.assertRegex(found["disk-full"]["text"], r"it needs 1.0 PiB free on the disk; [0-9.]+ .iB are free")
            self.assertEqual(found["memory-short"]["text"], "it needs 132 MiB of free memory; 50 MiB are free")
            self.assertEqual((found["memory-short"]["needed"], found["memory-short"]["there"]), (132 << 20, 50 << 20))
            said = b.run("enable", "pads", locale="fr_FR.UTF-8").stderr
            self.assertIn("Pads n’a pas été mis en marche, et rien n’a été changé :", said)
            self.assertIn("il faut 132 Mio de mémoire libre, il y en a 50 Mio", said)

    def test_what_takes_the_memory_is_named(self) -> None:
        with box(pads=PADS, other=PADS.replace("dormant", "enabled").replace("/pads", "/other")) as b:
            b.write("/proc/meminfo", "MemAvailable: 51200 kB\n")
            self.assertIn("on are: other (100 MiB)", self.refused(b)["memory-short"]["text"])

    def test_a_full_disk_is_refused_before_anything_is_changed(self) -> None:
        full = os.statvfs_result((4096, 4096, 1000, 0, 0, 100, 100, 100, 0, 255))
        names = os.statvfs_result((4096, 4096, 10**9, 10**9, 10**9, 100, 0, 0, 0, 255))
        for info in (full, names):
            with box(pads=PADS) as b, b.here() as store, mock.patch.object(os, "statvfs", lambda _, info=info: info):
                with self.assertRaises(change.Refused) as caught:
                    change.change(store, store.services["pads"], "enabled")
                self.assertEqual([problem["code"] for problem in caught.exception.problems], ["disk-full"])
                self.assertEqual((b.state_files(), b.fake()["calls"]), ([], []))

    def test_what_is_missing(self) -> None:
        with box(wiki=WIKI, pads=PADS) as b:
            b.set(packages=[], units=[])
            found = self.refused(b, "wiki")
            self.assertEqual(found["package-missing"]["text"], "the package wiki is not in this image")
            self.assertEqual(found["unit-missing"]["text"], "the unit wiki.service is not in this image")
            b.set(units=["pads.service", "pads-db.service"])
            os.unlink(b.root.at("/etc/yunohost/apps/etherpad/settings.yml"))
            os.rmdir(b.root.at("/etc/yunohost/apps/etherpad"))
            self.assertIn("the YunoHost app etherpad is not", self.refused(b)["no-app"]["text"])
            os.unlink(b.root.at("/etc/yunohost/installed"))
            self.assertIn("no-yunohost", self.refused(b))

    def test_other_services(self) -> None:
        other = BOOKS.replace('"/books"', '"/wiki"')
        with box(wiki='needs = ["pads"]\nconflicts = ["loud"]\n' + WIKI, pads=PADS, books=other,
                 loud=BOOKS.replace("/books", "/loud")) as b:
            found = self.refused(b, "wiki")
            self.assertEqual(found["needs-service"]["text"], "it needs Notepads first: clic-service enable pads")
            self.assertEqual(found["path-taken"]["text"], "the address /wiki is taken by Books: clic-service disable books")
            self.assertEqual(found["conflict"]["text"], "it does not go with Books: clic-service disable loud")
            for name in ("books", "loud"):
                self.assertEqual(b.run("disable", name).returncode, 0)
            for name in ("pads", "wiki"):
                self.assertEqual(b.run("enable", name).returncode, 0)
            code, answer = b.json("disable", "pads")
            self.assertEqual(code, 1)
            self.assertEqual(answer["problems"][0]["text"], "Wiki needs it: clic-service disable wiki")

    def test_requests_that_are_wrong(self) -> None:
        with box(pads=PADS) as b:
            for asked, said in (
                (["enable", "pad"], "there is no service `pad` in this box; is `pads` meant?"),
                (["enable", "zzz"], "there is no service `zzz` in this box; there are: pads"),
                (["enable"], "enable needs the name of one service"), (["enable", "a", "b"], "one word too many: b"),
                (["start", "pads"], "unknown command: start"), (["list", "--jsn"], "unknown option: --jsn"),
                (["enable", "../../etc/passwd"], "there is no service"), ([], "clic-service COMMAND"),
            ):
                done = b.run(*asked)
                self.assertEqual(done.returncode, 2, asked)
                self.assertIn(said, done.stderr)
            self.assertIn("erreur: commande inconnue", b.run("x", locale="fr_FR.UTF-8").stderr)


class Telling(unittest.TestCase):
    def test_lists(self) -> None:
        with box(pads=PADS, books=BOOKS) as b:
            code, answer = b.json("list")
            self.assertEqual([(s["name"], s["state"], s["shipped"]) for s in answer["services"]],
                             [("books", "enabled", "enabled"), ("pads", "dormant", "dormant")])
            code, answer = b.json("status", "pads")
            self.assertEqual(code, 0)
            pads = answer["services"][0]
            self.assertEqual((pads["can_enable"], pads["running"], pads["problems"]), (True, False, []))
            self.assertEqual(pads["units"][0], {"unit": "pads.service", "load": "loaded", "active": "inactive",
                                                "enabled": "disabled"})
            self.assertEqual((answer["memory_free"], answer["unfinished"]), (1000000 * 1024, None))
            self.assertIn("en sommeil", b.run("list", locale="fr_FR.UTF-8").stdout)
            self.assertEqual(b.json("list")[1]["services"][1]["title"], {"fr": "Pads", "en": "Notepads"})

    def test_a_file_that_is_wrong_is_told_and_left_out(self) -> None:
        for text, said in (
            (PADS.replace("ram =", "rma ="), "unknown key rma, ram is meant?"),
            (PADS.replace("dormant", "asleep"), "state asleep is none of enabled, dormant"),
            (PADS.replace("[yunohost]", "[nginx]"), "unknown key app"),
            (BOOKS.replace("/srv/books", "/srv/x; return 200"), "root is no path"),
            (BOOKS.replace('"/books"', '"/b{}"'), "path: /b{} is not like /pads"),
            (BOOKS.replace("[nginx]", "[nginx]\nport = 80"), "one of root, port and text"),
            (BOOKS.replace("[nginx]", "[nginx]\nuploads = 1"), "uploads are for a port"),
            (BOOKS.replace("[nginx]", "[nginx]\nuploads = -1"), "uploads are bytes, 0 or more"),
            (WIKI.replace("wiki.service", "wiki"), "wiki is no systemd unit"),
            ('title = "x"', "schema is missing"),
        ):
            with box(bad=text, books=BOOKS) as b:
                done = b.run("list")
                self.assertEqual(done.returncode, 0)
                self.assertIn("services.d/bad.toml", done.stderr)
                self.assertIn(said, done.stderr)
                self.assertIn("books", done.stdout)

    def test_both_languages_say_everything(self) -> None:
        for key, texts in words.TEXTS.items():
            self.assertEqual(len(texts), 2, key)
            fields = [set(string.Formatter().parse(text)) for text in texts]
            french, english = ({field for _, field, _, _ in parsed if field} for parsed in fields)
            self.assertEqual(french, english, key)
        with mock.patch.dict(os.environ, {"LC_ALL": "fr_FR.UTF-8"}):
            self.assertEqual((words.size(1536), words.size(0), words.size(50 << 20)), ("1,5 Kio", "0 o", "50 Mio"))


if __name__ == "__main__":
    unittest.main()
