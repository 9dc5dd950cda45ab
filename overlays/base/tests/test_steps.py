import contextlib
import errno
import io
import os
import subprocess
import tempfile
import unittest
from unittest import mock

from clic import disk
from clic.first_boot import generator, runner, state, steps
from clic.schema import Wrong
from first_boot_device import Device, device
from helpers import files, needed, programs

TOKEN = '[[value]]\nname = "token"\n[[file]]\npath = "/etc/x/secret"\ntext = "@token@"\n'


class Files(unittest.TestCase):
    """What a step's file can say, and how it is told that it can't."""

    def wrong(self, text: str, name: str = "10-x") -> str:
        with device() as box:
            box.step(name, text)
            with self.assertRaises(Wrong) as caught:
                steps.load(box.root, name)
            return str(caught.exception)

    def test_the_steps_that_we_ship_are_right(self) -> None:
        found, wrong = steps.load_all(disk.Root(files("base")))
        self.assertEqual(wrong, {})
        self.assertIn("10-identity", [step.name for step in found])

    def test_a_typo_names_what_is_meant(self) -> None:
        self.assertIn("10-x.toml: unknown key befor, before is meant?", self.wrong('befor = ["x.service"]'))
        self.assertIn("[[file]]: unknown key pth, path is meant?", self.wrong('[[file]]\npth = "/x"\ntext = ""'))
        self.assertIn("unknown key values, value is meant?", self.wrong("[values]"))

    def test_what_can_not_be_meant(self) -> None:
        for text, said in (
            ("this is no TOML", "10-x.toml: "),
            ('before = "nginx.service"', "before must be a list of text"),
            ('before = ["nginx"]', "nginx is no systemd unit"),
            ("timeout-seconds = true", "timeout-seconds must be a number"),
            ('steps = ["90-later"]', "90-later is no step before this one"),
            ('[file]\npath = "/x"', "write [[file]], with two brackets"),
            ('[[file]]\npath = "x"\ntext = ""', "x is no absolute path"),
            ('[[file]]\npath = "/x/../y"\ntext = ""', "/x/../y is no absolute path"),
            ('[[file]]\npath = "/x"\ntext = ""\nmode = "640"', "mode 640 is not octal"),
            ('[[file]]\npath = "/x"', "text is missing"),
            ('[[value]]\nname = "x"\nlength = 8', "length must be 16 or more"),
            ('[[value]]\nname = "x"\nalphabet = "runes"', "alphabet is alnum or hex"),
            ('[[replace]]\nfiles = ["/x"]\nplaceholder = "@@longer@@"\nvalue = "y"', "there is no [[value]] y"),
            ('[[command]]\nrun = []', "run is empty"),
        ):
            self.assertIn(said, self.wrong(text))
        self.assertIn("a step is called NN-words", self.wrong("", "first"))

    def test_a_step_that_can_not_be_read_keeps_nothing_else_up(self) -> None:
        with device(_10_x=TOKEN, _20_y="nonsense = 1\n") as box:
            done, said = box.run()
            self.assertFalse(done)
            self.assertIn("20-y: can't be read: /usr/lib/clic/first-boot.d/20-y.toml: unknown key nonsense", said)
            self.assertTrue(state.is_done(box.root, "10-x"))


