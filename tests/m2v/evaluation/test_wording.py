import pytest

from m2v.evaluation import wording


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.7412, ".741"),
        (1.0, "1.000"),
        (0.0, ".000"),
        (-0.0734, "−.073"),
        (-0.0001, ".000"),  # no minus before nothing
        (None, "not estimable"),
        (float("nan"), "not estimable"),
    ],
)
def test_decimals_have_no_leading_zero(value, text):
    assert wording.decimal(value) == text


def test_numbers_are_said_in_one_way():
    assert wording.interval(0.684, 0.797) == "[.68, .80]"
    assert wording.interval(None, None) == ""
    assert [wording.difference(value) for value in (0.051, -0.051, 0.0)] == ["+.051", "−.051", ".000"]
    assert [wording.p_value(value) for value in (0.0123, 0.0009, 1.0)] == ["p = .012", "p < .001", "p = 1.000"]
    assert [wording.percent(share) for share in (0.276, None)] == ["27.6 %", "not estimable"]
    assert [wording.figure(value) for value in (1136, 0.094, None)] == ["1,136", ".094", "not estimable"]


@pytest.mark.parametrize(
    ("value", "text"), [(0.0496, "p < .050"), (0.0494, "p = .049"), (0.0009, "p < .001"), (0.05, "p = .050")]
)
def test_a_p_value_is_never_rounded_over_the_line(value, text):
    assert wording.p_value(value) == text
