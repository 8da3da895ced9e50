"""The reports in a real browser: what people see, click, print and save."""

from __future__ import annotations

import base64
import csv
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_gallery import HOSTILE, gallery, residual_boxes

from joulecut.compiler.profile import LayerProfile, Profile, Quantity
from joulecut.compiler.report.page import render

selenium = pytest.importorskip("selenium", reason="needs selenium: pip install 'joulecut[dev]'")

from selenium import webdriver  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.tool,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="needs Debian's packages chromium and chromium-driver"
    ),
]
DESKTOP, PHONE = (1280, 900), (375, 812)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def browser(folder: Path) -> Iterator[Any]:
    """One browser without a network, which saves into `folder`/saved."""
    os.environ["SE_OFFLINE"] = "true"
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    for each in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        f"--user-data-dir={folder / 'profile'}",
    ):
        options.add_argument(each)
    driver: Any = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior",
        {"behavior": "allow", "downloadPath": str(folder / "saved")},
    )
    driver.execute_cdp_cmd("Network.enable", {})
    driver.execute_cdp_cmd(
        "Network.emulateNetworkConditions",
        {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0},
    )
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page_file(folder: Path) -> Path:
    path = folder / "gallery.html"
    path.write_text(render(gallery()), encoding="utf-8")
    return path


@pytest.fixture
def page(browser: Any, page_file: Path) -> Any:
    """The gallery, freshly loaded on a desktop's screen."""
    resize(browser, DESKTOP)
    browser.get(page_file.as_uri())
    return browser


@pytest.fixture(scope="module")
def loaded(browser: Any, page_file: Path) -> Any:
    """The gallery, loaded once, for tests that only look."""
    resize(browser, DESKTOP)
    browser.get("about:blank")
    browser.get_log("performance")  # what the browser itself asked for at its start
    browser.get(page_file.as_uri())
    return browser


def resize(browser: Any, size: tuple[int, int]) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE},
    )


def names(page: Any, table: str = "values") -> list[str]:
    """First cells of the rows that are shown."""
    rows = page.find_elements(By.CSS_SELECTOR, f"#table-{table} tbody tr")
    return [row.find_element(By.TAG_NAME, "td").text for row in rows if row.is_displayed()]


def head(page: Any, column: int, table: str = "values") -> Any:
    return page.find_elements(By.CSS_SELECTOR, f"#table-{table} th")[column]


def test_it_loads_without_errors_and_asks_for_nothing_else(loaded: Any, page_file: Path):
    assert loaded.get_log("browser") == []
    messages = [
        json.loads(entry["message"])["message"] for entry in loaded.get_log("performance")
    ]
    asked = {
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    }
    assert {url for url in asked if not url.startswith(("data:", "blob:"))} == {
        page_file.as_uri()
    }


def test_a_script_that_is_not_ours_does_not_run(page: Any):
    page.execute_script(
        "const s = document.createElement('script'); s.textContent = 'window.stranger = 1';"
        "document.body.append(s)"
    )
    assert page.execute_script("return window.stranger") is None
    assert any("Content Security Policy" in e["message"] for e in page.get_log("browser"))


def test_every_chart_has_data_and_is_drawn(loaded: Any):
    charts = loaded.execute_script(
        "return [...document.querySelectorAll('.js-plotly-plot')].map(chart => "
        "[chart.data.length, Math.max(...chart.data.map(trace => trace.x.length)), "
        "chart.querySelectorAll('.trace, .point, .points path').length])"
    )
    assert len(charts) == 10  # Pareto, six of layers, rate-distortion, trajectory, selection
    assert all(min(chart) > 0 for chart in charts), charts


def test_the_network_has_every_layer_line_and_cut(loaded: Any):
    boxes = residual_boxes()
    seen = set(
        loaded.execute_script(
            "return [...document.querySelectorAll('.drawing .box title')].map(t => t.textContent)"
        )
    )
    assert seen == {f"{box.name}: {box.detail}" for box in boxes} | {"image: input"}
    cuts = loaded.execute_script(
        "return [...document.querySelectorAll('.drawing .cut title')].map(t => t.textContent)"
    )
    assert len(set(cuts)) == 14


def test_names_that_attack_are_text(loaded: Any):
    assert loaded.title == f"Gallery {HOSTILE}"
    assert loaded.find_elements(By.TAG_NAME, "img") == []
    assert loaded.find_elements(By.CSS_SELECTOR, "svg b") == []
    assert names(loaded)[0] == HOSTILE
    axis = loaded.execute_script(
        "return [...document.querySelectorAll('.ytick text')].map(t => t.textContent)"
    )
    assert any(text.startswith("</script><i") for text in axis)
    legends = loaded.execute_script(
        "return [...document.querySelectorAll('.legendtext')].map(t => t.textContent)"
    )
    assert any(text.startswith("</script><i") for text in legends)


