"""The repository tells the truth about itself: tree, versions, dependencies, docstrings, no private paths."""

import ast
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer

import ocusam
import readme_tree
from ocusam.cli.main import app
from ocusam.core.version import __version__
from ocusam.eye.blink import LID_OPENING
from ocusam.eye.reflection import VECTOR_COLUMNS
from ocusam.eye.scale import DIAMETER_MM
from ocusam.eye.signals import COLUMNS
from ocusam.workflows.session.recovered import RECOVERED

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "ocusam"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
MODULES = sorted(PACKAGE.rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# What is imported under another name than it is installed under.
INSTALLED_AS = {"PIL": "pillow", "cv2": "opencv-python-headless", "yaml": "pyyaml"}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def name_of(requirement: str) -> str:
    return canonical(re.split(r"[<>=!~\[; ]", requirement, maxsplit=1)[0])


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def imported_distributions() -> set[str]:
    """Every third-party package that a file of src/ imports, at the top or inside a function."""
    names: set[str] = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                names.add(node.module.split(".")[0])
    foreign = names - set(sys.stdlib_module_names) - {"ocusam"}
    return {canonical(INSTALLED_AS.get(name, name)) for name in foreign}


def tracked_texts() -> list[tuple[str, str]]:
    """Path and content of every text file that belongs to the repository."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("this copy is not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    texts = []
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        data = path.read_bytes() if path.is_file() else b""
        if b"\0" not in data:
            texts.append((name, data.decode("utf-8")))
    return texts


def test_the_readme_shows_the_tree_as_it_is() -> None:
    shown = readme_tree.shown(readme_tree.README.read_text(encoding="utf-8"))
    assert shown == readme_tree.tree(), "run `make tree`"


def test_the_tree_has_one_line_for_every_file() -> None:
    listed = [line.split()[0] for line in readme_tree.tree().splitlines()]
    packages = [p for p in MODULES if p.name == "__init__.py"]
    data = [p for p in PACKAGE.rglob("*") if p.name in readme_tree.DATA_FILES]
    assert len(listed) == len(MODULES) + len(data)
    assert sum(name.endswith("/") for name in listed) == len(packages)


def test_one_version_everywhere() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", changelog, flags=re.MULTILINE)
    assert versions, "CHANGELOG.md names no version"
    assert versions[0] == __version__ == ocusam.__version__


def test_changelog_entries_are_of_the_known_kinds() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    kinds = set(re.findall(r"^### (.+)$", changelog, flags=re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_declared_dependencies_are_the_imported_ones() -> None:
    declared = {name_of(requirement) for requirement in PROJECT["dependencies"]}
    assert imported_distributions() == declared


def test_every_direct_dependency_is_pinned() -> None:
    wanted = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]
    pinned = {canonical(name) for name in pins()}
    assert {name_of(requirement) for requirement in wanted} - pinned == set()


def test_readme_names_the_two_commands() -> None:
    readme = readme_tree.README.read_text(encoding="utf-8")
    assert "make demo" in readme and "make test" in readme


def test_commands_in_our_pages_exist_with_their_options() -> None:
    # Catches a renamed command or option that a page still shows.
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    shown = [shlex.split(found) for found in re.findall(r"(?:`|bin/)ocusam ([a-z]+[^`\n#]*)", text)]
    assert shown
    for name, *rest in shown:
        assert name in commands, f"there is no `ocusam {name}`"
        known = {flag for param in commands[name].params for flag in (*param.opts, *param.secondary_opts)}
        used = {word.split("=")[0] for word in rest if re.fullmatch(r"-{1,2}[a-z][a-z-]*(=.*)?", word)}
        assert used <= known, f"`ocusam {name}` has no {used - known}"


def test_readme_explains_every_column_of_the_signals() -> None:
    readme = readme_tree.README.read_text(encoding="utf-8")
    rows = readme.split("| column | meaning | unit |")[1].split("\n\n")[0].splitlines()[2:]
    explained = [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert explained == [*COLUMNS, LID_OPENING, *VECTOR_COLUMNS, RECOVERED, DIAMETER_MM]


def test_links_between_our_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


def test_no_path_of_one_machine_and_no_registry_host() -> None:
    # Absolute paths into somebody's home or work folder, and hosts that only an installer should know.
    private = re.compile(r"(?<![\w.~*])/(?:home|root|Users|work|mnt|farm)/\w")
    hosts = re.compile("|".join(["python" + "hosted", r"pypi\.org/" + "simple", r"download\.py" + "torch"]))
    for name, text in tracked_texts():
        for number, line in enumerate(text.splitlines(), start=1):
            assert not private.search(line), f"{name}:{number} names a path of one machine: {line.strip()}"
            assert not hosts.search(line), f"{name}:{number} names a registry host: {line.strip()}"
