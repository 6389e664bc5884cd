"""The browser that tests look at pages with, and why they are left out where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

OPTIONS: Sequence[str] = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
)


def chromium() -> str | None:
    """The program; None: there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def why_not() -> str | None:
    """Why nothing can be looked at, with the way out; None: it can."""
    missing = [name for name, path in (("Chromium", chromium()), ("chromedriver", _driver())) if path is None]
    if not missing:
        return None
    return (
        f"left out: there is no {' and no '.join(missing)}. Install them (Debian: apt-get install chromium "
        "chromium-driver), then pytest -m browser."
    )


def start() -> Chrome:
    """A new headless browser with a profile of its own; its driver is the installed one, nothing is downloaded."""
    options = ChromeOptions()
    options.binary_location = chromium() or ""
    for option in OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return Chrome(options=options, service=Service(executable_path=_driver()))


def _driver() -> str | None:
    return shutil.which("chromedriver")
