"""The project's own files: what they promise to those who install, read and change it."""

import ast
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
CONTRACTS = PYPROJECT["tool"]["importlinter"]
LOCKS = {
    "requirements/run": [],
    "requirements/simulator": ["simulator"],
    "requirements/reports": ["reports"],
    "requirements/embedded": ["reports", "simulator", "embedded"],
    "requirements/dev": ["reports", "simulator", "embedded", "dev"],
    "benchmarks/extra/peer": ["reports", "simulator", "embedded", "peer"],
}
"""Each lock file, with the extras that it holds besides the dependencies."""

# Spelt in parts, so that this file does not name them either.
REGISTRIES = re.compile(
    "|".join(
        re.escape(".".join(parts))
        for parts in (
            ("pypi", "org"),
            ("pythonhosted", "org"),
            ("npmjs", "org"),
            ("npmjs", "com"),
            ("deb", "debian", "org"),
            ("proxy", "golang", "org"),
            ("crates", "io"),
            ("rubygems", "org"),
        )
    )
)
MACHINE_PATHS = re.compile(r"(?<![\w.$}/<-])/(?:home|root|Users|work|opt|mnt|srv)/\w")


def _texts() -> dict[str, str]:
    """Every file of the project that is text, by its path."""
    if (ROOT / ".git").exists() and shutil.which("git"):
        command = [
            "git",
            "-C",
            str(ROOT),
            "-c",
            "safe.directory=*",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]
        names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
        files = [ROOT / name for name in names if name]
    else:
        files = [
            path
            for path in ROOT.rglob("*")
            if path.is_file()
            and not any(
                part.startswith(".") or part == "__pycache__" for part in path.relative_to(ROOT).parts
            )
        ]
    texts = {}
    for path in files:
        if path.exists():
            content = path.read_bytes()
            if b"\0" not in content:
                texts[str(path.relative_to(ROOT))] = content.decode(errors="replace")
    return texts


def _pins(name: str) -> dict[str, Requirement]:
    lines = (ROOT / f"{name}.lock").read_text().splitlines()
    pins = (Requirement(line.removesuffix("\\").strip()) for line in lines if re.match(r"\w", line))
    return {canonicalize_name(pin.name): pin for pin in pins}


