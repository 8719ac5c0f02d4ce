"""The migration files of this build, NNNN_name.cql: statements with `;` between them, `--` begins a comment line.

A statement may be run again after a crash, so it must say IF NOT EXISTS. A file that was ever released never changes.
"""

import hashlib
import re
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

from kvservice.errors import MigrationError

_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.cql")


class Migration(NamedTuple):
    """`checksum`: hex SHA-256 of the file."""

    name: str
    checksum: str
    statements: tuple[str, ...]


def of_build(folder: Traversable | None = None) -> list[Migration]:
    """In order. Raises MigrationError if two have one number."""
    found = sorted(_read(folder or files("kvservice.migrate")))
    numbers = [migration.name[:4] for migration in found]
    if twice := sorted({number for number in numbers if numbers.count(number) > 1}):
        raise MigrationError(f"two migration files have the number {twice[0]}; this build is broken, use another one")
    return found


def _read(folder: Traversable) -> Iterator[Migration]:
    for entry in folder.iterdir():
        if _NAME.fullmatch(entry.name):
            content = entry.read_bytes()
            yield Migration(entry.name, hashlib.sha256(content).hexdigest(), _statements(content.decode()))


def _statements(text: str) -> tuple[str, ...]:
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return tuple(statement.strip() for statement in code.split(";") if statement.strip())
