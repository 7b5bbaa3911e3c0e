from pathlib import Path

from contimg_resources.cli.configuration_page import configuration_page

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_configuration_page_says_what_the_settings_are() -> None:
    assert PAGE.read_text() == configuration_page(), "run `make docs`"
