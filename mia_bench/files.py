"""Writing files so that nothing is ever half there."""

import os
import tempfile
from pathlib import Path

from .plugin.errors import RequestError


def write_atomic(file: Path, content: bytes) -> None:
    """Write a file whole or not at all, whenever the process dies; RequestError if the folder cannot be written."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        try:
            with os.fdopen(handle, "wb") as temporary:
                temporary.write(content)
                temporary.flush()
                os.fsync(temporary.fileno())
            os.chmod(name, 0o644)
            os.replace(name, file)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise RequestError(f"cannot write {file}: {error.strerror or error}") from None


def check_writable(folder: Path) -> None:
    """Make the folder and prove that a file can be written there; RequestError if not."""
    probe = folder / f".probe-{os.getpid()}"
    write_atomic(probe, b"")
    probe.unlink()
