"""Titles of figures, and figures that are written if there is a path."""

from __future__ import annotations

from cnnrecipes.figures import Picture, title_lines, written


def test_titles_are_wrapped_and_have_no_formulas_and_no_escape_sequences():
    assert title_lines("costs $5 \x1b[2J or $6", 16) == "costs \\$5\n\\x1b[2J or \\$6"


def test_figure_is_written_if_there_is_a_path(tmp_path):
    figure = Picture(figsize=(1, 1))
    assert written(figure, None) is figure
    assert not list(tmp_path.iterdir())
    assert written(figure, tmp_path / "a.png") is figure
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
