"""How docker-compose.yml is read where it is run without Docker."""

from pathlib import Path

import pytest

from messaging.common.errors import InvalidInput
from rig.production.compose import fill_in, read_compose, seconds
from rig.production.place import Place


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("${A}", "one"),
        ("$A-$B", "one-"),
        ("${C:-two}", "two"),
        ("${C-two}", "two"),
        ("${B:-two}", "two"),
        ("${B-two}", ""),
        ("${A:?say so}", "one"),
        ("${B?say so}", ""),
        ("cost $$A", "cost $A"),
        ("${C:-a b:c}", "a b:c"),
    ],
)
def test_variables_are_filled_in_as_the_specification_says(text: str, filled: str) -> None:
    assert fill_in(text, {"A": "one", "B": ""}) == filled


def test_a_variable_that_must_be_there_is_told(tmp_path: Path) -> None:
    file = tmp_path / "c.yml"
    file.write_text("services: {web: {image: 'x:1', environment: {P: '${Q:?write it into .env}'}}}")
    with pytest.raises(InvalidInput, match=r"^c.yml: services.web.environment.P: Q is not set: write it"):
        read_compose(file, {})


def test_nothing_in_it_is_left_undone_silently(tmp_path: Path) -> None:
    file = tmp_path / "c.yml"
    file.write_text("services: {web: {image: 'x:1', pull_policy: always}}")
    with pytest.raises(InvalidInput, match="service web has pull_policy, which is not understood here"):
        read_compose(file, {})


def test_durations() -> None:
    assert [seconds(text) for text in ("3s", "2m", "1h", "1m30s")] == [3, 120, 3600, 90]
    with pytest.raises(InvalidInput, match="'soon' is no duration"):
        seconds("soon")


COMPOSE = """
x-common: &common {image: 'x:1', secrets: [key]}
services:
  db: {image: 'postgres:18', volumes: ['data:/var/lib/db']}
  web:
    <<: *common
    command: [serve, --host, 0.0.0.0, --files, /files/a, --data=/data, /datafile]
    volumes: ['./files:/files:ro', 'data:/data']
    environment:
      PGHOST: db
      PGUSER: db
      ADDRESS: db:5432
      URL: http://db:80/web?x=web-1:2
      KEY_FILE: /run/secrets/key
secrets: {key: {file: ./secrets/key}}
volumes: {data: }
"""


def test_what_a_container_sees_becomes_what_this_machine_has(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text(COMPOSE)
    compose = read_compose(tmp_path / "c.yml", {})
    place = Place(compose, tmp_path, tmp_path / "home", "127.99.1")
    web = compose.services["web"]
    assert place.variables(web) == {
        "PGHOST": "127.99.1.1",
        "PGUSER": "db",
        "ADDRESS": "127.99.1.1:5432",
        "URL": "http://127.99.1.1:80/web?x=web-1:2",
        "KEY_FILE": str(tmp_path / "secrets" / "key"),
    }
    assert web.command is not None
    assert [place.words(word, web) for word in web.command] == [
        *("serve", "--host", "127.99.1.2", "--files", str(tmp_path / "files" / "a")),
        *(f"--data={tmp_path}/home/volumes/data", "/datafile"),
    ]
    assert place.words("0.0.0.0:80", web, number=1) == "127.99.1.4:80"