def test_columns_sort_by_click(page: Any):
    before = names(page)
    head(page, 1).find_element(By.TAG_NAME, "button").click()
    assert names(page) == ['=1+1, "x"', "conv10", "conv9", HOSTILE]  # -5, 9, 20,000, 1,234,567
    assert head(page, 1).get_attribute("aria-sort") == "ascending"
    head(page, 1).find_element(By.TAG_NAME, "button").click()
    assert names(page) == [HOSTILE, "conv9", "conv10", '=1+1, "x"']
    assert head(page, 1).get_attribute("aria-sort") == "descending"
    assert head(page, 0).get_attribute("aria-sort") == "none"
    assert sorted(names(page)) == sorted(before)


def test_what_is_empty_stays_last_in_both_directions(page: Any):
    button = head(page, 2).find_element(By.TAG_NAME, "button")
    button.click()
    assert names(page) == ["conv9", HOSTILE, '=1+1, "x"', "conv10"]
    button.click()
    assert names(page) == ['=1+1, "x"', HOSTILE, "conv9", "conv10"]


def test_columns_sort_by_keyboard(page: Any):
    search = page.find_element(By.CSS_SELECTOR, "[data-table=values] input")
    search.click()
    active = search
    for _ in range(4):  # the two buttons that save, the table that scrolls, the first head
        active.send_keys(Keys.TAB)
        active = page.switch_to.active_element
    assert active.text.startswith("name")
    active.send_keys(Keys.ENTER)
    assert head(page, 0).get_attribute("aria-sort") == "ascending"
    shown = names(page)
    assert shown.index("conv9") < shown.index("conv10")  # numbers in names count as numbers
    active.send_keys(Keys.SPACE)
    assert head(page, 0).get_attribute("aria-sort") == "descending"


def test_text_that_is_numbers_sorts_by_them(page: Any):
    for column in (1, 2):
        head(page, column, "as-text").find_element(By.TAG_NAME, "button").click()
        assert names(page, "as-text") == ["a", "b"]


def test_rows_are_filtered_as_one_types(page: Any):
    search = page.find_element(By.CSS_SELECTOR, "[data-table=values] input")
    count = page.find_element(By.CSS_SELECTOR, "[data-table=values] output")
    assert count.text == "4 rows"
    search.send_keys("CONV 20,0")
    assert names(page) == ["conv9"]
    assert count.text == "1 of 4 rows"
    search.send_keys(Keys.CONTROL, "a")
    search.send_keys(Keys.DELETE)
    assert count.text == "4 rows"


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_tables_save_themselves(page: Any, folder: Path, kind: str):
    page.find_element(By.CSS_SELECTOR, f"[data-table=values] [data-save={kind}]").click()
    path = folder / "saved" / f"values.{kind}"
    until(path.exists)
    first = {"name": HOSTILE, "bytes": 1234567, "energy uJ": 0.5, "ok": True}
    if kind == "json":
        rows = json.loads(path.read_text(encoding="utf-8"))
        assert rows[0] == first
    else:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert rows[0] == {key: str(value) for key, value in first.items()} | {"ok": "true"}
        assert rows[3]["name"] == '=1+1, "x"'
    assert len(rows) == 4


def until(holds: Any, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"nothing for {seconds} s"
        time.sleep(0.02)


def test_a_phone_scrolls_down_only(page: Any):
    resize(page, PHONE)
    wide = (
        "return [document.documentElement.scrollWidth, "
        "...[...document.querySelectorAll('.js-plotly-plot .main-svg')]"
        ".map(svg => svg.getBoundingClientRect().right)]"
    )
    until(lambda: max(page.execute_script(wide)) <= PHONE[0])
    small = page.execute_script(
        "return [...document.querySelectorAll('p, td, th, text, button, span')].filter(e => "
        "e.textContent.trim() && parseFloat(getComputedStyle(e).fontSize) < 11)"
        ".map(e => e.textContent)"
    )
    assert small == []


def test_it_prints(page: Any):
    page.execute_script(
        "window.papers = []; addEventListener('beforeprint', () => papers.push("
        "...[...document.querySelectorAll('.js-plotly-plot .main-svg')]"
        ".map(svg => svg.getBoundingClientRect().width)))"
    )
    printed = page.execute_cdp_cmd(
        "Page.printToPDF", {"preferCSSPageSize": True, "printBackground": True}
    )
    pdf = base64.b64decode(printed["data"])
    assert pdf.startswith(b"%PDF-")
    assert pdf.count(b"/Type /Page\n") >= 10
    widths = page.execute_script("return papers")
    assert widths
    assert max(widths) <= 688  # A4 less 14 mm on both sides, at 96 pixels an inch


def test_a_browser_reads_the_trace_of_a_profile(page: Any, folder: Path):
    layers = (LayerProfile(HOSTILE, "Conv", {"time_min": Quantity(1500, "ns", "measured")}),)
    path = folder / "trace.json"
    Profile("local", layers, "m").to_trace(path)
    events = page.execute_script(
        "return JSON.parse(arguments[0]).traceEvents", path.read_text()
    )
    assert [event["name"] for event in events if event["ph"] == "X"] == [HOSTILE]
