"""The demo provider on the tests' loop thread, without its pauses."""

from types import TracebackType

from penstock.demo import DemoProvider, Pace

from .loop import LoopThread


class RunningDemo:
    """`with RunningDemo(loop) as demo:`; `demo.root` is its base address."""

    def __init__(self, loop: LoopThread, pace: Pace | None = None) -> None:
        self._loop = loop
        self._provider = DemoProvider(pace or Pace.instant())

    @property
    def root(self) -> str:
        return self._provider.base_url

    def __enter__(self) -> "RunningDemo":
        self._loop.run(self._provider.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.run(self._provider.__aexit__(kind, error, trace))
