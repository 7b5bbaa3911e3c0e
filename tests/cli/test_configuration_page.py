from pathlib import Path

from tools.docs_pages import commands_page, configuration_page

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_configuration_page_says_what_the_settings_are() -> None:
    assert PAGE.read_text() == configuration_page(), "run `make docs`"


def test_the_page_of_commands_is_made_of_their_help() -> None:
    page = PAGE.with_name("commands.md")
    assert page.read_text() == commands_page(), "run `make docs`"
