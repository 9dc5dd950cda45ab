"""The database: what is in it after a kill, a cut, a full disk and a damaged file."""

import contextlib
import io
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

from clic import db
from helpers import files

FIRST = "CREATE TABLE entry (id INTEGER PRIMARY KEY, text TEXT NOT NULL);\n"
SECOND = "CREATE TABLE mark (entry INTEGER NOT NULL REFERENCES entry (id)); INSERT INTO entry (id, text) VALUES (1, 'one');\n"


class Case(unittest.TestCase):
    def setUp(self) -> None:
        # In memory: a killed program leaves to the kernel what it wrote, and thousands of syncs of a busy disk take minutes.
        directory = tempfile.TemporaryDirectory(dir="/dev/shm")
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.migrations = self.directory / "migrations"
        self.migrations.mkdir()
        (self.migrations / "0001_first.sql").write_text(FIRST, encoding="utf-8")
        self.path = self.directory / "board.db"

    def open(self) -> db.Database:
        database = db.Database(self.path, self.migrations)
        self.addCleanup(database.close)
        return database

    def texts(self, database: db.Database) -> list[str]:
        return [row["text"] for row in database.rows("SELECT text FROM entry ORDER BY id")]


class Opened(Case):
    def test_with_the_rules(self) -> None:
        database = self.open()
        wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": db.BUSY_SECONDS * 1000,
                  "trusted_schema": 0, "user_version": 1, "journal_size_limit": db.LOG_BYTES}
        self.assertEqual({name: database.rows(f"PRAGMA {name}")[0][0] for name in wanted}, wanted)
        self.assertIsNone(database.set_aside)

    def test_all_of_a_transaction_or_nothing(self) -> None:
        database = self.open()
        with database.transaction() as write:
            write.execute("INSERT INTO entry (text) VALUES (?)", ["kept"])
        with self.assertRaises(ZeroDivisionError), database.transaction() as write:
            write.execute("INSERT INTO entry (text) VALUES (?)", ["lost"])
            raise ZeroDivisionError
        with self.assertRaises(sqlite3.IntegrityError), database.transaction() as write:
            write.execute("INSERT INTO entry (text) VALUES ('lost too')")
            write.execute("INSERT INTO entry (text) VALUES (NULL)")
        self.assertEqual(self.texts(database), ["kept"])
        database.close()
        self.assertEqual(self.texts(self.open()), ["kept"])

    def test_threads_share_it(self) -> None:
        database = self.open()

        def work(name: int) -> None:
            for number in range(20):
                with database.transaction() as write:
                    count = write.execute("SELECT count(*) FROM entry").fetchone()[0]
                    write.execute("INSERT INTO entry (id, text) VALUES (?, ?)", [count, f"{name}-{number}"])

        threads = [threading.Thread(target=work, args=(name,)) for name in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([row["id"] for row in database.rows("SELECT id FROM entry ORDER BY id")], list(range(100)))

    def test_who_reads_and_then_writes_waits_for_another_program(self) -> None:
        """Both look before they write. Neither is told that the database is locked, though it is."""
        database, other = self.open(), self.open()
        count = "INSERT INTO entry (id, text) SELECT count(*), ? FROM entry"

        def work() -> None:
            with other.transaction() as write:
                write.execute("SELECT count(*) FROM entry").fetchone()
                write.execute(count, ["other"])

        thread = threading.Thread(target=work)
        with database.transaction() as write:
            write.execute("SELECT count(*) FROM entry").fetchone()
            thread.start()
            thread.join(0.3)
            write.execute(count, ["first"])
        thread.join()
        self.assertEqual(self.texts(database), ["first", "other"])

    def test_what_is_no_damage_is_not_set_aside(self) -> None:
        self.open().close()
        before = self.path.read_bytes()
        with self.assertRaisesRegex(sqlite3.OperationalError, "unable to open database file"):
            db.Database(self.directory / "nowhere/board.db", self.migrations)
        (self.migrations / "0002_second.sql").write_text("CREATE TABLE nonsense", encoding="utf-8")
        with self.assertRaisesRegex(sqlite3.OperationalError, "incomplete input|syntax error"):
            self.open()
        self.assertEqual(sorted(path.name for path in self.directory.iterdir()), ["board.db", "migrations"])
        self.assertEqual(self.path.read_bytes(), before)

    def test_a_full_disk_loses_nothing_that_was_there(self) -> None:
        database = self.open()
        with database.transaction() as write:
            write.execute("INSERT INTO entry (text) VALUES ('kept')")
        # As a full disk, for SQLite: not a page more.
        database.rows(f"PRAGMA max_page_count = {database.rows('PRAGMA page_count')[0][0]}")
        full = self.assertRaisesRegex(sqlite3.OperationalError, "database or disk is full")
        with full, database.transaction() as write:
            write.execute("INSERT INTO entry (text) VALUES (?)", ["x" * 100000])
        self.assertEqual(self.texts(database), ["kept"])
        database.rows("PRAGMA max_page_count = 100000")
        with database.transaction() as write:
            write.execute("INSERT INTO entry (text) VALUES ('again')")
        self.assertEqual(self.texts(database), ["kept", "again"])


class Migrations(Case):
    def test_by_number_and_each_once(self) -> None:
        with self.open().transaction() as write:
            write.execute("INSERT INTO entry (id, text) VALUES (5, 'five')")
        (self.migrations / "0002_second.sql").write_text(SECOND, encoding="utf-8")
        for _ in range(2):
            database = self.open()
            self.assertEqual(self.texts(database), ["one", "five"])
            self.assertEqual(database.rows("PRAGMA user_version")[0][0], 2)
        orphan = self.assertRaisesRegex(sqlite3.IntegrityError, "FOREIGN KEY constraint failed")
        with orphan, database.transaction() as write:
            write.execute("INSERT INTO mark (entry) VALUES (9)")

    def test_one_that_fails_leaves_nothing_behind(self) -> None:
        self.open().close()
        broken = SECOND + "INSERT INTO entry (id, text) VALUES (1, 'twice');"
        (self.migrations / "0002_second.sql").write_text(broken, encoding="utf-8")
        with self.assertRaisesRegex(sqlite3.IntegrityError, "UNIQUE constraint failed: entry.id"):
            self.open()
        (self.migrations / "0002_second.sql").write_text(SECOND, encoding="utf-8")
        self.assertEqual(self.texts(self.open()), ["one"])

    def test_a_database_of_a_newer_program(self) -> None:
        (self.migrations / "0002_second.sql").write_text(SECOND, encoding="utf-8")
        self.open().close()
        (self.migrations / "0002_second.sql").unlink()
        with self.assertRaisesRegex(db.Newer, "version 2, and this program knows 1: install the newer program"):
            self.open()

    def test_names(self) -> None:
        for name in ("0003_gap.sql", "2_short.sql", "0002 space.sql"):
            path = self.migrations / name
            path.write_text("", encoding="utf-8")
            with self.assertRaisesRegex(ValueError, f"{name}: migrations are named 0001_what.sql .* this is number 2"):
                self.open()
            path.unlink()
        (self.migrations / "0001_first.sql").unlink()
        with self.assertRaisesRegex(ValueError, "migrations: no migrations, such as 0001_first.sql"):
            self.open()


class Damaged(Case):
    def damaged(self, data: bytes) -> tuple[db.Database, str]:
        self.path.write_bytes(data)
        with contextlib.redirect_stderr(io.StringIO()) as said:
            return self.open(), said.getvalue()

    def whole(self) -> bytes:
        database = self.open()
        with database.transaction() as write:
            write.executemany("INSERT INTO entry (text) VALUES (?)", [["x" * 500] for _ in range(200)])
        database.close()
        return self.path.read_bytes()

    def test_is_set_aside_and_said(self) -> None:
        whole = self.whole()
        page = 4096
        kinds = {
            "no database": b"not a database, but as long as one" * 200,
            "zeros in its head": bytes(page) + whole[page:],
            "zeros inside": whole[: page * 3] + bytes(page * 10) + whole[page * 13:],
            "noise inside": whole[: page * 3] + random.Random(1).randbytes(page * 4) + whole[page * 7:],
            "its end is cut": whole[: page * 4],
        }
        for number, (kind, data) in enumerate(kinds.items(), 1):
            with self.subTest(kind):
                database, said = self.damaged(data)
                aside = self.directory / f"board.db.damaged-{number}"
                self.assertEqual(database.set_aside, aside)
                self.assertEqual(aside.read_bytes(), data)
                self.assertRegex(said, rf"board\.db is damaged \(.+\): it is .*damaged-{number} now, and an empty one begins\n")
                with database.transaction() as write:
                    write.execute("INSERT INTO entry (text) VALUES ('new')")
                database.close()
                again = self.open()
                self.assertEqual(self.texts(again), ["new"])
                again.close()

    def test_its_log_goes_with_it(self) -> None:
        for round_number in (1, 2):
            for suffix in ("", "-wal", "-shm"):
                self.path.with_name(f"board.db{suffix}").write_text(f"{suffix} {round_number}", encoding="ascii")
            aside = db.put_aside(self.path)
            self.assertEqual(aside.name, f"board.db.damaged-{round_number}")
            for suffix in ("", "-wal", "-shm"):
                self.assertEqual(aside.with_name(aside.name + suffix).read_text(), f"{suffix} {round_number}")
            self.assertEqual(list(self.directory.glob("board.db-*")), [])

    def test_an_empty_file_is_a_database_that_was_just_begun(self) -> None:
        database, said = self.damaged(b"")
        self.assertEqual((database.set_aside, said, self.texts(database)), (None, "", []))


class Backup(Case):
    def test_a_whole_copy_while_others_write(self) -> None:
        database = self.open()
        ended = threading.Event()

        def write_on() -> None:
            while not ended.is_set():
                with database.transaction() as write:
                    write.execute("INSERT INTO entry (text) VALUES ('x')")

        thread = threading.Thread(target=write_on)
        thread.start()
        try:
            for _ in range(5):
                least = len(self.texts(database))
                database.backup(self.directory / "copy.db")
                with contextlib.closing(sqlite3.connect(self.directory / "copy.db")) as copy:
                    self.assertEqual(copy.execute("PRAGMA integrity_check").fetchone()[0], "ok")
                    self.assertEqual(copy.execute("PRAGMA journal_mode").fetchone()[0], "delete")
                    self.assertGreaterEqual(copy.execute("SELECT count(*) FROM entry").fetchone()[0], least)
                self.assertEqual(sorted(path.name for path in self.directory.glob("copy*")), ["copy.db"])
        finally:
            ended.set()
            thread.join()

    def test_what_an_earlier_one_left_is_not_in_the_way(self) -> None:
        database = self.open()
        (self.directory / "copy.db.new").write_bytes(b"half of one")
        database.backup(self.directory / "copy.db")
        self.assertEqual(sorted(path.name for path in self.directory.glob("copy*")), ["copy.db"])


# Each writer says the number that it is about to write, and says it again when it is written.
WRITER = """
import sys
from clic.db import Database
database = Database(sys.argv[1], sys.argv[2])
while True:
    with database.transaction() as write:
        number = write.execute("SELECT coalesce(max(id), 0) + 1 FROM entry").fetchone()[0]
        write.execute("INSERT INTO entry (id, text) VALUES (?, ?)", [number, "x" * (number * 37 % 3000)])
        write.execute("UPDATE entry SET text = text || 'y' WHERE id = ? / 2", [number])
    print(number, flush=True)
"""


class Cut(Case):
    def test_killed_again_and_again(self) -> None:
        """What was said to be written is there, and nothing is half."""
        chance = random.Random(7)
        last = 0
        for _ in range(12):
            process = subprocess.Popen(
                [sys.executable, "-B", "-c", WRITER, self.path, self.migrations], stdout=subprocess.PIPE, text=True,
                env=os.environ | {"PYTHONPATH": str(Path(files("base")) / "usr/lib/python3/dist-packages")},
            )
            assert process.stdout
            for _ in range(chance.randrange(1, 60)):
                last = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
            # More may have been said before it died.
            for line in process.stdout:
                last = int(line) if line.endswith("\n") else last
            process.stdout.close()
            self.assertEqual(process.wait(), -signal.SIGKILL)
            database = self.open()
            self.assertIsNone(database.set_aside)
            ids = [row["id"] for row in database.rows("SELECT id FROM entry ORDER BY id")]
            self.assertEqual(ids, list(range(1, len(ids) + 1)))
            # The last one may have been written, and its writer killed before it said so.
            self.assertIn(len(ids), (last, last + 1))
            for row in database.rows("SELECT id, text FROM entry"):
                # Each has been lengthened by its two followers, as far as they are there.
                followers = sum(1 for number in (row["id"] * 2, row["id"] * 2 + 1) if number <= len(ids))
                self.assertEqual(len(row["text"]), row["id"] * 37 % 3000 + followers)
            self.assertEqual(database.rows("PRAGMA integrity_check")[0][0], "ok")
            database.close()
            last = len(ids)
        self.assertGreater(last, 50)

    def test_a_log_that_is_cut_anywhere_is_a_state_that_was(self) -> None:
        """After a power cut any end of the log may be missing: the transactions before are all there."""
        database = self.open()
        for number in range(1, 9):
            with database.transaction() as write:
                write.executemany("INSERT INTO entry (text) VALUES (?)", [[f"{number}"], [f"{number}"]])
        log = self.path.with_name("board.db-wal").read_bytes()
        base = self.path.read_bytes()
        self.assertGreater(len(log), 8 * 4096)
        seen = set()
        for number, end in enumerate([*range(0, len(log), 1021), len(log)]):
            place = self.directory / f"cut-{number}"
            place.mkdir()
            (place / "board.db").write_bytes(base)
            (place / "board.db-wal").write_bytes(log[:end])
            cut = db.Database(place / "board.db", self.migrations)
            texts = self.texts(cut)
            self.assertIsNone(cut.set_aside, end)
            self.assertEqual(texts, [f"{1 + n // 2}" for n in range(len(texts))], end)
            self.assertEqual(len(texts) % 2, 0, end)
            seen.add(len(texts))
            cut.close()
            shutil.rmtree(place)
        self.assertEqual(seen, set(range(0, 17, 2)))


if __name__ == "__main__":
    unittest.main()