class Running(unittest.TestCase):
    def test_a_failed_step_is_named_and_others_go_on(self) -> None:
        with device(_10_bad='[[command]]\nrun = ["sh", "-c", "echo no luck; exit 3"]\n', _20_good=TOKEN) as box:
            done, said = box.run()
            self.assertFalse(done)
            self.assertIn("10-bad: failed, and what needs it stays down until the next boot: "
                          "sh -c echo no luck; exit 3: exit code 3: no luck", said)
            self.assertIn("not done: 10-bad; the next boot tries again", said)
            report = state.status(box.root)
            self.assertEqual([step["state"] for step in report["steps"]], ["failed", "done"])
            self.assertEqual(report["state"], "failed")
            before = box.read("/etc/x/secret")
            box.step("10-bad", TOKEN.replace("/etc/x", "/etc/bad"))
            done, said = box.run()
            self.assertTrue(done)
            self.assertEqual(box.read("/etc/x/secret"), before)
            self.assertIn("done: this device has 2 secrets of its own", said)

    def test_a_command_that_hangs_is_ended_with_its_children(self) -> None:
        with device(_10_x='timeout-seconds = 1\n[[command]]\nrun = ["sh", "-c", "sleep 60 & wait"]\n') as box:
            done, said = box.run()
            self.assertFalse(done)
            self.assertIn("not ready after 1 s", said)

    def test_what_a_failing_program_says_does_not_tell_the_secret(self) -> None:
        with device(_10_x=TOKEN + '[[command]]\nrun = ["sh", "-c", "cat $CLIC_VALUES/token; exit 1"]\n') as box:
            self.assertIn("exit code 1: ***", box.run()[1])

    def test_a_program_that_is_not_there(self) -> None:
        with device(_10_x='[[command]]\nrun = ["/usr/lib/clic-no-such-program"]\n') as box:
            self.assertIn("/usr/lib/clic-no-such-program: No such file or directory", box.run()[1])

    def test_a_secret_that_was_not_made_is_noticed(self) -> None:
        with device(_10_x='secrets = ["/etc/key"]\n[[command]]\nrun = ["true"]\n') as box:
            self.assertIn("/etc/key was not made", box.run()[1])
            box.write("/etc/key", "same on all devices")
        with device(_10_x='secrets = ["/etc/key"]\n[[apply]]\nrun = ["true"]\n') as box:
            box.write("/etc/key", "same on all devices")
            self.assertIn("/etc/key is still as the image had it", box.run()[1])

    def test_placeholders(self) -> None:
        text = TOKEN + '[[replace]]\nfiles = ["/srv/*.conf"]\nplaceholder = "@@PLACE@@"\nvalue = "token"\n'
        with device(_10_x=text) as box:
            self.assertIn("the placeholder @@PLACE@@ is in none of /srv/*.conf", box.run()[1])
            box.write("/srv/a.conf", b"\xff a=@@PLACE@@ b=@@PLACE@@\n")
            os.chmod(box.root.at("/srv/a.conf"), 0o604)
            self.assertTrue(box.run()[0])
            token = box.read("/etc/x/secret").encode()
            self.assertEqual(box.root.read("/srv/a.conf"), b"\xff a=" + token + b" b=" + token + b"\n")
            self.assertEqual(box.mode("/srv/a.conf"), 0o604)

    def test_placeholders_stay_while_the_image_is_baked(self) -> None:
        text = TOKEN + '[[replace]]\nfiles = ["/srv/a.conf"]\nplaceholder = "@@PLACE@@"\nvalue = "token"\n'
        with device(_10_x=text, _20_y=TOKEN.replace("/etc/x", "/etc/y")) as box:
            box.write("/srv/a.conf", "@@PLACE@@")
            box.write("/etc/clic/baking", "")
            self.assertTrue(box.run()[0])
            self.assertEqual({step["name"]: step["state"] for step in state.status(box.root)["steps"]},
                             {"10-x": "not-needed", "20-y": "done"})
            self.assertEqual(box.read("/srv/a.conf"), "@@PLACE@@")
            os.unlink(box.root.at("/etc/clic/baking"))
            box.run()
            self.assertEqual(box.read("/srv/a.conf"), box.read("/etc/x/secret"))

    def test_a_file_behind_a_link_is_written_where_it_is(self) -> None:
        with device(_10_x=TOKEN) as box:
            os.makedirs(box.root.at("/data"))
            os.makedirs(box.root.at("/etc"), exist_ok=True)
            # As a program sees it whose root this is.
            os.symlink("/data", box.root.at("/etc/x"))
            self.assertTrue(box.run()[0])
            self.assertEqual(len(box.read("/data/secret")), 32)
            self.assertTrue(os.path.islink(box.root.at("/etc/x")))

    def test_links_in_a_circle_end(self) -> None:
        with device(_10_x=TOKEN) as box:
            os.symlink("/etc/y", box.root.at("/etc/x"))
            os.symlink("/etc/x", box.root.at("/etc/y"))
            self.assertIn("too many links", box.run()[1])

    def test_a_full_disk_leaves_nothing_half(self) -> None:
        with device(_10_x=TOKEN) as box:
            box.write("/etc/x/secret", "of the image")
            full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real = os.replace

            def replace(old: str, new: str) -> None:
                # As when the last block went to the staged copy.
                if new == box.root.at("/etc/x/secret"):
                    raise full
                real(old, new)

            with mock.patch.object(os, "replace", replace):
                done, said = box.run()
            self.assertFalse(done)
            self.assertIn("No space left on device", said)
            self.assertEqual(box.read("/etc/x/secret"), "of the image")
            self.assertEqual(os.listdir(box.root.at("/etc/x")), ["secret"])
            self.assertTrue(box.run()[0])

    def test_a_certificate_fits_its_key(self) -> None:
        needed("openssl")
        text = ('[[certificate]]\nkey = "/etc/k.pem"\ncertificate = "/etc/c.pem"\n'
                'names = ["@hostname@", "x.test"]\nmode = "0640"\n')
        with device(_10_x=text) as box:
            self.assertTrue(box.run()[0])
            told = subprocess.run(["openssl", "x509", "-in", box.root.at("/etc/c.pem"), "-noout", "-text"],
                                  check=True, capture_output=True, text=True).stdout
            self.assertIn("CN = box", told)
            self.assertIn("DNS:box, DNS:x.test", told)
            keys = [subprocess.run(["openssl", *words], check=True, capture_output=True).stdout for words in (
                ("pkey", "-in", box.root.at("/etc/k.pem"), "-pubout"),
                ("x509", "-in", box.root.at("/etc/c.pem"), "-noout", "-pubkey"))]
            self.assertEqual(*keys)
            self.assertEqual((box.mode("/etc/k.pem"), box.mode("/etc/c.pem")), (0o640, 0o644))

    def test_programs_that_run_already_are_started_again(self) -> None:
        with programs(systemctl='echo "$@" >> $CLIC_ROOT/asked'), device(_10_x=TOKEN + "") as box:
            box.step("20-y", 'restart = ["app.service"]\n')
            self.assertTrue(box.run()[0])
            self.assertEqual(box.read("/asked"), "--no-block try-restart app.service\n")


