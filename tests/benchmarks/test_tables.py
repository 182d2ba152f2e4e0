"""Figures as tables."""

from benchmarks.harness import Figure, Spread
from benchmarks.tables import label, markdown, rounds, tables


def test_a_row_for_each_quantity_and_case_and_a_column_for_each_side() -> None:
    """Quantities of the same sides and cases share a table."""
    figures = [
        Figure(name, side, "µs", {"streams": streams}, [float(streams)])
        for streams in (1, 1600)
        for side in ("bare", "worker")
        for name in ("cost", "added")
    ]
    (table,) = tables(figures)
    assert markdown(table).splitlines() == [
        "|  | streams | bare | worker |",
        "| --- | --- | --- | --- |",
        "| cost, µs | 1 | 1.00 | 1.00 |",
        "| cost, µs | 1,600 | 1,600 | 1,600 |",
        "| added, µs | 1 | 1.00 | 1.00 |",
        "| added, µs | 1,600 | 1,600 | 1,600 |",
    ]


def test_a_side_that_was_not_measured_in_a_case_has_an_empty_cell() -> None:
    """A peer may not support everything."""
    figures = [
        Figure("cost", "worker", "µs", {"turn": "text"}, [1.0]),
        Figure("cost", "worker", "µs", {"turn": "call"}, [1.0]),
        Figure("cost", "peer", "µs", {"turn": "text"}, [2.0]),
    ]
    (table,) = tables(figures)
    assert list(table.rows) == [
        ["cost, µs", "text", "1.00", "2.00"],
        ["cost, µs", "call", "1.00", ""],
    ]


def test_quantities_of_other_sides_have_a_table_of_their_own() -> None:
    """Instead of a column that is empty almost everywhere."""
    figures = [
        Figure("cost", "worker", "µs", {}, [1.0]),
        Figure("cost", "bare", "µs", {}, [1.0]),
        Figure("second turn", "worker", "ms", {"tokens": 9}, [1.0]),
    ]
    assert [table.head for table in tables(figures)] == [
        ["", "worker", "bare"],
        ["", "tokens", "worker"],
    ]


def test_a_quantity_that_is_named_after_its_unit() -> None:
    """Is named once."""
    (table,) = tables([Figure("POSTs", "worker", "POSTs", {}, [80.0])])
    assert list(table.rows) == [["POSTs", "80.0"]]


def test_numbers_have_three_digits() -> None:
    """And the quartiles as many decimals; of a single round they are left out."""
    spreads = [
        (Spread(1234.5, 12345.6, 2e6), "12,346 (1,234 to 2,000,000)"),
        (Spread(9.0, 12.34, 100.0), "12.3 (9.0 to 100.0)"),
        (Spread(-2.0, -1.234, 0.0), "-1.23 (-2.00 to 0.00)"),
        (Spread(0.9, 0.98765, 1.1), "0.988 (0.900 to 1.100)"),
        (Spread(5.0, 5.0, 5.0), "5.00"),
        (Spread(0.0, 0.0, 0.0), "0"),
    ]
    for spread, words in spreads:
        assert str(spread) == words


def test_what_a_table_shows_is_said() -> None:
    """One round has no quartiles."""
    one, three = (Figure("a", "b", "s", {}, values) for values in ([1.0], [1.0, 2.0, 3.0]))
    assert [rounds([one]), rounds([three, three]), rounds([one, three])] == [
        "one round",
        "medians (quartiles) of 3 rounds",
        "medians (quartiles) of 1 to 3 rounds",
    ]


def test_the_label_of_a_case() -> None:
    assert [label({}), label({"streams": 16, "turn": "text"})] == ["", "streams 16, turn text"]
