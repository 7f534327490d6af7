"""One host's series in the head: its schemas, its blocks, and which value of a batch goes where."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from collector.head.demand import THIN
from collector.head.memory import Block, Memory
from collector.head.slab import Run, listed, run
from collector.labels import NAME, Labels


@dataclass(frozen=True, slots=True)
class Route:
    """The values of a batch that go into one block: their columns (None: all), and their rows in its slab."""

    block: Block
    columns: Run | None
    spots: Run
    whole: bool  # the block has no other series


@dataclass(slots=True)
class Schema:
    """The series of a batch in the table, and their routes; None when these must be found out again.

    They are counted from `base`: so hosts of the same series have the same `offsets`.
    """

    base: int
    offsets: Run
    routes: tuple[Route, ...] | None = None

    @property
    def rows(self) -> NDArray[np.int32]:
        """Rows of the table, in the batch's order."""
        return listed(self.offsets) + np.int32(self.base)

    @property
    def size(self) -> int:
        """How many series."""
        return self.offsets.stop - self.offsets.start if isinstance(self.offsets, slice) else len(self.offsets)


@dataclass(slots=True)
class Host:
    """A host, or one of the collector's own series: then `schemas` is empty and there is one row."""

    index: int
    shared: Labels
    schema: bytes = b""
    schemas: dict[bytes, Schema] = field(default_factory=dict)
    blocks: dict[int, Block] = field(default_factory=dict)
    often: int = 1  # how much more often than usual it may send
    demanded: int = 0  # which demand the blocks are made for
    charted_at: float = -math.inf  # newest thinned sample of a series of our own

    @property
    def rows(self) -> NDArray[np.int32]:
        """Every series of the host, also those its schema has lost."""
        return np.concatenate([listed(b.rows) for k, b in self.blocks.items() if k != THIN] or [np.zeros(0, np.int32)])

    @property
    def newest(self) -> float | None:
        """Time of the newest sample or marker."""
        return max((at for block in self.blocks.values() if (at := block.newest) is not None), default=None)

    def routes(self, schema: Schema, memory: Memory) -> tuple[Route, ...]:
        """Where the values of a batch go."""
        if schema.routes is None:
            rows = schema.rows
            schema.routes = tuple(_route(block, rows, memory) for block in self.blocks.values())
        return schema.routes

    def moved(self) -> None:
        """Rows came, went or moved."""
        for schema in self.schemas.values():
            schema.routes = None


def split(series: Sequence[Labels]) -> tuple[Labels, list[Labels]]:
    """The labels all have in common (never the metric's name), and what is each one's own."""
    common = {pair for pair in series[0].pairs if pair[0] != NAME} if series else set()
    for labels in series:
        common.intersection_update(labels.pairs)
    own = [Labels(tuple(pair for pair in labels.pairs if pair not in common)) for labels in series]
    return Labels(tuple(sorted(common))), own


def _route(block: Block, rows: NDArray[np.int32], memory: Memory) -> Route:
    if block.kind == THIN:
        spots = memory.thin[rows]
        columns = np.flatnonzero(spots >= 0)
    else:
        spots = memory.spot[rows]
        columns = np.flatnonzero(memory.kind[rows] == block.kind)
    columns = columns[np.argsort(spots[columns])]  # in the slab's order: written in one piece
    taken = memory.shared(run(columns.astype(np.int32)))
    every = isinstance(taken, slice) and len(columns) == len(rows)
    return Route(block, None if every else taken, run(spots[columns]), len(columns) == block.size)
