from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from m2v.programs import pools

SIZES = st.lists(st.integers(1, 64), max_size=200)


def shared(sizes: list[int], *, n_replicas: int, largest: int) -> list[list[int]]:
    """How many items each batch of each shard has."""
    batches = [[place] * size for place, size in enumerate(sizes)]
    shards = list(pools.shared(batches, n_replicas=n_replicas, largest=largest, n_items=len))
    # Each batch is given out once, the last one first.
    assert [batch for shard in shards for batch in shard] == batches[::-1]
    return [[len(batch) for batch in shard] for shard in shards]


@given(SIZES, st.integers(1, 8), st.integers(1, 512))
def test_a_shard_is_one_batch_or_a_fair_part_of_what_is_left(sizes: list[int], n_replicas: int, largest: int) -> None:
    left = sum(sizes)
    for shard in shared(sizes, n_replicas=n_replicas, largest=largest):
        assert len(shard) == 1 or sum(shard) <= min(largest, left / (4 * n_replicas))
        left -= sum(shard)


@given(SIZES, st.integers(1, 512))
def test_where_nobody_shares_no_shard_is_smaller_than_it_must_be(sizes: list[int], largest: int) -> None:
    shards = shared(sizes, n_replicas=0, largest=largest)
    assert all(len(shard) == 1 or sum(shard) <= largest for shard in shards)
    assert all(sum(shard) + after[0] > largest for shard, after in pairwise(shards))


def test_shards_are_as_large_as_they_may_be_and_end_small() -> None:
    shards = [sum(shard) for shard in shared([8] * 256, n_replicas=2, largest=128)]
    assert shards[:8] == [128] * 8
    assert shards == sorted(shards, reverse=True)
    assert shards[-1] == 8
