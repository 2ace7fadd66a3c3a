from m2v.lineage.cause import Cause, causes
from m2v.lineage.graph import Graph, Node


def node(place: str, number: int, **said: object) -> Node:
    table, _, variant = place.partition("/")
    values = {
        "rows_hash": f"{place}-{number}",
        "file_sha256": "0" * 64,
        "n_rows": 1,
        "created_at": f"2026-01-0{number}T00:00:00+00:00",
        "code_version": "1-a",
        "files": {},
    }
    return Node(table, variant, number, **{**values, **said})


def read(*nodes: Node) -> dict[str, tuple[int, str]]:
    return {each.place: (each.number, each.rows_hash) for each in nodes}


def votes_of(before: Node, after: Node) -> Graph:
    votes = [node("voted_labels/x", 1, parents=read(before)), node("voted_labels/x", 2, parents=read(after))]
    return Graph([before, after, *votes])


def test_a_changed_answers_file_is_the_cause_not_the_votes_that_follow_from_it() -> None:
    graph = votes_of(
        node("human_labels/x", 1, files={"answers": "a"}), node("human_labels/x", 2, files={"answers": "b"})
    )
    expected = Cause("answers", "human_labels/x@1", "human_labels/x@2", "changed files: answers")
    assert causes(graph, "voted_labels/x@1", "voted_labels/x@2") == [expected]


def test_changed_source_data_settings_and_code_are_told_apart() -> None:
    for said, kind in (
        ({"files": {"memes": "b"}}, "source data"),
        ({"code_version": "1-b", "files": {"memes": "a"}}, "settings"),
        ({"code_version": "2-a", "files": {"memes": "a"}}, "code"),
        ({"code_version": "1-a+checks1", "files": {"memes": "a"}}, "code"),
        ({"code_version": "1-b", "files": {"memes": "a"}, "made_of": {"prompt": "b", "policy": "a"}}, "prompt"),
        ({"code_version": "1-b", "files": {"memes": "a"}, "made_of": {"prompt": "b", "base_model": "b"}}, "prompt"),
        ({"code_version": "2-b", "files": {"memes": "a"}, "made_of": {"policy": "b"}}, "code and policy"),
    ):
        graph = votes_of(
            node("memes/x", 1, files={"memes": "a"}, made_of={"prompt": "a", "policy": "a"}), node("memes/x", 2, **said)
        )
        assert [cause.kind for cause in causes(graph, "voted_labels/x@1", "voted_labels/x@2")] == [kind]


def test_what_older_code_did_not_record_is_said_so() -> None:
    graph = Graph([node("memes/x", 1, files=None), node("memes/x", 2)])
    found = causes(graph, "memes/x@1", "memes/x@2")
    assert [cause.kind for cause in found] == ["not recorded"]
    assert "not recorded by that version of the code" in found[0].detail


def test_equal_rows_have_no_cause() -> None:
    graph = Graph([node("memes/x", 1, rows_hash="a"), node("memes/x", 2, rows_hash="a", code_version="2")])
    assert [cause.kind for cause in causes(graph, "memes/x@1", "memes/x@2")] == ["none"]


def test_a_file_that_several_tables_read_is_a_cause_where_it_came_in_first() -> None:
    answers = [node("human_labels/x", number, files={"table": str(number)}) for number in (1, 2)]
    votes = [
        node("voted_labels/x", each.number, parents=read(each), files={"table": str(each.number)}) for each in answers
    ]
    found = causes(Graph([*answers, *votes]), "voted_labels/x@1", "voted_labels/x@2")
    assert [(cause.kind, cause.before) for cause in found] == [("answers", "human_labels/x@1")]


def test_a_file_that_changed_only_below_is_a_cause_of_its_own() -> None:
    answers = [node("human_labels/x", number, files={"answers": str(number)}) for number in (1, 2)]
    votes = [
        node("voted_labels/x", each.number, parents=read(each), files={"rules": str(each.number)}) for each in answers
    ]
    found = causes(Graph([*answers, *votes]), "voted_labels/x@1", "voted_labels/x@2")
    assert [(cause.kind, cause.before) for cause in found] == [
        ("answers", "human_labels/x@1"),
        ("source data", "voted_labels/x@1"),
    ]
