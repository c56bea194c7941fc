"""DATABASE_URL: TLS to every PostgreSQL that is not on this machine, and what is wrong with the files that it names.

PostgreSQL's own clients, and asyncpg, use TLS only where the server offers it (``sslmode=prefer``): who stands between can
take it away unseen. So where neither the URL nor PGSSLMODE says otherwise, the server has to prove who it is
(https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION).
"""

import ipaddress
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

__all__ = ["for_this_machine", "secured"]

MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
SYSTEM = "system"
"""For ``sslrootcert``: the authorities that this machine trusts, as libpq calls them."""

BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian and its family, Alpine, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora and its family
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # BSD, macOS
)
"""Where systems keep the certificates of the authorities that they trust, if OpenSSL's own place has none."""


def secured(url: str, environment: Mapping[str, str] = os.environ) -> str:
    """The URL with an explicit ``sslmode`` and ``sslrootcert`` where it leads away from this machine and says nothing of TLS.

    Raises ValueError, in a few words, if a mode or a file that it or the environment names cannot be used.
    """
    parts = urlsplit(url)
    query = _query(parts.query)
    _check_ports(query, environment)
    where, mode = "sslmode", query.get("sslmode")
    if mode is None:
        where, mode = "PGSSLMODE", environment.get("PGSSLMODE") or None
    if mode is not None and mode not in MODES:
        raise ValueError(f"{where} is one of {', '.join(MODES)}, not {mode!r}")
    if mode is None:
        if for_this_machine(url, environment):
            return url
        mode = query["sslmode"] = "verify-full"
    if mode == "disable":
        return url
    root = query.get("sslrootcert") or environment.get("PGSSLROOTCERT")
    if mode in ("verify-ca", "verify-full") and root is None and not _own_roots(environment).exists():
        root = SYSTEM
    if root == SYSTEM:
        if mode != "verify-full":
            raise ValueError("sslrootcert=system needs sslmode=verify-full")
        root = query["sslrootcert"] = _bundle()
    _check_files(root, query, environment)
    return urlunsplit(parts._replace(query=urlencode(query, quote_via=quote)))


def for_this_machine(url: str, environment: Mapping[str, str] = os.environ) -> bool:
    """True if the URL leads to loopback or a Unix socket only. A service file may lead anywhere."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    if "service" in query or environment.get("PGSERVICE"):
        return False
    hosts = parts.netloc.rpartition("@")[2] or query.get("host") or environment.get("PGHOST") or "localhost"
    return all(_is_here(_without_port(unquote(host))) for host in hosts.split(","))


def _query(text: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(text, keep_blank_values=True, strict_parsing=True) if text else ())
    except ValueError:
        raise ValueError("behind the ? it must have NAME=VALUE, with & between") from None


def _check_ports(query: Mapping[str, str], environment: Mapping[str, str]) -> None:
    for name, ports in (("port", query.get("port")), ("PGPORT", environment.get("PGPORT"))):
        if ports and not all(port.isdecimal() and 1 <= int(port) <= 65535 for port in ports.split(",")):
            raise ValueError(f"{name} must be from 1 to 65535, not {ports!r}")


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def _is_here(host: str) -> bool:
    if not host or host.startswith(("/", "@")) or host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _own_roots(environment: Mapping[str, str]) -> Path:
    """Where PostgreSQL's clients look for authorities if nothing names them."""
    return Path(environment.get("HOME") or "/nonexistent") / ".postgresql" / "root.crt"


def _bundle() -> str:
    for path in (ssl.get_default_verify_paths().cafile, *BUNDLES):
        if path and Path(path).is_file():
            return path
    raise ValueError(
        "this machine has no list of certificate authorities to check PostgreSQL's certificate with: install "
        "ca-certificates, or name the server's authority with sslrootcert=FILE"
    )


def _check_files(root: str | None, query: Mapping[str, str], environment: Mapping[str, str]) -> None:
    if root:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=root)
        except ssl.SSLError:
            raise ValueError(f"sslrootcert: {root} has no certificate in PEM form") from None
        except OSError as error:
            raise ValueError(f"sslrootcert: {root} cannot be read: {_why(error)}") from None
    for name in ("sslcert", "sslkey"):
        path = query.get(name) or environment.get(f"PG{name.upper()}")
        if path:
            try:
                Path(path).read_bytes()
            except OSError as error:
                raise ValueError(f"{name}: {path} cannot be read: {_why(error)}") from None


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
