"""Swagger UI in a real browser, against a service that really listens."""

import json
import os
import re
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from conftest import PASSWORDS, THERMOSTAT

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
CHROMEDRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--window-size=1280,1000"
)

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER), reason="needs Chromium and its driver"
)


@pytest.fixture
def empty_redis(redis_url):
    """Empty the Redis of all tests, which the live service shares."""
    with Redis.from_url(redis_url) as store:
        store.flushdb()


@pytest.fixture
def browser(tmp_path):
    options = Options()
    options.binary_location = CHROMIUM
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path / 'profile'}")
    logs = {"browser": "ALL", "performance": "ALL"}
    options.set_capability("goog:loggingPrefs", logs)
    # Without the driver's path Selenium would look for one on the network.
    driver = webdriver.Chrome(options, Service(CHROMEDRIVER))
    yield driver
    driver.quit()


class Page:
    """The actions of a user on the page."""

    def __init__(self, driver, url):
        self.driver = driver
        driver.get(url)
        self.find(".info .title")

    def find(self, css, within=None):
        """Return the element, once it is visible."""

        def shown(_):
            result = (within or self.driver).find_elements(By.CSS_SELECTOR, css)
            return next((each for each in result if each.is_displayed()), None)

        return WebDriverWait(self.driver, 10, 0.05).until(shown, f"{css} does not show")

    def tags(self):
        return self.driver.execute_script(
            "return [...document.querySelectorAll('.opblock-tag')].map(t => t.dataset.tag)"
        )

    def click(self, css, within=None):
        element = self.find(css, within)
        self.driver.execute_script("arguments[0].scrollIntoView(false)", element)
        element.click()

    def write(self, css, text, within=None):
        element = self.find(css, within)
        element.send_keys(Keys.CONTROL, "a")
        element.send_keys(text)

    def authorize(self, way, *values):
        """Fill in the form of a way to sign in, from top to bottom."""
        self.click("button.authorize")
        dialog = self.find(".dialog-ux")
        forms = dialog.find_elements(By.CSS_SELECTOR, ".auth-container")
        form = next(form for form in forms if way in form.text.lower())
        for field, value in zip(form.find_elements(By.CSS_SELECTOR, "input"), values):
            field.send_keys(value)
        self.shoot(f"authorize-{way}")
        self.click("button.modal-btn.authorize", form)
        self.click("button.btn-done", dialog)

    def execute(self, operation_id, body=None, **parameters):
        """Try an operation out; returns the status and the body that the page shows."""
        tag = re.match("[a-z]+([A-Z][a-z]+)", operation_id)[1].lower()
        heading = f"#operations-tag-{tag}"
        if self.find(heading).get_attribute("data-is-open") != "true":
            self.click(heading)
        block = self.find(f"#operations-{tag}-{operation_id}")
        self.click(".opblock-summary-control", block)
        for name, value in parameters.items():
            self.write(f"[data-param-name={name}] input", value, block)
        if body is not None:
            self.write("textarea.body-param__text", json.dumps(body), block)
        self.click("button.execute", block)
        answer = self.find(".live-responses-table .response", block)
        status = int(self.find(".response-col_status", answer).text.split()[0])
        self.shoot(operation_id)
        shown = self.find(".highlight-code code", answer).text if status != 204 else ""
        self.click(".opblock-summary-control", block)
        return status, json.loads(shown or "null")

    def shoot(self, name):
        """Keep a picture, where SCREENSHOTS names a directory."""
        if os.environ.get("SCREENSHOTS"):
            path = Path(os.environ["SCREENSHOTS"]) / f"{name}.png"
            self.driver.save_screenshot(str(path))


def test_a_device_is_created_changed_and_deleted_in_swagger_ui(
    browser, live_server, empty_redis
):
    page = Page(browser, f"{live_server}/docs/")
    page.shoot("docs")
    page.authorize("basic", "pythonista", PASSWORDS["pythonista"])

    status, device = page.execute("postDevices", body=THERMOSTAT)
    assert (status, device["name"]) == (201, THERMOSTAT["name"])
    id = str(device["id"])

    status, result = page.execute("getDevices", type=THERMOSTAT["type"])
    assert (status, result["items"]) == (200, [device])
    status, result = page.execute("getDevicesById", id=id)
    assert (status, result) == (200, device)

    change = {"location": "Hall"}
    status, changed = page.execute("patchDevicesById", id=id, body=change)
    assert (status, changed["location"]) == (200, "Hall")

    heartbeat = {"battery": 87}
    status, presence = page.execute(
        "putPresenceByDeviceId", device_id=id, body=heartbeat
    )
    assert (status, presence["battery"], presence["online"]) == (201, 87, True)

    assert page.execute("deleteDevicesById", id=id) == (204, None)
    assert faults(browser) == []
    assert hosts(browser) == {urlsplit(live_server).netloc}


def test_a_token_from_a_login_authorizes_requests(browser, live_server, empty_redis):
    page = Page(browser, f"{live_server}/docs/#/auth/postAuthLogin")
    page.find("#operations-auth-postAuthLogin.is-open")  # a link leads right there
    page.click("#operations-auth-postAuthLogin .opblock-summary-control")
    credentials = {"username": "pythonista", "password": PASSWORDS["pythonista"]}
    status, pair = page.execute("postAuthLogin", body=credentials)
    assert status == 200
    page.authorize("bearer", pair["access_token"])
    page.write(".operation-filter-input", "account")
    WebDriverWait(browser, 10, 0.05).until(lambda _: page.tags() == ["account"])
    status, account = page.execute("getAccount")
    assert (status, account["username"]) == (200, "pythonista")
    assert faults(browser) == []
    assert hosts(browser) == {urlsplit(live_server).netloc}


def test_a_request_can_be_sent_from_the_page_of_a_feature(browser, live_server):
    page = Page(browser, f"{live_server}/api/v1/todos/docs")
    page.authorize("basic", "pythonista", PASSWORDS["pythonista"])
    status, todo = page.execute("postTodos", body={"name": "Tea", "task": "Drink it."})
    assert (status, todo["owner"]) == (201, "pythonista")
    assert faults(browser) == []


@pytest.mark.parametrize("address", ["/status", "/api/v1/devices", "/api/v1/presence"])
def test_each_feature_has_its_own_page(browser, live_server, address):
    name = address.rpartition("/")[2]
    page = Page(browser, f"{live_server}{address}/docs")
    page.find(".opblock")
    page.shoot(name)
    assert page.find("nav [aria-current]").text == name
    assert faults(browser) == []
    assert hosts(browser) == {urlsplit(live_server).netloc}


def faults(browser):
    """Return the errors in the console: failed scripts, styles and requests.

    A resource that the Content-Security-Policy forbids is one of them.
    """
    entries = browser.get_log("browser")
    return [each["message"] for each in entries if each["level"] == "SEVERE"]


def hosts(browser):
    """Return the hosts that the page has sent requests to."""
    messages = [
        json.loads(entry["message"])["message"]
        for entry in browser.get_log("performance")
    ]
    urls = [
        urlsplit(message["params"]["request"]["url"])
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    return {url.netloc for url in urls if url.scheme in ("http", "https", "ws", "wss")}
