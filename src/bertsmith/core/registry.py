"""Things that are found by name: families, objectives, tasks, tunings, segmenters.

A thing lives in one file of its folder and registers itself there, so a file that is put into the folder is registered by being there; no list is
kept by hand. Looking a name up imports the file that is called like it; if there is none, or the name is not in it, the whole folder.
"""

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar, cast

from bertsmith.core.errors import UnknownNameError

Thing = TypeVar("Thing")
Registered = TypeVar("Registered")


def nearest(name: str, allowed: Iterable[str]) -> str:
    """A hint for a mistyped name: `" (did you mean 'pair'?)"`, or nothing where no allowed name is close.

    Example:
        >>> nearest("piar", ["single", "pair"])
        " (did you mean 'pair'?)"
    """
    close = difflib.get_close_matches(name, list(allowed), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


class Registry(Generic[Thing]):
    """The things of one kind, by name.

    Args:
        kind: What they are, for messages: "task".
        package: The package whose modules register them, imported as names are looked up.

    Example:
        >>> colours: Registry[str] = Registry("colour", "bertsmith.core")
        >>> colours.register("red")("#f00")
        '#f00'
        >>> colours["red"], list(colours)
        ('#f00', ['red'])
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self.package = package
        self._things: dict[str, Thing] = {}
        self._imported = False

    def register(self, *names: str) -> Callable[[Registered], Registered]:
        """Decorate a class or function to make it known under one or several names.

        Raises:
            KeyError: A name is taken by another thing; that is a mistake in the code, not in its use.
        """

        def add(thing: Registered) -> Registered:
            for name in names:
                if name in self._things:
                    raise KeyError(f"{self.kind} {name!r} is registered twice")
                self._things[name] = cast("Thing", thing)
            return thing

        return add

    def __getitem__(self, name: str) -> Thing:
        if name not in self:
            known = ", ".join(sorted(self._things))
            raise UnknownNameError(f"unknown {self.kind} {name!r}{nearest(name, self._things)}; known: {known}")
        return self._things[name]

    def __contains__(self, name: object) -> bool:
        if name not in self._things and name in self._modules():
            importlib.import_module(f"{self.package}.{name}")
        if name not in self._things:
            self._import_package()
        return name in self._things

    def __iter__(self) -> Iterator[str]:
        self._import_package()
        return iter(sorted(self._things))

    def items(self) -> list[tuple[str, Thing]]:
        """Name and thing, sorted by name."""
        return [(name, self[name]) for name in self]

    def _import_package(self) -> None:
        if self._imported:
            return
        self._imported = True
        try:
            for module in self._modules():
                importlib.import_module(f"{self.package}.{module}")
        except BaseException:
            self._imported = False  # half a registry must not pass for a whole one
            raise

    def _modules(self) -> list[str]:
        return [module.name for module in pkgutil.iter_modules(importlib.import_module(self.package).__path__)]
