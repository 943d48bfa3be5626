"""Numbers as people read them, and one table for terminals, notebooks and pages."""

import io

import pytest
from rich.console import Console

from kpasim.report import markup
from kpasim.results.display import Table, number, signed, span


@pytest.mark.parametrize(
    ("value", "text"),
    [(4.4e-05, "0.000044"), (0.00012346, "0.0001235"), (1e-6, "0.000001"), (3e-9, "< 0.000001"), (-3e-9, "> -0.000001"),
     (0.0, "0"), (12345.6, "12,346")],
)  # fmt: skip
def test_small_numbers_have_no_power_of_ten(value: float, text: str):
    """A cost of 44 millionths reads as that."""
    assert number(value) == text


def test_differences_and_intervals_have_no_power_of_ten():
    """What is true of numbers is true of their differences and intervals."""
    assert signed("cost.amount", 4.4e-05) == "+0.000044"
    assert signed("cost.amount", -4.4e-05) == "-0.000044"
    assert span([4.4e-05, 5.5e-05]) == "0.000044 to 0.000055"


def test_a_table_says_the_same_everywhere_and_no_cell_is_markup():
    """Terminal, notebook and page show the cells as they are, also those that look like markup of either kind."""
    table = Table("About <b>", ("", "[red]x"), [("[bold]a[/bold]", "<i>1</i>")], ["[red]x"], caption="Below")
    out = Console(width=80, file=io.StringIO())
    out.print(table)
    terminal = out.file.getvalue()  # type: ignore[attr-defined]
    page, notebook = str(markup.table(table)), table._repr_html_()

    assert [line.split() for line in terminal.splitlines()] == [
        ["About", "<b>"], ["[red]x"], ["[bold]a[/bold]", "<i>1</i>"], ["Below"]
    ]  # fmt: skip
    for text in (page, notebook):
        assert "About &lt;b&gt;" in text
        assert "&lt;i&gt;1&lt;/i&gt;" in text
        assert "[bold]a[/bold]" in text
