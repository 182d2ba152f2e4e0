"""docs/settings.md: every setting, as the code has it."""

import re

from builder.settings_page import PAGE, SECTIONS, page
from worker.settings import ALTERNATIVE_NAMES, Settings


def test_the_page_is_up_to_date() -> None:
    """`python -m builder.settings_page` writes it."""
    assert page() == PAGE.read_text()


def test_every_setting_is_in_one_section() -> None:
    """Those that are only another name are in a section of their own."""
    listed = [name for section in SECTIONS.values() for name in section]
    assert sorted(listed) == sorted(set(Settings.model_fields) - set(ALTERNATIVE_NAMES))


def test_a_default_is_written_as_in_the_environment() -> None:
    """`true`, not Python's `True`; `auto` and `off` where they mean None; nothing where unset."""
    defaults = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", PAGE.read_text(), re.MULTILINE))
    assert defaults["CHUNKED_PREFILL"] == "`true`"
    assert defaults["TENSOR_PARALLEL_SIZE"] == "`auto`"
    assert defaults["REASONING_IN_CALL_IDS"] == "`off`"
    assert defaults["API_KEY"] == ""
