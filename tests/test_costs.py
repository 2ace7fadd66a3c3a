from benchmarks import costs


def test_the_tables_of_docs_scale_are_what_the_rates_give() -> None:
    page = costs.PAGE.read_text(encoding="utf-8")
    assert page == costs.filled(page), "run `python benchmarks/costs.py`"


def test_the_papers_table_takes_the_days_that_docs_vision_language_says() -> None:
    # Four days are both models; LLaVA trains 200,000 examples, five passes over what it is given included.
    hours = costs.gpu_hours(200_000, costs.rate("train_tflop"))
    assert 70 < hours < 80


def test_numbers_have_two_digits_that_count() -> None:
    shown = [costs.short(number) for number in (0.0333, 7.77, 999, 9_876, 19_444, 1_321_000, 2.2e9)]
    assert shown == ["0.033", "7.8", "1,000", "9,900", "19 k", "1.3 M", "2.2 G"]
    assert [costs.size(gb) for gb in (0.0043, 12.3, 1_040)] == ["4.3 MB", "12 GB", "1 TB"]
    assert [costs.time(hours) for hours in (0.5, 71, 96)] == ["30 min", "71 h", "4 days"]
