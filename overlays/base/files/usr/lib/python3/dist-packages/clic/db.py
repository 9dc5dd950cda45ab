"""A service's SQLite database, which survives the plug at any moment.

What a transaction wrote is on the disk when it returns (WAL with synchronous=FULL). The shape of the tables is a list of
migrations by number: `migrations/0001_first.sql`, `0002_....sql`; a migration that was shipped is never changed.

One process has the database open; its threads share it, one transaction after the other.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from clic import disk

# How long to wait for somebody else, such as a backup or sqlite3 at the command line.
BUSY_SECONDS = 10
# The log is cut back to this after it was written into the database.
LOG_BYTES = 4 << 20

MIGRATION = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")

# What SQLite calls a file that is damaged, or no database (its result codes, the low byte).
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Newer(Exception):
    """The database was made by a newer version of the service, which knows more about it than this one."""


class Database:
    """An open database.

    set_aside: where a damaged file was put, so that the service can say so, or `None`.
    """

    def __init__(self, path: str | Path, migrations: str | Path) -> None:
        """Opens the database, makes it where there is none, and brings its tables up to date.

        A damaged file is renamed to NAME.damaged-N, and an empty database begins. Raises `Newer`, and `sqlite3.Error` or
        `OSError` for what is no damage: a full disk, a directory that is not there, a file that may not be written.
        """
        self.path = Path(path)
        self.set_aside: Path | None = None
        self._lock = threading.RLock()
        steps = read_migrations(migrations)
        try:
            self._connection = _open(self.path, steps)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            self.set_aside = put_aside(self.path)
            print(f"{self.path} is damaged ({error}): it is {self.set_aside} now, and an empty one begins",
                  file=sys.stderr, flush=True)
            self._connection = _open(self.path, steps)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of what is done with the connection, or nothing. When it returns, it is on the disk."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # On some errors (a full disk) SQLite has taken all back by itself.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """The answer to a question, as rows by column name."""
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def backup(self, path: str | Path) -> None:
        """A whole copy in one file, while others read and write. The file has its name when it is whole."""
        path = Path(path)
        temporary = path.with_name(f"{path.name}.new")
        temporary.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(temporary)) as copy:
            with self._lock:
                self._connection.backup(copy)
            # A copy is one file: without this, whoever opens it makes a log beside it.
            copy.execute("PRAGMA journal_mode = DELETE")
        disk.sync_file(str(temporary))
        os.replace(temporary, path)
        disk.sync_directory(str(path.parent))

    def close(self) -> None:
        with self._lock:
            self._connection.close()


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file is broken, and not the disk full, the file locked, or the statement wrong."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGED


def _open(path: Path, steps: Sequence[str]) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        # In WAL, less than FULL can lose the last transactions, though never break the file (sqlite.org/pragma.html).
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
        # A file from elsewhere, such as a restored backup, is not to run functions by its schema.
        connection.execute("PRAGMA trusted_schema = OFF")
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            # A heading may come first.
            damage = sqlite3.DatabaseError(found.splitlines()[-1])
            damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise damage
        migrate(connection, steps)
    except BaseException:
        connection.close()
        raise
    return connection


def migrate(connection: sqlite3.Connection, steps: Sequence[str]) -> None:
    """Does the steps that this database has not seen, each with its number in one transaction."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(steps):
        raise Newer(f"the database has version {version}, and this program knows {len(steps)}: install the newer program")
    for number, script in enumerate(steps[version:], version + 1):
        try:
            # One script: `executescript` would end a transaction that was begun before.
            connection.executescript(f"BEGIN IMMEDIATE;\n{script}\n;PRAGMA user_version = {number};\nCOMMIT;")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def read_migrations(directory: str | Path) -> list[str]:
    """The scripts of a directory in the order of their numbers, which begin at 1 and leave none out."""
    paths = sorted(path for path in Path(directory).iterdir() if path.suffix == ".sql")
    for number, path in enumerate(paths, 1):
        found = MIGRATION.fullmatch(path.name)
        if not found or int(found[1]) != number:
            raise ValueError(f"{path}: migrations are named 0001_what.sql and counted without a gap; this is number {number}")
    if not paths:
        raise ValueError(f"{directory}: no migrations, such as 0001_first.sql")
    return [path.read_text(encoding="utf-8") for path in paths]


def put_aside(path: Path) -> Path:
    """Renames a damaged database with its log: somebody may be able to rescue what is in it."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    # The log first: beside an empty database it would be taken for that one's. SQLite finds it again by its name.
    for suffix in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            os.replace(f"{path}{suffix}", f"{aside}{suffix}")
    disk.sync_directory(str(path.parent))
    return aside