def test_no_file_names_a_package_registry() -> None:
    assert [name for name, text in _texts().items() if REGISTRIES.search(text)] == []


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    found = {
        f"{name}:{number}: {line.strip()}"
        for name, text in _texts().items()
        for number, line in enumerate(text.splitlines(), 1)
        if MACHINE_PATHS.search(line)
    }
    assert found == set()


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_has_a_hash_for_every_library_and_names_no_place(name: str) -> None:
    text = (ROOT / f"{name}.lock").read_text()
    assert "://" not in text
    assert re.findall(r"^ *-(?!-hash=sha256:[0-9a-f]{64}\b).*", text, re.MULTILINE) == []
    for entry in re.split(r"\n(?=\w)", text):
        assert re.match(r"[\w.-]+==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry


@pytest.mark.parametrize(("name", "extras"), LOCKS.items())
def test_a_lock_file_pins_what_the_project_asks_for(name: str, extras: list[str]) -> None:
    asked = [*PROJECT["dependencies"]]
    for extra in extras:
        asked += PROJECT["optional-dependencies"][extra]
    pins = _pins(name)
    for requirement in map(Requirement, asked):
        if requirement.name != PROJECT["name"]:
            pin = next(iter(pins[canonicalize_name(requirement.name)].specifier))
            assert requirement.specifier.contains(pin.version), f"{requirement}: run make lock"


def test_the_lock_files_agree() -> None:
    run, simulator, reports, embedded, dev, peer = LOCKS
    pairs = [(run, simulator), (run, reports), (simulator, embedded), (reports, embedded)]
    for smaller, larger in [*pairs, (embedded, dev), (embedded, peer)]:
        theirs = _pins(larger)
        differing = [name for name, pin in _pins(smaller).items() if theirs[name].specifier != pin.specifier]
        assert differing == [], f"{smaller}.lock and {larger}.lock"


def test_what_runs_in_production_imports_only_what_production_installs() -> None:
    """Where the tests run more is installed, so that nothing else would show it."""
    own = {path.name.removesuffix(".py") for path in ROOT.iterdir()}
    everywhere, with_reports = set(_pins("requirements/run")), set(_pins("requirements/reports"))
    providers = importlib.metadata.packages_distributions()
    missing = set()
    folders = set(CONTRACTS["root_packages"]) - {"simulator", "rig", "chaos", "benchmarks"}
    files = [ROOT / "worker.py", ROOT / "starter.py"]
    files += [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    for path in files:
        # Only what draws may use what is optional. That it is read no earlier, a test of the command line shows.
        draws = path.is_relative_to(ROOT / "messaging" / "reporting" / "report")
        installed = with_reports if draws else everywhere
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.append(node.module)
            for module in {module.split(".")[0] for module in modules} - sys.stdlib_module_names - own:
                if not installed & {canonicalize_name(name) for name in providers.get(module, ())}:
                    missing.add(f"{path.relative_to(ROOT)}: {module}")
    assert missing == set()


def test_every_dependency_is_explained() -> None:
    document = (ROOT / "docs" / "dependencies.md").read_text()
    explained = {canonicalize_name(name) for name in re.findall(r"^\| `([\w.-]+)` ", document, re.MULTILINE)}
    asked = [*PROJECT["dependencies"]]
    for extra in PROJECT["optional-dependencies"].values():
        asked += extra
    assert explained == {canonicalize_name(Requirement(line).name) for line in asked} - {PROJECT["name"]}


def test_every_migration_can_be_applied_and_taken_back() -> None:
    files = sorted((ROOT / "messaging" / "migrations").iterdir())
    assert files
    for file in files:
        assert re.fullmatch(r"\d{14}_[a-z0-9_]+\.sql", file.name)
        text = re.sub(r"^(?!-- migrate:)[ \t]*--.*$", "", file.read_text(), flags=re.MULTILINE)
        match = re.fullmatch(
            r"\s*-- migrate:up(?: transaction:false)?\n(.+?)-- migrate:down(?: transaction:false)?\n(.+)",
            text,
            re.DOTALL,
        )
        assert match, f"{file.name}: needs -- migrate:up and -- migrate:down"
        assert all(part.strip() for part in match.groups()), f"{file.name}: a half is empty"
    numbers = [file.name[:14] for file in files]
    assert len(numbers) == len(set(numbers))


class Checkout:
    """A project with the real set-up script, and no library to install."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "scripts").mkdir(parents=True)
        (root / "requirements").mkdir()
        shutil.copy(ROOT / "scripts" / "setup", root / "scripts" / "setup")
        for name in ("embedded", "dev"):
            (root / "requirements" / f"{name}.lock").touch()

    def start(self, name: str = "dev", python: str = sys.executable) -> subprocess.Popen[str]:
        environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "PYTHON": python}
        return subprocess.Popen(
            [self.root / "scripts" / "setup", name],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def setup(self, name: str = "dev", python: str = sys.executable) -> tuple[int, str]:
        process = self.start(name, python)
        output, _ = process.communicate(timeout=100)
        return process.returncode, output

    def done(self, name: str = "dev") -> bool:
        """Whether there is nothing left to do: only then can it do without a Python to make .venv with."""
        code, output = self.setup(name, python="no-such-python")
        assert (code, output.count("\n")) in {(0, 0), (1, 1)}, output
        return code == 0


@pytest.mark.long  # makes virtual environments
def test_set_up_is_done_once_and_again_when_something_changed(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "a checkout")
    assert not checkout.done("embedded")
    code, output = checkout.setup("embedded")
    assert (code, output.count("\n")) == (0, 1), output
    assert checkout.done("embedded")
    assert not checkout.done("dev")

    # More of the same is added to what is there, and has the smaller one in it.
    code, output = checkout.setup("dev")
    assert code == 0
    assert "adding" in output
    assert checkout.done("dev")
    assert checkout.done("embedded")

    lock = checkout.root / "requirements" / "dev.lock"
    lock.write_text("# pinned anew\n")
    assert not checkout.done("dev")
    lock.write_text("")
    assert checkout.done("dev")

    place, elsewhere = checkout.root, tmp_path / "elsewhere"
    checkout.root = place.rename(elsewhere)
    assert not checkout.done("dev")
    checkout.root = elsewhere.rename(place)
    assert checkout.done("dev")

    unfinished = place / ".venv" / "unfinished"
    unfinished.touch()
    assert not checkout.done("embedded")
    unfinished.unlink()

    python = place / ".venv" / "bin" / "python"
    target = python.readlink()
    python.unlink()
    assert not checkout.done("dev")
    python.symlink_to(target)
    assert checkout.done("dev")


@pytest.mark.long  # makes virtual environments
def test_a_set_up_that_was_killed_is_done_again_by_one_of_those_who_come_next(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    remains = tmp_path / ".venv" / "remains"
    remains.parent.mkdir()
    remains.touch()
    (tmp_path / ".venv" / "unfinished").touch()
    processes = [checkout.start() for _ in range(3)]
    outputs = [process.communicate(timeout=100)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    assert sum("setting up" in output for output in outputs) == 1
    assert not remains.exists()
    assert checkout.done()


def test_a_python_that_is_too_old_is_told_in_one_line(tmp_path: Path) -> None:
    old = tmp_path / "python3"  # called as: python3 -I -c CODE
    lie = "import sys; sys.version_info = (3, 10, 9); exec(sys.argv[1])"
    old.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -c "{lie}" "$3"\n')
    old.chmod(0o755)
    code, output = Checkout(tmp_path / "checkout").setup(python=str(old))
    assert (code, output) == (1, f"drumbeat: PYTHON={old} is not a Python of version 3.11 or newer\n")


@pytest.mark.long  # makes virtual environments
def test_a_library_that_cannot_be_installed_is_told_and_not_taken_for_done(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    lock = tmp_path / "requirements" / "dev.lock"
    lock.write_text(f"nowhere @ file://{tmp_path}/nowhere-1-py3-none-any.whl --hash=sha256:{'0' * 64}\n")
    code, output = checkout.setup()
    assert code == 1
    assert "nowhere-1-py3-none-any.whl" in output
    assert output.splitlines()[-1].startswith("drumbeat: requirements/dev.lock could not be installed")
    assert not checkout.done()
