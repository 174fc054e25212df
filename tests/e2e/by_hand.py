"""The widgets of New run as a person changes them in a browser."""

from contextlib import suppress
from typing import Any

from playwright.sync_api import Locator, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from app.components.form.declared import SWITCHED
from app.components.form.fields import all_fields


def widget(page: Page, name: str) -> Locator:
    return page.locator(f".st-key-new_run-{name.replace('.', '-')}")


def holds(page: Page, name: str, value: str) -> None:
    """The field comes to say it; while the form becomes another one, there are two of it for a moment."""
    field = widget(page, name).locator("input")
    for _ in range(12):
        expect(field).to_have_count(1)
        with suppress(AssertionError):
            expect(field).to_have_value(value, timeout=10_000)
            return
    expect(field).to_have_value(value)


def write(page: Page, name: str, text: str) -> None:
    field = widget(page, name).locator("input, textarea")
    expect(field).to_have_count(1)  # while fields are added above, there are two for a moment
    field.fill(text)
    field.press("Control+Enter" if name == "other" else "Enter")


def choose(page: Page, name: str, label: str) -> None:
    """One more of a list, by typing; a page that is redrawn meanwhile closes the list, which is then opened again."""
    field = widget(page, name).get_by_role("combobox")
    option = page.get_by_role("option", name=label, exact=True).first
    for _ in range(10):
        field.fill(label)
        with suppress(PlaywrightTimeout):
            option.click(timeout=5_000)
            if _shows(page, name, label):
                break
        field.fill("")
    field.press("Escape")


def _shows(page: Page, name: str, label: str) -> bool:
    """The widget soon shows the choice: as a chip, or as its text."""
    for _ in range(50):
        if widget(page, name).first.evaluate(
            "(at, label) => at.innerText.includes(label) || [...at.querySelectorAll('input')].some("
            "one => one.value.includes(label) && one.getAttribute('aria-expanded') !== 'true')",
            label,
        ):
            return True
        page.wait_for_timeout(100)
    return False


def set_widget(page: Page, name: str, value: Any) -> None:
    """What a person does to this widget until it holds the value."""
    if isinstance(value, bool):
        widget(page, name).locator("label").first.click()
        expect(widget(page, f"{name}.{next(iter(SWITCHED[name]))}").locator("input").first).to_be_visible()
    elif all_fields()[name].kind not in ("flag", "choice", "one"):
        write(page, name, value)
    elif all_fields()[name].kind == "flag":
        _press(page, name, value)
    else:
        _set_list(page, name, value)


def pressed(page: Page, name: str) -> list[str]:
    """The words of a switch with several positions that are on."""
    return widget(page, name).locator('button[aria-pressed="true"]').all_inner_texts()


def _press(page: Page, name: str, words: list[str]) -> None:
    """These positions of a switch on and the others off. What is read or clicked while the form is drawn anew may be of
    buttons that are gone: each click's effect is waited for, and what is still wrong is clicked again."""
    buttons = widget(page, name).locator("button[aria-pressed]")
    for _ in range(12):
        expect(buttons).to_have_count(len(all_fields()[name].offered("sandbox")))
        now = pressed(page, name)
        wrong = [word for word in words if word not in now] or [word for word in now if word not in words]
        if not wrong:
            return
        with suppress(PlaywrightTimeout, AssertionError):
            widget(page, name).get_by_role("button", name=wrong[0], exact=True).click(timeout=10_000)
            state = "true" if wrong[0] in words else "false"
            button = widget(page, name).get_by_role("button", name=wrong[0], exact=True)
            expect(button).to_have_attribute("aria-pressed", state, timeout=10_000)
    assert pressed(page, name) == words


def _set_list(page: Page, name: str, value: Any) -> None:
    labels = all_fields()[name].offered("sandbox")
    if name == "models":
        choose(page, name, labels[value])
        return
    field = widget(page, name).get_by_role("combobox")
    expect(field).to_be_enabled()
    if name != "methods" and name != "weighting.name":
        field.press("Backspace")  # the choice that was there
    for one in value if name != "methods" else value[2:]:
        choose(page, name, labels.get(one, one))
