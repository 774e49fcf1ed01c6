"""One open family, one registry: members register by name and are found by name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from medprune.errors import BadInput, nearest

T = TypeVar("T")


class Registry(Generic[T]):
    """Named members of one family (criteria, strategies), in the order in which they registered.

    >>> colours: Registry[type] = Registry("colour")
    >>> @colours.register("blue")
    ... class Blue: ...
    >>> colours.names()
    ('blue',)
    """

    def __init__(self, family: str) -> None:
        self.family = family
        self._members: dict[str, type[T]] = {}

    def register(self, name: str) -> Callable[[type[T]], type[T]]:
        """Class decorator: make the class known as ``name``."""

        def add(member: type[T]) -> type[T]:
            if name in self._members:
                raise ValueError(f"two {self.family} members are called {name!r}")
            self._members[name] = member
            return member

        return add

    def get(self, name: str) -> type[T]:
        """The member called ``name``; BadInput names the nearest one when there is none."""
        if name not in self._members:
            raise BadInput(
                f"There is no {self.family} called {name!r}{nearest(name, self._members)}; "
                f"choose one of {', '.join(self.names())}."
            )
        return self._members[name]

    def make(self, name: str, **settings: Any) -> T:
        """The member called ``name`` with its settings; BadInput names settings that it does not have."""
        member = self.get(name)
        try:
            return member(**settings)
        except TypeError as error:
            wrong = ", ".join(sorted(settings))
            raise BadInput(
                f"The {self.family} {name!r} does not take these settings together: {wrong}."
            ) from error

    def names(self) -> tuple[str, ...]:
        return tuple(self._members)

    def explanation(self, name: str) -> str:
        """The first line of the member's docstring: its explanation on screen and in the help."""
        return (self.get(name).__doc__ or "").strip().splitlines()[0]


def import_members(package: str) -> None:
    """Import every module of ``package`` so that its members register themselves."""
    path = importlib.import_module(package).__path__
    for module in sorted(found.name for found in pkgutil.iter_modules(path)):
        importlib.import_module(f"{package}.{module}")
