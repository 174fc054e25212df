"""What the web process loads, and where it listens."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMPUTING = ("torch", "transformers", "datasets", "peft", "workers.queue.job")  # what pages never need
HEAVY = (*COMPUTING, "scipy.stats", "scipy.optimize")


def test_the_entry_point_and_every_screen_load_no_torch() -> None:
    """In a fresh interpreter: import app.main, then all that the screens import."""
    script = (
        "import sys, json, importlib, pkgutil, app.main, app.reads.results, app.charts, app.components\n"
        "for found in pkgutil.iter_modules(app.components.__path__):\n"
        "    importlib.import_module(f'app.components.{found.name}')\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_what_every_page_needs_is_loaded_behind_the_first_one_and_is_no_torch() -> None:
    """In a fresh interpreter: a page that comes later finds its modules, and those that libraries load when they are
    first used; nothing else is loaded for that."""
    script = (
        "import sys, json, pkgutil, app.main\nfrom app import components, heap\nheap.load_parts()\n"
        "parts = [found.name for found in pkgutil.walk_packages(components.__path__, 'app.components.')]\n"
        "missing = [name for name in (*parts, *heap.LATE) if name not in sys.modules]\n"
        f"wrong = [name for name in {COMPUTING!r} if name in sys.modules]\n"
        "print(json.dumps([len(parts) > 80, missing, wrong]))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == [True, [], []]


def test_threads_of_the_server_have_one_heap_unless_somebody_chose() -> None:
    """malloc_info of the C library, while eight threads hold memory that they asked for at one time."""
    script = (
        "import ctypes, threading\nlibc = ctypes.CDLL(None)\nlibc.fdopen.restype = ctypes.c_void_p\n"
        "libc.malloc.restype = ctypes.c_void_p\nout = ctypes.c_void_p(libc.fdopen(1, b'w'))\n"
        "here, told = threading.Barrier(9), threading.Event()\n"
        "def hold():\n    here.wait()\n    libc.malloc(5000)\n    here.wait()\n    told.wait()\n"
        "for _ in range(8):\n    threading.Thread(target=hold).start()\n"
        "here.wait(), here.wait(), libc.malloc_info(0, out), libc.fflush(out), told.set()"
    )
    heaps = {}
    for chosen in ({}, {"MALLOC_ARENA_MAX": "3"}):
        known = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
        asked = "import json; from workers.cli.launch import web; print(json.dumps(web.environment()))"
        told = subprocess.run(
            [sys.executable, "-c", asked], cwd=ROOT, env=known | chosen, capture_output=True, check=True
        ).stdout
        done = subprocess.run([sys.executable, "-c", script], env=json.loads(told), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        heaps[chosen.get("MALLOC_ARENA_MAX", "")] = done.stdout.count("<heap nr=")
    assert heaps == {"": 1, "3": 3}


def test_what_streamlit_says_of_an_error_is_a_line_of_our_log() -> None:
    """The server has read its settings before the first page is drawn, and with them set up its own handlers."""
    script = (
        "import logging, streamlit.config, streamlit.error_util\nstreamlit.config.get_config_options()\n"
        "import app.main\nlogging.getLogger('streamlit.error_util').error('Uncaught app execution')"
    )
    environment = {**os.environ, "CWPO_LOG": "json"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    line = json.loads(done.stderr.splitlines()[-1])
    assert (line["level"], line["logger"]) == ("ERROR", "streamlit.error_util")
    assert line["message"] == "Uncaught app execution"


def test_the_dashboard_listens_on_this_machine_only() -> None:
    settings = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    assert settings["server"]["address"] == "127.0.0.1"
    assert settings["browser"]["gatherUsageStats"] is False
    assert settings["client"]["toolbarMode"] == "minimal"


def test_no_screen_needs_a_file_from_outside() -> None:
    """No icon font (a browser fetches it), no HTML switched on, no folder that starts the older navigation."""
    for path in (ROOT / "app").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert ":material" not in text, path
        assert "unsafe_allow_html" not in text, path
    assert not (ROOT / "app" / "pages").exists()


def test_the_server_says_why_a_file_is_not_handed_out() -> None:
    """The web server's sessions answer with the sentence of app/door/refusals.py."""
    script = (
        "import streamlit.config\nstreamlit.config.get_config_options()\nimport app.serve\n"
        "from streamlit.runtime import app_session\nprint(app_session.DeferredFileHandler.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "SaysWhy"
