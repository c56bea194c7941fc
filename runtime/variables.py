"""Which variables of the environment are meant for Drumbeat: so that a misspelled one is no setting that is left out.

And those of Temporal's that cannot be used, as far as that can be seen without its SDK, which takes long to load and which a
command may not need at all.
"""

import re
from collections.abc import Collection, Iterable, Mapping

__all__ = ["ELSEWHERE", "OF_TEMPORAL", "PREFIX", "find_misspelled", "find_unusable"]

PREFIX = "DRUMBEAT_"

ELSEWHERE = frozenset(
    {
        # docker-compose.yml, deploy/ and .ci/run: a shell may have them, where .env is read into it.
        *("DRUMBEAT_BACKUPS", "DRUMBEAT_BACKUP_EVERY", "DRUMBEAT_BACKUP_KEEP_DAYS", "DRUMBEAT_DOMAIN"),
        *("DRUMBEAT_HTTP_PORT", "DRUMBEAT_HTTPS_PORT", "DRUMBEAT_SECRETS", "DRUMBEAT_EXTRA_LEADS"),
        *("DRUMBEAT_PROMETHEUS_PORT", "DRUMBEAT_GRAFANA_PORT", "DRUMBEAT_CODEC_PORT", "DRUMBEAT_UI_ORIGIN"),
        *("DRUMBEAT_POSTGRES_MEMORY", "DRUMBEAT_TEMPORAL_MEMORY", "DRUMBEAT_WORKER_MEMORY"),
        "DRUMBEAT_PYTHON_IMAGE",
        *("DRUMBEAT_DEBUG", "DRUMBEAT_PROGRAMS", "DRUMBEAT_PRODUCTION"),
    }
)
"""Variables with our prefix that are no settings of Drumbeat's processes, or are read before the settings."""

OF_TEMPORAL = frozenset(
    {
        *("TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "TEMPORAL_API_KEY", "TEMPORAL_PROFILE"),
        *("TEMPORAL_CONFIG_FILE", "TEMPORAL_TLS", "TEMPORAL_TLS_SERVER_NAME"),
        *("TEMPORAL_TLS_CLIENT_CERT_PATH", "TEMPORAL_TLS_CLIENT_CERT_DATA", "TEMPORAL_TLS_CLIENT_KEY_PATH"),
        *("TEMPORAL_TLS_CLIENT_KEY_DATA", "TEMPORAL_TLS_SERVER_CA_CERT_PATH"),
        *("TEMPORAL_TLS_SERVER_CA_CERT_DATA", "TEMPORAL_TLS_DISABLE_HOST_VERIFICATION"),
    }
)
"""Those that Temporal's SDK reads (its environment configuration). Its servers and tools read others, which are allowed."""

CREDENTIALS = ("TOKEN", "SECRET", "PASSWORD", "KEY", "USERNAME", "_FILE")
"""Endings of variables that may be a device's: its options name them as they like."""

ALIKE, NEARLY_THE_SAME = 0.8, 0.92
"""How alike two names are (difflib's ratio): for a suggestion, and to refuse what may be somebody else's."""


def find_misspelled(present: Iterable[str], known: Collection[str]) -> list[str]:
    """A sentence for each variable that is meant for Drumbeat and that nothing reads.

    ``known``: the settings. A variable with our prefix is meant for us, unless its ending says that it is a device's
    credential; one of Temporal's is if it is nearly the same as one that is read.
    """
    ours = {*known, *ELSEWHERE}
    found = []
    for name in sorted(present):
        if name.startswith(PREFIX) and name not in ours:
            meant = _closest(name, ours, NEARLY_THE_SAME if name.endswith(CREDENTIALS) else ALIKE)
            if meant or not name.endswith(CREDENTIALS):
                found.append(f"{name}: there is no such setting{_hint(meant)}")
        elif name.startswith("TEMPORAL_") and name not in OF_TEMPORAL:
            meant = _closest(name, OF_TEMPORAL, NEARLY_THE_SAME)
            if meant:
                found.append(f"{name}: nothing reads it{_hint(meant)}")
    return found


def find_unusable(environment: Mapping[str, str]) -> list[str]:
    """A sentence for each variable of Temporal's with a value that can never be used."""
    found = []
    address = environment.get("TEMPORAL_ADDRESS", "").strip()
    port = re.fullmatch(r"[^\s/]+:(\d{1,5})", address)
    if address and (port is None or not 1 <= int(port[1]) <= 65535):
        found.append(f"TEMPORAL_ADDRESS: it must be HOST:PORT, such as 127.0.0.1:7233, not {address!r}")
    namespace = environment.get("TEMPORAL_NAMESPACE", "")
    if namespace and re.search(r"\s", namespace):
        found.append(f"TEMPORAL_NAMESPACE: it must be one word, without blanks, not {namespace!r}")
    tls = environment.get("TEMPORAL_TLS", "").strip()
    if tls.lower() not in ("", "true", "1", "false", "0"):
        found.append(f"TEMPORAL_TLS: it must be true or false, not {tls!r}")
    if environment.get("TEMPORAL_TLS_DISABLE_HOST_VERIFICATION", "").strip().lower() not in (
        "",
        "false",
        "0",
    ):
        found.append(
            "TEMPORAL_TLS_DISABLE_HOST_VERIFICATION: Drumbeat always checks the server's name; TEMPORAL_TLS_SERVER_NAME sets"
            " the one that its certificate has"
        )
    for name in sorted(OF_TEMPORAL):
        path = environment.get(name, "").strip()
        if path and name.endswith(("_PATH", "_FILE")):
            try:
                with open(path, "rb") as file:  # noqa: PTH123 - pathlib would be loaded for it
                    file.read(1)
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or str(error)
                found.append(f"{name}: {path} cannot be read: {why.lower()}")
    return found


def _closest(name: str, names: Collection[str], alike: float) -> str | None:
    from difflib import get_close_matches  # only if something is wrong

    return next(iter(get_close_matches(name, sorted(names), n=1, cutoff=alike)), None)


def _hint(meant: str | None) -> str:
    return f"; did you mean {meant}?" if meant else ": see docs/settings.md"
