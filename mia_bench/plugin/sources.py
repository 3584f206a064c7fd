"""The code behind a component: plugin files as modules of their own, and a hash that notices every edit."""

import ast
import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, ModuleType

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
        for one in _beside(before):
            sys.modules.pop(one.__name__, None)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(str(path.parent))
    setattr(module, _AS_RUN, {str(one.__file__): _digest(Path(one.__file__ or "")) for one in _beside(module)})
    return module


_AS_RUN = "__mia_bench_sources__"


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
        module = sys.modules.get(plugin.__module__)
        if module is not None and getattr(module, "__file__", None):
            files |= {Path(one.__file__ or "") for one in _beside(module)}
        else:  # a notebook or a prompt: no file, but there is code
            digest.update(_code(plugin))
    for content in sorted(map(_digest, files)):
        digest.update(content)
    return digest.hexdigest()


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
            todo += [other for other in _imported(one, file) if home in Path(other.__file__ or "").resolve().parents]
    return list(found.values())


def _imported(module: ModuleType, file: Path) -> Iterator[ModuleType]:
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
            other = sys.modules.get(name)
            if other is not None and getattr(other, "__file__", None):
                yield other


def _code(kind: type) -> bytes:
    """What a class without a file is made of: its source where it is known, else its compiled functions."""
    try:
        return inspect.getsource(kind).encode()
    except (OSError, TypeError):
        functions = sorted((name, value.__code__) for name, value in vars(kind).items() if inspect.isfunction(value))
        return repr([(name, _shape(code)) for name, code in functions]).encode()


def _shape(code: CodeType) -> list[object]:
    constants = [_shape(value) if isinstance(value, CodeType) else repr(value) for value in code.co_consts]
    return [code.co_code.hex(), code.co_names, constants]
