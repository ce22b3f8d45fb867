"""The tree of src/ocusam as README.md shows it: one line per file, in the words of its docstring.

`python tests/readme_tree.py` prints it, `--write` puts it into README.md between the two marks. A package's
line stands for its `__init__.py`. tests/test_repository.py compares.
"""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "ocusam"
README = ROOT / "README.md"
BEGIN, END = "<!-- tree: written by `make tree` -->", "<!-- end of tree -->"

# From the ground up, as the imports go.
PACKAGES = ["core", "model", "weights", "video", "synthetic", "engines", "tracking"]
PACKAGES += ["eye", "report", "training", "workflows", "cli"]
# Files that cannot speak for themselves.
DATA_FILES = {
    "py.typed": "tells type checkers that the package is typed",
    "nano.safetensors": "the trained weights of nano (docs/model_card.md)",
}


def sentence(path: Path) -> str:
    """The first sentence of a module's docstring, without its full stop."""
    if path.name in DATA_FILES:
        return DATA_FILES[path.name]
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    if not doc:
        raise ValueError(f"{path.relative_to(ROOT)} has no docstring")
    first = " ".join(doc.split("\n\n")[0].split())
    return first.split(". ")[0].rstrip(".")


def files_of(folder: Path) -> list[Path]:
    """What belongs to the package in one folder: modules and known data, `__init__.py` apart."""
    found = [p for p in folder.iterdir() if p.suffix == ".py" or p.name in DATA_FILES]
    return sorted(p for p in found if p.name != "__init__.py")


def rows_of(folder: Path, depth: int) -> list[tuple[str, str]]:
    """Lines of one package: itself, its files, then the packages inside it."""
    inside = [folder / name for name in PACKAGES] if folder == PACKAGE else sorted(folder.iterdir())
    name = "src/ocusam/" if folder == PACKAGE else f"{folder.name}/"
    rows = [("  " * depth + name, sentence(folder / "__init__.py"))]
    rows += [("  " * (depth + 1) + p.name, sentence(p)) for p in files_of(folder)]
    for package in inside:
        if (package / "__init__.py").exists():
            rows += rows_of(package, depth + 1)
    return rows


def tree() -> str:
    """The whole tree as text, one line per file."""
    rows = rows_of(PACKAGE, 0)
    width = max(len(left) for left, _ in rows) + 2
    return "\n".join(f"{left:<{width}}{right}" for left, right in rows)


def shown(readme: str) -> str:
    """The tree that a README text shows."""
    return readme.split(BEGIN)[1].split(END)[0].strip().removeprefix("```text").removesuffix("```").strip()


def write() -> None:
    """Put the tree of today into README.md."""
    text = README.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    README.write_text(f"{head}{BEGIN}\n```text\n{tree()}\n```\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    write() if "--write" in sys.argv[1:] else print(tree())
