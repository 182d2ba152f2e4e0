"""What README and docs/ name exists: options, variables, lines that a worker prints, links, prices.

Their examples are run by tests/test_examples.py.
"""

import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.examples import PAGES
from worker import __version__
from worker.deploy import __main__ as command
from worker.deploy.prices import PER_HOUR
from worker.settings import Settings

GUIDES = [ROOT / "docs" / name for name in ("deploy.md", "troubleshooting.md")]
WITHOUT_CONTENTS = {"ARCHITECTURE", "decisions", "performance"}
NOT_OURS = {"REMOTE HOST IDENTIFICATION HAS CHANGED", "Permission denied (publickey)"}
"""What ssh prints."""


def text(path: Path) -> str:
    return path.read_text()


def options(of: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", of))


@cache
def known_options() -> set[str]:
    return options(command._parser().format_help())


def test_every_option_of_the_deployment_that_is_named_exists() -> None:
    """In prose and tables, too. What is left are Docker's options and SGLang's."""
    named = {option for guide in GUIDES for option in options(text(guide))}
    others = {"--gpus", "--shm-size", "--build-arg", "--secret", "--policy", "--port"}
    others |= {"--worker-urls", "--mem-fraction-static"}
    assert named - known_options() - others == set()


def test_every_variable_that_is_set_in_a_guide_is_one() -> None:
    """A setting of the worker, of RunPod, of the image or of the build."""
    names = {name.upper() for name in Settings.model_fields} | {"HUGGING_FACE_HUB_TOKEN"}
    scripts = [*(ROOT / "builder").glob("*.sh"), ROOT / "Dockerfile"]
    known = names | set(re.findall(r"\b[A-Z][A-Z_]{3,}\b", " ".join(map(text, scripts))))
    known |= {"RUNPOD_API_KEY", "RUNPOD_INIT_TIMEOUT", "PORT_HEALTH", "NAME"}
    for guide in GUIDES:
        assert set(re.findall(r"\b([A-Z][A-Z_]{3,})=", text(guide))) <= known


@cache
def sources() -> str:
    """The worker's and its scripts' text, as one line, without the breaks inside of strings."""
    files = [*(ROOT / "worker").rglob("*.py"), *(ROOT / "builder").glob("*.sh")]
    joined = " ".join(" ".join(text(path).split()) for path in files)
    return re.sub(r'" f?"|\{[^{}]*\}', lambda match: "…" if match[0][0] == "{" else "", joined)


def printed_lines() -> Iterator[str]:
    """The first cell of each row that is code, and each bold line in backticks."""
    for row in text(GUIDES[1]).splitlines():
        if found := re.match(r"\| `([^`]+)` \|", row):
            yield found[1]


@pytest.mark.parametrize("line", list(printed_lines()))
def test_a_line_that_is_explained_is_one_that_is_printed(line: str) -> None:
    """By the worker, by SGLang, or by ssh."""
    if line in NOT_OURS:
        return
    if "--mem-fraction-static" in line:
        spec = find_spec("sglang")
        assert spec
        assert spec.origin
        found = Path(spec.origin).parent.rglob("pool_configurator.py")
        assert any(line in " ".join(text(path).split()).replace('" "', "") for path in found)
        return
    for part in filter(None, map(str.strip, line.split("…"))):
        assert part in sources(), part


def test_links_lead_somewhere() -> None:
    """To files, and to headings in them."""
    for guide in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", text(guide)):
            if not target.startswith("http"):
                path, _, heading = target.partition("#")
                file = (guide.parent / path).resolve() if path else guide
                assert file.exists(), target
                assert not heading or heading in headings(file), target


def headings(path: Path, level: str = "#+") -> set[str]:
    """Of a Markdown file, as GitHub spells their anchors."""
    titles = re.findall(rf"^{level} (.*)$", text(path), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}


def test_prices_are_those_of_the_plan() -> None:
    """One table of prices, in the code."""
    rows = re.findall(r"\| `(\w+)` \|.*\| ([\d.]+) \|", text(GUIDES[0]))
    assert {pool: float(price) for pool, price in rows}.items() <= PER_HOUR.items()
    assert rows


def test_the_newest_release_in_the_changelog_is_this_version() -> None:
    """As Keep a Changelog has it: a version, then its date."""
    releases = re.findall(r"^## (.*)$", text(ROOT / "CHANGELOG.md"), re.MULTILINE)
    assert re.fullmatch(rf"{re.escape(__version__)} - \d{{4}}-\d\d-\d\d", releases[0])


def test_every_page_has_a_list_of_its_contents() -> None:
    """But for README, and for architecture, decisions and performance, which have one subject."""
    for page in PAGES[1:]:
        if page.stem not in WITHOUT_CONTENTS:
            linked = re.findall(r"\[[^]]+\]\(#([\w-]+)\)", text(page))
            assert headings(page, "##") <= set(linked), page
