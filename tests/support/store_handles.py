"""Opens handles on a store and closes them all."""

from collections.abc import Callable
from types import TracebackType

from penstock.store.interface import Store


class Handles:
    """`await handles.make()` opens one more handle on what `new` points to; leaving the block closes them."""

    def __init__(self, new: Callable[[], Store]) -> None:
        self._new = new
        self._open: list[Store] = []

    async def __aenter__(self) -> "Handles":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for store in self._open:
            await store.close()

    async def make(self) -> Store:
        store = self._new()
        self._open.append(store)
        await store.open(migrate=True)
        return store
