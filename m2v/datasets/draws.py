"""Splits and folds that are drawn: by seed, each label in proportion, groups undivided."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from m2v.entries.splits import SplitShares


def splits(
    ids: Sequence[str], labels: Sequence[bool], *, shares: SplitShares, groups: Sequence[str] | None = None
) -> list[str]:
    """Return splits drawn by seed, with each label's share in every split.

    A group's place is decided by the sha256 of seed and name, so that the order of the file does not matter.

    Args:
        groups: Of each item; a group is never divided, and counts by whether any of it is positive. Default: each item
            is its own.
    """
    parts = (("test", shares.test), ("validation", shares.validation), ("train", shares.train))
    return _divided(ids, labels, groups or ids, parts=parts, seed=shares.seed)


def folds(
    ids: Sequence[str], labels: Sequence[bool], *, n: int, seed: int, groups: Sequence[str] | None = None
) -> list[int]:
    """Return the fold of each item, 0 to ``n`` - 1, drawn as splits are."""
    parts = [(str(fold), 1 / n) for fold in range(n)]
    return [int(name) for name in _divided(ids, labels, groups or ids, parts=parts, seed=seed)]


def _divided(
    ids: Sequence[str],
    labels: Sequence[bool],
    groups: Sequence[str],
    *,
    parts: Sequence[tuple[str, float]],
    seed: int,
) -> list[str]:
    members: dict[str, list[int]] = defaultdict(list)
    for place, group in enumerate(groups):
        members[group].append(place)
    is_positive = {group: any(labels[place] for place in places) for group, places in members.items()}
    result = [""] * len(ids)
    for label in (False, True):
        ranked = sorted(
            (group for group in members if is_positive[group] is label),
            key=lambda group: hashlib.sha256(f"{seed}:{group}".encode()).digest(),
        )
        n_items = sum(len(members[group]) for group in ranked)
        # Ends of the parts in items; shares are summed before they are rounded, so that the last one ends at the end.
        ends, share = [], 0.0
        for _, part in parts:
            share += part
            ends.append(round(n_items * share))
        n_before, number = 0, 0
        for group in ranked:
            while number < len(parts) - 1 and n_before >= ends[number]:
                number += 1
            for place in members[group]:
                result[place] = parts[number][0]
            n_before += len(members[group])
    return result
