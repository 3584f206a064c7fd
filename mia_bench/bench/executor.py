"""Where cells run: here, or wherever an executor takes them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Job(Protocol[T_co]):
    """What an executor gives for a submitted cell; ``concurrent.futures.Future`` is one."""

    def result(self) -> T_co:
        """Wait for the answer, or raise what the call raised."""
        ...


class Executor(Protocol):
    """Where cells run. All cells of a run are submitted; records are written as jobs end, if they are futures."""

    def submit(self, call: Callable[..., T], /, *arguments: Any) -> Job[T]:
        """Arrange for call(*arguments) to run."""
        ...


@dataclass(frozen=True)
class Deferred(Generic[T]):
    """A call made when its result is asked for."""

    call: Callable[[], T]

    def result(self) -> T:
        """The call's answer."""
        return self.call()


class InProcess:
    """Runs each cell here, when its turn comes."""

    def submit(self, call: Callable[..., T], /, *arguments: Any) -> Deferred[T]:
        """call(*arguments), later."""
        return Deferred(lambda: call(*arguments))
