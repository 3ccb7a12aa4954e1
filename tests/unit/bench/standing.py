"""A side of the benchmark that stands for one with a server."""

from dataclasses import dataclass
from pathlib import Path


@dataclass
class Standing:
    """A side that needs no server."""

    name: str
    mock: None
    directory: Path
    plain: str = "127.0.0.1:1"
    key: str = "sk-good"
    stopped: bool = False

    def start(self) -> float:
        self.directory.mkdir(parents=True, exist_ok=True)
        return 0.1

    def rest(self) -> None: ...

    def pids(self) -> list[int]:
        return [7]

    def stop(self) -> None:
        self.stopped = True
