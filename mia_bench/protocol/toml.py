"""TOML files that others write, validated at the door."""

import difflib
import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ..plugin.errors import RequestError, first_problem

ModelT = TypeVar("ModelT", bound=BaseModel)


class Section(BaseModel):
    """A table of such a file: unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def find(kind: str, name_or_path: str, built_in: Path) -> Path:
    """The file of a built-in thing by its name, or a user's own by its path; RequestError with a mend if neither."""
    names = names_in(built_in)
    if name_or_path in names:
        return built_in / f"{name_or_path}.toml"
    path = Path(name_or_path)
    if path.suffix != ".toml" and not path.exists():
        close = difflib.get_close_matches(name_or_path, names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"built in: {', '.join(names)}"
        raise RequestError(f"unknown {kind} {name_or_path!r}; {hint}; or give the path of a .toml file")
    return path


def names_in(folder: Path) -> list[str]:
    """The names of what a folder of the package brings."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def read(kind: str, path: Path, model: type[ModelT], check: Callable[[dict[str, Any]], None] | None = None) -> ModelT:
    """The file as its model; ``check`` sees what it says first. RequestError names the file and the key."""
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestError(f"{kind} {path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"{kind} {path} is not TOML: {error}") from None
    if check:
        check(content)
    try:
        return model.model_validate_json(json.dumps(content, default=str), strict=True)
    except ValidationError as error:
        raise RequestError(f"{kind} {path}: {first_problem(error)}") from None
