"""Lightning's door to our ranks: how many there are, and which this is, said by us rather than guessed from variables."""

from __future__ import annotations

import os

from pytorch_lightning.plugins.environments import ClusterEnvironment


class Ranks(ClusterEnvironment):
    """Ranks that are there already.

    Args:
        world: their number.
        local: those of one machine.
        rank: this one.
    """

    def __init__(self, world: int, local: int, rank: int) -> None:
        super().__init__()
        self.world, self.local, self.rank = world, local, rank

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return os.environ.get("MASTER_ADDR", "127.0.0.1")

    @property
    def main_port(self) -> int:
        return int(os.environ.get("MASTER_PORT", 0))

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self.world

    def set_world_size(self, size: int) -> None:
        """Lightning asks for what is known already."""

    def global_rank(self) -> int:
        return self.rank

    def set_global_rank(self, rank: int) -> None:
        """Likewise."""

    def local_rank(self) -> int:
        return self.rank % self.local

    def node_rank(self) -> int:
        return self.rank // self.local
