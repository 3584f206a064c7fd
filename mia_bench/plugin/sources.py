"""The code behind a component: plugin files as modules of their own, and a hash that notices every edit."""

import ast
import hashlib
import importlib.util
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from .errors import RequestError

PREFIX = "mia_bench_plugin_"


def run(file: str | Path) -> ModuleType:
    """A plugin file as a module, named by its whole path: two files of one name do not share a module.

    It is executed, and so is what it imports from its own folder; again only when one of these was edited since.
    """
    path = Path(file).resolve()
    name = f"{PREFIX}{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    before = sys.modules.get(name)
    if before is not None:
        if vars(before)[_AS_RUN] == {str(one.__file__): _digest(Path(one.__file__ or "")) for one in _beside(before)}:
            return before
        sys.modules.pop(name, None)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))
    loaded = set(sys.modules)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(str(path.parent))
        own = {other: sys.modules[other] for other in set(sys.modules) - loaded if _lies_in(other, path.parent)}
        for other in own:  # another plugin's folder may have a module of the same name
            del sys.modules[other]
    setattr(module, _HELPERS, own)
    setattr(module, _AS_RUN, {str(one.__file__): _digest(Path(one.__file__ or "")) for one in _beside(module)})
    return module


_AS_RUN = "__mia_bench_sources__"
_HELPERS = "__mia_bench_helpers__"
"""What a plugin file imported from its own folder, by name."""


def _lies_in(name: str, folder: Path) -> bool:
    file = getattr(sys.modules[name], "__file__", None)
    return file is not None and _own(Path(file).resolve(), folder)


def _own(file: Path, folder: Path) -> bool:
    """True for what a folder's author wrote: in it or below, and no environment's package."""
    return folder in file.parents and not {"site-packages", "dist-packages"} & set(file.parts)


def _digest(file: Path) -> bytes:
    return hashlib.sha256(file.read_bytes()).digest() if file.is_file() else b""


def plugin_file(kind: type) -> str | None:
    """The file that ``run`` made a class from; None for one that can be imported by name."""
    module = sys.modules.get(kind.__module__)
    return module.__file__ if module is not None and kind.__module__.startswith(PREFIX) else None


def sha256_of(kind: type) -> str:
    """SHA-256 of what defines a class and the plugins it derives from: their files, and whatever those import, directly
    or not, from beside them (their own folder and below). What mia-bench itself brings is covered by its version, the
    rest of an environment is not."""
    digest = hashlib.sha256()
    files: set[Path] = set()
    for plugin in kind.__mro__:
        if plugin.__module__.startswith(__package__ + ".") or plugin.__module__.split(".")[0] in _NOT_PLUGINS:
            continue
        file = _file_of(plugin)
        if file is None:
            digest.update(_NOBODY_KNOWS)
            continue
        if vars(plugin).get(_DEFINED_IN, _digest(file)) != _digest(file):
            raise RequestError(f"{file} was edited since {plugin.__name__} was imported from it; start Python anew")
        files |= {Path(one.__file__ or "") for one in _beside(sys.modules[plugin.__module__])}
    for content in sorted(map(_digest, files)):
        digest.update(content)
    return digest.hexdigest()


_NOBODY_KNOWS = secrets.token_bytes(16)
"""For code from a notebook, a prompt or standard input, which no file holds: another in each process, so that its
records are never taken for those of another text."""
_DEFINED_IN = "__mia_bench_source__"


def remember(kind: type) -> None:
    """Keep the digest of the file that a class is defined in, as it is now, with the class."""
    file = _file_of(kind)
    if file is not None and not kind.__module__.startswith("mia_bench."):
        setattr(kind, _DEFINED_IN, _digest(file))


def _file_of(kind: type) -> Path | None:
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return Path(file) if file and Path(file).is_file() else None


_NOT_PLUGINS = {"builtins", "abc", "typing", "pydantic", "pydantic_core"}


def _beside(module: ModuleType) -> list[ModuleType]:
    """The module, and those it imports from its folder and below, and so on."""
    home = Path(module.__file__ or "").resolve().parent
    found: dict[Path, ModuleType] = {}
    todo = [module]
    while todo:
        one = todo.pop()
        file = Path(one.__file__ or "").resolve()
        if file in found or not file.is_file():
            continue
        found[file] = one
        if file.suffix == ".py":
            helpers = vars(module).get(_HELPERS, {})
            todo += [
                other for other in _imported(one, file, helpers) if _own(Path(other.__file__ or "").resolve(), home)
            ]
    return list(found.values())


def _imported(module: ModuleType, file: Path, helpers: dict[str, ModuleType]) -> Iterator[ModuleType]:
    """Modules that a module's text imports, wherever in it, as far as they are loaded."""
    package = module.__package__ or ""
    for node in ast.walk(ast.parse(file.read_bytes())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            up = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*up, *([node.module] if node.module else [])])
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            other = helpers.get(name) or sys.modules.get(name)
            if other is not None and getattr(other, "__file__", None):
                yield other