class Waiting(unittest.TestCase):
    """systemd is told that each unit waits for its steps, and for no others."""

    def generated(self, box: Device) -> tuple[dict[str, str], dict[str, str]]:
        files, links = generator.plan(box.root)
        with tempfile.TemporaryDirectory() as directory, contextlib.redirect_stderr(io.StringIO()):
            generator.main(directory, box.root)
            for name, text in files.items():
                with open(os.path.join(directory, name), encoding="utf-8") as file:
                    self.assertEqual(file.read(), text)
            self.assertTrue(all(os.path.islink(os.path.join(directory, link)) for link in links))
        return files, links

    def test_each_unit_waits_for_its_steps(self) -> None:
        with device(
            _10_a='before = ["nginx.service", "pad.service"]\n',
            _20_b='before = ["pad.service"]\nneeds = ["mariadb.service"]\nafter = ["c.service"]\nsteps = ["10-a"]\n',
            _30_c='only-if = ["/nowhere"]\nbefore = ["nginx.service"]\n',
        ) as box:
            files, links = self.generated(box)
            a, b = "clic-first-boot@10-a.service", "clic-first-boot@20-b.service"
            self.assertEqual(files["nginx.service.d/50-clic-first-boot.conf"], f"[Unit]\nRequires={a}\nAfter={a}\n")
            self.assertEqual(files["pad.service.d/50-clic-first-boot.conf"],
                             f"[Unit]\nRequires={a} {b}\nAfter={a} {b}\n")
            self.assertEqual(files[f"{b}.d/50-step.conf"],
                             "[Unit]\nDescription=First boot: 20-b\n"
                             f"Requires=mariadb.service {a}\nAfter=mariadb.service {a} c.service\n")
            self.assertEqual(files["clic-first-boot.service.d/50-steps.conf"], f"[Unit]\nAfter={a} {b}\n")
            self.assertEqual(sorted(links), [f"clic-first-boot.service.wants/{a}", f"clic-first-boot.service.wants/{b}"])
            # The next boot, after one of them failed.
            state.note(box.root, "10-a", "done")
            state.note(box.root, "20-b", "failed", why="x")
            files, _ = self.generated(box)
            self.assertNotIn("nginx.service.d/50-clic-first-boot.conf", files)
            self.assertEqual(files["pad.service.d/50-clic-first-boot.conf"], f"[Unit]\nRequires={b}\nAfter={b}\n")
            self.assertNotIn(a, files[f"{b}.d/50-step.conf"])

    def test_a_target_comes_without_the_secret_that_could_not_be_made(self) -> None:
        with device(_10_a='before = ["basic.target"]\n') as box:
            files, _ = self.generated(box)
            a = "clic-first-boot@10-a.service"
            self.assertEqual(files["basic.target.d/50-clic-first-boot.conf"], f"[Unit]\nWants={a}\nAfter={a}\n")

    def test_a_step_that_is_broken_does_not_stop_the_boot(self) -> None:
        with device(_10_a='before = ["nginx.service"]\n', _20_b="nonsense\n") as box:
            with contextlib.redirect_stderr(io.StringIO()) as said:
                files, _ = generator.plan(box.root)
            self.assertIn("nginx.service.d/50-clic-first-boot.conf", files)
            self.assertIn("20-b", said.getvalue())

    def test_python_is_started_only_while_something_is_left_to_do(self) -> None:
        with device(_10_x=TOKEN) as box:
            with open(os.path.join(files("base"), "usr/lib/clic/first-boot/left-to-do"), encoding="utf-8") as file:
                text = file.read().replace("/usr/lib/clic/first-boot.d", box.root.at("/usr/lib/clic/first-boot.d"))
            text = text.replace("/var/lib", box.root.at("/var/lib"))

            def started() -> bool:
                return subprocess.run(["sh", "-c", text]).returncode == 0

            self.assertTrue(started())
            box.run()
            self.assertFalse(started())
            # A service that came later.
            box.step("20-later", TOKEN.replace("/etc/x", "/etc/y"))
            self.assertTrue(started())
            self.assertFalse(state.all_done(box.root))
            with contextlib.redirect_stdout(io.StringIO()):
                self.assertTrue(runner.run(box.root, "20-later"))


if __name__ == "__main__":
    unittest.main()
