"""A certificate authority of a test's own, made by openssl."""

import subprocess
from pathlib import Path

__all__ = ["Authority"]

CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Authority:
    """Signs certificates that are good for some days. Its own is ``certificate``, in PEM form."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self.certificate = folder / f"{name}.pem"
        self._key = folder / f"{name}.key"
        folder.mkdir(parents=True, exist_ok=True)
        self._openssl("req", "-x509", *CURVE, "-subj", f"/CN={name}", "-days", "7", *self._to(name))

    def sign(self, name: str, alternative: str) -> tuple[Path, Path]:
        """A server's certificate and its key. ``alternative``: whom it is for, such as ``IP:127.0.0.1`` or ``DNS:db.example``."""
        self._openssl(
            *("req", "-x509", *CURVE, "-subj", f"/CN={name}", "-days", "7", *self._to(name)),
            *("-CA", str(self.certificate), "-CAkey", str(self._key)),
            *("-addext", f"subjectAltName={alternative}", "-addext", "basicConstraints=critical,CA:FALSE"),
        )
        return self._folder / f"{name}.pem", self._folder / f"{name}.key"

    def _to(self, name: str) -> tuple[str, ...]:
        return ("-keyout", str(self._folder / f"{name}.key"), "-out", str(self._folder / f"{name}.pem"))

    @staticmethod
    def _openssl(*words: str) -> None:
        done = subprocess.run(["openssl", *words], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
