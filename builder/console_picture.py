"""Writes docs/console.png, a picture of the console: `python -m builder.console_picture`.

It starts the emulator with two workers of the demo model and does on the page, in a real browser,
what the picture shows: a question, a tool's result, jobs at once, and a worker killed under them.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from worker.command import CommandParser

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "console.png"
SIZE = {"width": 1600, "height": 1000}
JOBS = 8
BOOT_MS = 300_000
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def emulator() -> Generator[str]:
    """A running emulator with two workers. Yields its address."""
    variables = {"PORT": "0", "WORKERS": "2", "MODEL": "demo"}
    command = [sys.executable, "-m", "emulator"]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **variables}, stdout=subprocess.PIPE, text=True
    ) as process:
        line = process.stdout.readline() if process.stdout else ""
        try:
            yield line.rpartition(" ")[2].strip()
        finally:
            process.terminate()


def play(page: Page) -> None:
    """Does what the picture shows."""
    expect(page.locator(".worker .idle")).to_have_count(2, timeout=BOOT_MS)
    page.get_by_role("button", name="Weather in Paris?").click()
    page.get_by_role("button", name="Send result").click()
    expect(page.locator(".figures").last).to_contain_text("stop")
    page.get_by_label("Latency, ms").first.fill("20")
    page.get_by_label("Latency, ms").first.blur()
    page.get_by_label("How many jobs to run").fill(str(JOBS))
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("#jobs .IN_PROGRESS")).to_have_count(JOBS)
    page.wait_for_timeout(2000)  # the first deliveries are to have streamed something
    page.get_by_role("button", name="Python", exact=True).click()
    page.get_by_role("button", name="Kill worker-2").click()
    page.get_by_role("button", name="Kill", exact=True).click()
    expect(page.locator("#jobs .COMPLETED")).to_have_count(JOBS + 2)
    retried = page.locator("#jobs tr", has_text="×2").last
    retried.get_by_role("button").first.click()


def main() -> None:
    chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
    with emulator() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        page = browser.new_page(viewport=SIZE, color_scheme="light")  # pyright: ignore[reportArgumentType]
        page.set_default_timeout(BOOT_MS)
        expect.set_options(timeout=BOOT_MS)
        page.goto(address)
        play(page)
        page.mouse.move(0, 0)
        page.screenshot(path=PICTURE)
        browser.close()
    print(f"Wrote {PICTURE}: {PICTURE.stat().st_size} bytes.")


if __name__ == "__main__":
    CommandParser("python -m builder.console_picture", __doc__).parse_args()
    main()
