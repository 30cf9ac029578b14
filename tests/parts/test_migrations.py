"""Migrations and models agree, and migrations run up, down and up again, on both engines."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, Engine, MetaData, Text, create_engine, inspect, text

from hashdb.model import Action, Standing
from hashdb.store import Store, downgrade, schema, schema_is_current, upgrade
from hashdb.store.engine import make_engine, parse_url
from hashdb.tables import metadata
from tests.conftest import Postgres, fresh_database
from tests.parts.store_samples import add, match, prints, record, verdict


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without a schema."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    url: str = request.getfixturevalue("empty_postgres_url")
    return url


@pytest.fixture
def empty_engine(empty_url: str) -> Iterator[Engine]:
    made = make_engine(parse_url(empty_url))
    yield made
    made.dispose()


@pytest.fixture
def engine(store_url: str) -> Iterator[Engine]:
    """A database that the migrations have made."""
    made = create_engine(store_url)
    yield made
    made.dispose()


def differences(connection: Connection, wanted: MetaData) -> list[Any]:
    options = {"compare_type": True, "compare_server_default": True}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), wanted))


def tables(url: str) -> set[str]:
    engine = create_engine(url)
    try:
        return set(inspect(engine).get_table_names()) - {"alembic_version"}
    finally:
        engine.dispose()


def test_models_and_migrations_agree(engine: Engine) -> None:
    with engine.connect() as connection:
        assert differences(connection, metadata) == []


@pytest.mark.parametrize("change", ["column", "table", "index"])
def test_a_model_without_its_migration_is_noticed(engine: Engine, change: str) -> None:
    wanted = MetaData(naming_convention=metadata.naming_convention)
    for table in metadata.tables.values():
        table.to_metadata(wanted)
    banks = wanted.tables["banks"]
    if change == "column":
        banks.append_column(Column("colour", Text()))
    elif change == "index":
        banks.append_column(Column("label", Text(), index=True), replace_existing=True)
    else:
        wanted.remove(banks)
    with engine.connect() as connection:
        assert differences(connection, wanted) != []


POSTGRES_SCHEMA = """
    SELECT 'column', table_name, ordinal_position::text, column_name, data_type, is_nullable,
           coalesce(column_default, '') FROM information_schema.columns
        WHERE table_schema = 'public' AND table_name <> 'alembic_version'
    UNION ALL SELECT 'index', tablename, indexname, indexdef, '', '', '' FROM pg_indexes
        WHERE schemaname = 'public' AND tablename <> 'alembic_version'
    UNION ALL SELECT 'constraint', conrelid::regclass::text, conname,
           pg_get_constraintdef(oid), '', '', '' FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace
          AND conrelid::regclass::text <> 'alembic_version'
    ORDER BY 1, 2, 3, 4
"""


def described(engine: Engine) -> list[Any]:
    """Everything the database itself knows of its schema, conditions of indexes included."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            return [tuple(row) for row in connection.execute(text(POSTGRES_SCHEMA))]
        found = connection.execute(
            text(
                "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL "
                "AND name NOT IN ('alembic_version', 'sqlite_sequence') ORDER BY type, name"
            )
        )
        # The order of constraints within a table means nothing, nor do the quotes around the name
        # of one that a migration built anew.
        return [
            (kind, name, sorted(line.strip(" \t,") for line in sql.replace('"', "").splitlines()))
            for kind, name, sql in found
        ]


def test_the_schema_is_the_models_to_the_letter(empty_url: str) -> None:
    engine = create_engine(empty_url)
    upgrade(empty_url)
    migrated = described(engine)
    downgrade(empty_url, "base")
    assert described(engine) == []
    metadata.create_all(engine)
    assert described(engine) == migrated
    assert len(migrated) > 30
    engine.dispose()


def test_up_down_and_up(empty_url: str) -> None:
    assert not schema_is_current(empty_url)
    upgrade(empty_url)
    assert schema_is_current(empty_url)
    assert tables(empty_url) == set(metadata.tables)
    downgrade(empty_url, "base")
    assert not schema_is_current(empty_url)
    assert tables(empty_url) == set()
    upgrade(empty_url)
    upgrade(empty_url)
    assert schema_is_current(empty_url)
    assert tables(empty_url) == set(metadata.tables)


def test_every_revision_goes_up_and_down_again(empty_url: str) -> None:
    revisions = [
        script.revision for script in ScriptDirectory.from_config(schema.config()).walk_revisions()
    ][::-1]
    before = "base"
    for revision in revisions:
        upgrade(empty_url, revision)
        downgrade(empty_url, before)
        upgrade(empty_url, revision)
        before = revision
    assert schema_is_current(empty_url)


