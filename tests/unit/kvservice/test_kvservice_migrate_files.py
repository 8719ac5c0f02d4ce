"""Migration files: ordered, checked, cut into statements."""

from pathlib import Path

import pytest

from kvservice.errors import MigrationError
from kvservice.migrate.files import of_build


def test_the_builds_own_files_begin_with_the_records() -> None:
    first = of_build()[0]
    assert first.name == "0001_records.cql"
    assert [statement.split("(")[0].strip() for statement in first.statements] == ["CREATE TABLE IF NOT EXISTS record"]


def test_a_released_file_is_as_it_was() -> None:
    assert {migration.name: migration.checksum[:12] for migration in of_build()} == {"0001_records.cql": "53c95f861574"}


def test_files_come_in_the_order_of_their_numbers_and_others_are_left(tmp_path: Path) -> None:
    for name in ("0010_c.cql", "0002_b.cql", "0001_a.cql", "README.md", "1_d.cql"):
        (tmp_path / name).write_text("SELECT 1")
    assert [migration.name for migration in of_build(tmp_path)] == ["0001_a.cql", "0002_b.cql", "0010_c.cql"]


def test_statements_end_with_a_semicolon_and_comment_lines_are_none(tmp_path: Path) -> None:
    (tmp_path / "0001_a.cql").write_text("-- why; and why not\nCREATE x (\n  -- inside\n  y\n);\n\nALTER x;\n-- end\n")
    (migration,) = of_build(tmp_path)
    assert migration.statements == ("CREATE x (\n  y\n)", "ALTER x")


def test_any_change_changes_the_checksum(tmp_path: Path) -> None:
    (tmp_path / "0001_a.cql").write_text("A;")
    before = of_build(tmp_path)[0].checksum
    (tmp_path / "0001_a.cql").write_text("A ;")
    assert of_build(tmp_path)[0].checksum != before


def test_one_number_twice_is_a_broken_build(tmp_path: Path) -> None:
    for name in ("0001_a.cql", "0001_b.cql"):
        (tmp_path / name).write_text("A")
    with pytest.raises(MigrationError, match="two migration files have the number 0001"):
        of_build(tmp_path)
