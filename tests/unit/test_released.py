"""What was released stays as it was: databases have applied these migrations, and workflows began with these histories."""

import hashlib
from pathlib import Path

import pytest

from tests.record_histories import HISTORIES

MIGRATIONS = Path(__file__).parents[2] / "messaging" / "migrations"

RELEASED = {
    "20261130000001_tables.sql": "8b7f1b130c9a8bc00578a9a6132a8bc158f0757a2c10d0a830df74bee69cc8bd",
    "20261130000002_functions.sql": "40b7929d546d42ed6cfdc5e4f32f871468c53abfc238d22eff08da3ad5bc569a",
}
"""SHA-256 of every migration of a release. A release adds its own."""


@pytest.mark.parametrize(("name", "digest"), RELEASED.items())
def test_a_released_migration_is_never_edited(name: str, digest: str) -> None:
    found = hashlib.sha256((MIGRATIONS / name).read_bytes()).hexdigest()
    assert found == digest, f"{name} was released: leave it as it was, and write another migration"


def test_the_histories_of_a_release_are_kept() -> None:
    assert len(list(HISTORIES.glob("*.0.1.0.json"))) == 20
