"""What stands for somebody at a page clicks again where a click was lost, never twice where it was only slow."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e import again
from tests.e2e.serving import visiting

HEAD = "<div data-testid=stApp data-test-script-state=notRunning></div>"
# A button that counts, but for the clicks on what is replaced just then.
REPLACED = """<button>Go</button><script>
  window.made = 0; const old = document.querySelector('button');
  old.onclick = () => { const young = old.cloneNode(true); young.onclick = () => { window.made += 1; };
    old.replaceWith(young); };
</script>"""
# A button whose effect comes late, while the page has something to do.
SLOW = """<button>Go</button><script>
  window.made = 0; const app = document.querySelector('[data-testid=stApp]');
  document.querySelector('button').onclick = () => { app.dataset.testScriptState = 'running';
    setTimeout(() => { window.made += 1; app.dataset.testScriptState = 'notRunning'; }, 1500); };
</script>"""
# A list that a page which is drawn anew closes twice: once when it is open, once under the click.
LIST = """<input role=combobox aria-expanded=false readonly><div id=list></div><script>
  let closings = 2; const field = document.querySelector('input'), list = document.getElementById('list');
  const close = () => { list.innerHTML = ''; };
  field.onclick = () => { if (list.innerHTML) return close();
    list.innerHTML = '<div role=option>one</div><div role=option>one more</div>';
    if (closings === 2) { closings -= 1; return close(); }
    list.firstChild.onclick = () => { if (closings) closings -= 1; else field.value = 'one'; close(); }; };
</script>"""


@pytest.fixture
def page(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    monkeypatch.setattr(again, "REST", 0.7)
    monkeypatch.setattr(again, "SOON", 700)
    with visiting(browser) as page:
        yield page


def made(page: Page) -> int:
    return int(page.evaluate("window.made"))


def test_a_click_on_what_is_replaced_is_made_again(page: Page) -> None:
    page.set_content(HEAD + REPLACED)
    again.take_effect(page, page.get_by_role("button").click, lambda: made(page))
    assert made(page) == 1


def test_a_click_whose_effect_is_slow_is_made_once(page: Page) -> None:
    page.set_content(HEAD + SLOW)
    again.take_effect(page, page.get_by_role("button").click, lambda: made(page))
    page.wait_for_timeout(2_000)
    assert made(page) == 1


def test_what_has_no_effect_is_not_waited_for_without_end(page: Page) -> None:
    page.set_content(HEAD)
    with pytest.raises(AssertionError, match="nothing was seen of what was done"):
        again.take_effect(page, lambda: None, lambda: False, seconds=1.5)


def test_a_list_that_is_closed_by_the_page_is_opened_again(page: Page) -> None:
    page.set_content(HEAD + LIST)
    again.pick(page.get_by_role("combobox"), "one")
    expect(page.get_by_role("combobox")).to_have_value("one")
