"""Tables line up, and percentages have one decimal, or a dash where nothing is known."""

from __future__ import annotations

from quaclrs.evaluation.reports.tables import counted, markdown_table, percent, percent_range


def test_columns_line_up_the_first_to_the_left_and_numbers_to_the_right() -> None:
    assert markdown_table(["class", "clips"], [["dog bark", 1000], ["{siren}", None]]).splitlines() == [
        "| class    | clips |",
        "| -------- | ----: |",
        "| dog bark |  1000 |",
        "| {siren}  |  None |",
    ]


def test_columns_stand_as_asked_and_a_table_may_be_empty() -> None:
    assert markdown_table(["a", "b"], [], align="rl") == "|   a | b   |\n| --: | --- |"


def test_shares_are_percentages_of_one_decimal_or_a_dash() -> None:
    assert (percent(0.621), percent(1.0), percent(None)) == ("62.1%", "100.0%", "–")
    assert percent(0.5, 0.1) == "50.0 ± 10.0%"
    assert (percent(0.5, 0.1, unit=""), percent(None, None, unit="")) == ("50.0 ± 10.0", "–")
    assert (percent_range([0.585, 0.709]), percent_range(None)) == ("58.5 to 70.9", "–")


def test_one_of_a_thing_is_written_without_an_s() -> None:
    assert (counted(1, "clip"), counted(0, "clip"), counted(1204, "clip")) == ("1 clip", "0 clips", "1,204 clips")
    assert (counted(1, "class", "classes"), counted(2, "class", "classes")) == ("1 class", "2 classes")
