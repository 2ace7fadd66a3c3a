import pytest

from m2v.lineage.provenance import BrokenProvenance, check
from tests.m2v.lineage.test_cause import node, read


def test_a_parent_that_is_not_in_the_record_is_refused() -> None:
    with pytest.raises(BrokenProvenance, match="votes/x@2 read memes/x@1, which is not in the record"):
        check([node("votes/x", 2, parents=read(node("memes/x", 1)))])


def test_a_parent_younger_than_its_child_is_refused() -> None:
    parent = node("memes/x", 3)
    with pytest.raises(BrokenProvenance, match="memes/x@3 was written after votes/x@2"):
        check([parent, node("votes/x", 2, parents=read(parent))])
