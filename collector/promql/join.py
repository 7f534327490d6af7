"""Pairs of rows of two vectors with equal matching labels; computed once per pair of frames, kept on the left one."""

from dataclasses import dataclass

import numpy as np

from collector.head import Frame
from collector.head.frame import concat, group
from collector.labels import NAME
from collector.promql.nodes import Matching
from collector.promql.rows import Index, Mask, spread


@dataclass(frozen=True, slots=True)
class Join:
    """Group number of every row of both sides, in one numbering of `size` groups.

    `index` is the right row of each left row (-1: none) where the right side has at most one row per group, else None.
    `aligned`: both sides have the same groups in the same order, one row each, so that nothing need be looked up.
    """

    left: Index
    right: Index
    size: int
    left_unique: bool
    index: Index | None
    aligned: bool
    keeps: Frame  # the right frame: alive as long as its join, for the key is its id

    def any_right(self, mask: Mask) -> Mask:
        """For each left row, whether its group has a right row in a mask, step by step."""
        return mask if self.aligned else self._groups_with(self.right, mask)[:, self.left]

    def any_left(self, mask: Mask) -> Mask:
        """For each right row, whether its group has a left row in a mask, step by step."""
        return mask if self.aligned else self._groups_with(self.left, mask)[:, self.right]

    def _groups_with(self, ids: Index, mask: Mask) -> Mask:
        found = np.zeros((len(mask), self.size), np.bool_)
        if mask.any():
            found.reshape(-1)[spread(ids, self.size, len(mask))[mask.reshape(-1)]] = True
        return found


def join(left: Frame, right: Frame, matching: Matching) -> Join:
    """The join of two frames over the matching labels."""
    names = match_names(left, right, matching)
    return left.memo(("join", id(right), names), lambda: _join(left, right, names))


def match_names(left: Frame, right: Frame, matching: Matching) -> frozenset[str]:
    """The labels that must be equal."""
    if matching.on:
        return frozenset(matching.labels)
    return frozenset({*left.columns, *right.columns} - {*matching.labels, NAME})


def _join(left: Frame, right: Frame, names: frozenset[str]) -> Join:
    groups = group(concat(left.keep(names), right.keep(names)))
    left_ids, right_ids = groups.ids[: left.size], groups.ids[left.size :]
    left_unique = _unique(left_ids, groups.size)
    return Join(
        left=left_ids,
        right=right_ids,
        size=groups.size,
        left_unique=left_unique,
        index=_index(left_ids, right_ids, groups.size) if _unique(right_ids, groups.size) else None,
        aligned=left_unique and np.array_equal(left_ids, right_ids),
        keeps=right,
    )


def _unique(ids: Index, size: int) -> bool:
    return bool((np.bincount(ids, minlength=size) <= 1).all())


def _index(left: Index, right: Index, size: int) -> Index:
    row_of = np.full(size, -1, np.intp)
    row_of[right] = np.arange(len(right))
    return row_of[left]