def test_a_full_database_goes_down(store_url: str) -> None:
    store = Store.open(store_url)
    with store.begin() as tx:
        bank = tx.banks.create("attacks")
        reference = add(tx, bank, fingerprints=[prints()])
        given = verdict("u1", match(reference), action=Action.REVIEW)
        record(tx, "u1", verdict=given, fingerprints=[prints()])
        review = tx.casework.reviews()[0][0]
        tx.casework.decide(review.id, Action.BLOCK, None, "ana", "")
        tx.exchanges.ensure("https://a.example", bank.id)
    store.close()
    downgrade(store_url, "base")
    assert tables(store_url) == set()


def test_what_moderators_withdrew_is_told_from_what_partners_did(store_url: str) -> None:
    """By the audit, once: that may be purged later."""
    store = Store.open(store_url)
    with store.begin() as tx:
        bank = tx.banks.create("theirs")
        ours, theirs, living = (add(tx, bank, name) for name in ("ours", "theirs", "living"))
        for reference, detail in ((ours, {}), (theirs, {"partner": "https://a.example"})):
            tx.banks.withdraw(reference.id)
            tx.audit.record("key_a", "withdraw", reference.id, detail)
        tx.audit.record("key_a", "disable", living.id, {})
    store.close()
    downgrade(store_url, "0006")
    upgrade(store_url)
    store = Store.open(store_url)
    with store.read() as tx:
        found = [tx.banks.reference(r.id).standing for r in (ours, theirs, living)]
    store.close()
    assert found == [Standing.NEGATIVE, Standing.POSITIVE, Standing.POSITIVE]


def with_next(folder: Path, upgrade_body: str) -> Config:
    """The migrations there are, and one more."""
    source = Path(ScriptDirectory.from_config(schema.config()).dir)
    newest = schema.newest()
    shutil.copytree(source, folder)
    (folder / "versions" / "9999_next.py").write_text(
        "import sqlalchemy as sa\n"
        "from alembic import op\n"
        f"revision, down_revision = '9999', {newest!r}\n"
        f"def upgrade():\n{indent(upgrade_body, '    ')}"
    )
    settings = schema.config()
    settings.set_main_option("script_location", str(folder))
    return settings


def test_a_migration_that_fails_leaves_nothing(
    empty_url: str, empty_engine: Engine, tmp_path: Path
) -> None:
    """One transaction, schema included, on SQLite too."""
    settings = with_next(
        tmp_path / "scripts",
        "op.execute('CREATE TABLE half (x INTEGER)')\nraise ZeroDivisionError\n",
    )
    with pytest.raises(ZeroDivisionError):
        schema.upgrade_engine(empty_engine, "head", settings)
    assert tables(empty_url) == set()
    upgrade(empty_url)
    with pytest.raises(ZeroDivisionError):
        schema.upgrade_engine(empty_engine, "head", settings)
    assert tables(empty_url) == set(metadata.tables)
    assert schema_is_current(empty_url)


def test_a_table_with_children_can_be_changed(store_url: str, tmp_path: Path) -> None:
    """SQLite builds such a table anew; nothing that points to it may be lost."""
    store = Store.open(store_url)
    with store.begin() as tx:
        made = add(tx, tx.banks.create("attacks"), fingerprints=[prints()])
    settings = with_next(
        tmp_path / "scripts",
        "with op.batch_alter_table('banks', recreate='auto') as batch:\n"
        "    batch.add_column(sa.Column('colour', sa.Text(), nullable=True))\n"
        "    batch.alter_column('label', existing_type=sa.Text(), nullable=False,\n"
        "                       server_default='none')\n"
        if store_url.startswith("sqlite")
        else "op.add_column('banks', sa.Column('colour', sa.Text()))\n",
    )
    with store.begin() as tx:
        tx.banks.update("attacks", label="terrorism")
    schema.upgrade_engine(store._engine, "head", settings)
    with store.begin() as tx:
        assert tx.banks.reference(made.id).bank.label == "terrorism"
        assert len(tx.banks.fingerprints(made.id)) == 1
        add(tx, tx.banks.get("attacks"), "another")
    store.close()


def test_a_migration_that_orphans_rows_is_undone(sqlite_url: str, tmp_path: Path) -> None:
    store = Store.open(sqlite_url)
    with store.begin() as tx:
        add(tx, tx.banks.create("attacks"))
    settings = with_next(tmp_path / "scripts", "op.execute('DELETE FROM banks')\n")
    with pytest.raises(RuntimeError, match="without its parent"):
        schema.upgrade_engine(store._engine, "head", settings)
    with store.read() as tx:
        assert len(tx.banks.list()) == 1
    store.close()


def test_a_template_is_not_touched_by_its_copies(postgres: Postgres) -> None:
    """The tests' own databases are separate: what one writes, the next does not see."""
    for _ in range(2):
        with fresh_database(postgres, "seawall_template") as url:
            store = Store.open(url)
            with store.begin() as tx:
                tx.banks.create("attacks")
            store.close()
