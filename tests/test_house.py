"""The house rules: who may import whom, what the web process never loads, and lists that must agree."""

import ast
import inspect
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from app.charts.frame import LOOKS
from cwpo.config import catalog, parts
from cwpo.config import run as config
from cwpo.data.readers.shapes import READERS
from tools import tree
from workers.cli.main import main as command_line

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
COMMANDS = ROOT / "docs" / "commands.md"
PACKAGES = ("app", "workers", "cwpo", "db")
HEAVY = ("torch", "transformers", "datasets", "peft", "trl")
# The one file that may call torch.load, in a process of its own without token or network.
READS_TORCH_FILES = "cwpo/models/convert.py"
READS_OUTCOMES = ("queries.outcomes", "queries.outcomes_and_prompts")
OWN_STYLES = ("st.html(SCHEMES[look().name])",)  # style sheets of ours, which is asserted below


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def contracts() -> dict[str, Any]:
    """The import rules of pyproject.toml by their id."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {rule["id"]: rule for rule in project["tool"]["importlinter"]["contracts"]}


def modules_of(name: str) -> list[str]:
    """A module, or every module of a package."""
    path = ROOT / name.replace(".", "/")
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    return [relative(file).removesuffix(".py").removesuffix("/__init__").replace("/", ".") for file in files]


def loaded_by(statements: str, names: tuple[str, ...] = HEAVY) -> list[str]:
    """Which of `names` a fresh interpreter has loaded after the statements."""
    script = f"{statements}\nimport json, sys\nprint(json.dumps([name for name in {names!r} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_packages_import_only_what_is_below_them() -> None:
    script = "from importlinter.cli import lint_imports_command as lint; lint()"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_no_import_rule_has_exceptions_and_indirect_imports_are_allowed_to_the_doors_alone() -> None:
    """A page may reach the database through a door; whatever is pure is pure all the way down."""
    assert [name for name, rule in contracts().items() if "ignore_imports" in rule] == []
    assert [name for name, rule in contracts().items() if "allow_indirect_imports" in rule] == ["doors"]


def test_torch_free_files_load_no_torch_in_a_fresh_interpreter() -> None:
    """What the rule names, one by one: an import in a function is the rule's business, one at the top is seen here."""
    names = [module for name in contracts()["core-torch-free"]["source_modules"] for module in modules_of(name)]
    assert len(names) > 50
    assert loaded_by("\n".join(f"import {name}" for name in names)) == []


def imports_of(path: Path) -> Iterator[str]:
    """Every import statement of a file, also those inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield ast.unparse(node)


def test_nothing_that_the_web_process_imports_loads_torch() -> None:
    statements = sorted({statement for path in sources("app") for statement in imports_of(path)})
    assert statements
    assert loaded_by("\n".join(statements), (*HEAVY, "workers.queue.job")) == []


def test_packages_on_disk_are_the_packages_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    on_disk = {relative(path.parent).replace("/", ".") for path in sources(*PACKAGES)}
    assert sorted(project["tool"]["setuptools"]["packages"]) == sorted(on_disk)
    assert [name for name in on_disk if not (ROOT / name.replace(".", "/") / "__init__.py").exists()] == []


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def calls(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield node


def forbidden(call: ast.Call, *, may_torch_load: bool) -> str | None:
    """Why this call must not be in the program, or None."""
    name = ast.unparse(call.func)
    switched_on = {k.arg for k in call.keywords if isinstance(k.value, ast.Constant) and k.value.value is True}
    reasons = {
        "st.html": name in ("st.html", "streamlit.html") and ast.unparse(call) not in OWN_STYLES,
        "pickle": name.split(".")[0] in ("pickle", "cPickle", "dill", "cloudpickle", "joblib"),
        "torch.load": name == "torch.load" and not may_torch_load,
        "torch.load without weights_only=True": name == "torch.load" and "weights_only" not in switched_on,
        "yaml.load": name in ("yaml.load", "yaml.unsafe_load", "yaml.full_load"),
        "eval or exec": name in ("eval", "exec"),
        "os.system": name in ("os.system", "os.popen"),
        **{word: word in switched_on for word in ("unsafe_allow_html", "shell", "trust_remote_code")},
    }
    return next((reason for reason, found in reasons.items() if found), None)


def test_no_call_runs_foreign_code_or_shows_foreign_html() -> None:
    found = [
        f"{relative(path)}:{call.lineno} {reason}"
        for path in sources(*PACKAGES)
        for call in calls(path)
        if (reason := forbidden(call, may_torch_load=relative(path) == READS_TORCH_FILES))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("st.html(text)", "st.html"),
        ("st.markdown(text, unsafe_allow_html=True)", "unsafe_allow_html"),
        ("pickle.loads(data)", "pickle"),
        ("torch.load(path, weights_only=True)", "torch.load"),
        ("yaml.load(text, Loader)", "yaml.load"),
        ("subprocess.run(command, shell=True)", "shell"),
        ("AutoModel.from_pretrained(name, trust_remote_code=True)", "trust_remote_code"),
        ("eval(text)", "eval or exec"),
    ],
)
def test_the_search_for_forbidden_calls_finds_them(line: str, reason: str) -> None:
    call = next(node for node in ast.walk(ast.parse(line)) if isinstance(node, ast.Call))
    assert forbidden(call, may_torch_load=False) == reason


def test_the_style_sheets_are_files_of_ours_that_fetch_nothing() -> None:
    files = 'SCHEMES = {name: Path(__file__).with_name(f"{name}.css") for name in LOOKS}'
    assert files in (ROOT / "app" / "main.py").read_text(encoding="utf-8")
    for call in OWN_STYLES:
        assert [relative(path) for path in sources(*PACKAGES) if call in path.read_text()] == ["app/main.py"]
    sheets = sorted((ROOT / "app").glob("*.css"))
    assert [path.stem for path in sheets] == sorted(["style", *LOOKS])
    for path in sheets:
        assert not re.search(r"url\(|@import|<", path.read_text(encoding="utf-8"))


def test_every_rule_of_the_style_sheet_stands_for_itself() -> None:
    """A missing brace puts all that follows inside one rule, where none of it holds, and no browser says so."""
    text = re.sub(r"/\*.*?\*/", "", (ROOT / "app" / "style.css").read_text(), flags=re.DOTALL)
    around: list[str] = []
    for before, brace in re.findall(r"([^{}]*)([{}])", text):
        if brace == "}":
            around.pop()
            continue
        rule = before.rpartition(";")[2].strip()
        assert all(outer.startswith("@media") for outer in around), f"{rule} stands inside {around}"
        around.append(rule)
    assert around == []


def test_outcomes_are_read_with_the_clusters_of_their_prompts() -> None:
    """Read without them, related prompts would be taken for independent ones: intervals too narrow."""
    names = {"outcomes", "outcomes_and_prompts"}
    nodes = [(relative(path), node) for path in sources("app", "workers") for node in ast.walk(parsed(path))]
    imported = [
        path
        for path, node in nodes
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("db.queries")
        and names & {alias.name for alias in node.names}
    ]  # fmt: skip
    used = {
        path
        for path, node in nodes
        if isinstance(node, ast.Attribute) and node.attr in names and ast.unparse(node) in READS_OUTCOMES
    }
    assert (imported, used) == ([], {"workers/related_prompts.py"})


LEAVES = "app/components/frame/leaving.py"


def test_one_place_changes_the_page_and_always_with_its_address() -> None:
    """Elsewhere a forgotten address would fail beside widgets that are bound to one."""
    found = [
        (relative(path), [keyword.arg for keyword in call.keywords])
        for path in sources("app")
        for call in calls(path)
        if ast.unparse(call.func).endswith("switch_page")
    ]
    assert found == [(LEAVES, ["query_params"])]
    named = {relative(path) for path in sources("app") if "switch_page" in path.read_text(encoding="utf-8")}
    assert named == {LEAVES}


def test_one_place_writes_the_address_of_a_page() -> None:
    """It is the one that knows what the browser has not heard of yet when somebody clicks again."""
    writes = {"from_dict", "update", "pop", "popitem", "clear", "setdefault", "__setitem__", "__delitem__"}
    found = set()
    for path in sources("app"):
        for node in ast.walk(parsed(path)):
            of_it = isinstance(node, ast.Attribute | ast.Subscript) and ast.unparse(node.value).endswith("query_params")
            if of_it and (
                node.attr in writes if isinstance(node, ast.Attribute) else not isinstance(node.ctx, ast.Load)
            ):
                found.add(relative(path))
    assert found == {LEAVES}


def by_hand(path: Path) -> list[str]:
    """Links that a file makes of its own: to a page with parameters, and written out in Markdown."""
    written = [
        f"line {node.lineno}: {node.value}"
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "](" in node.value
    ]
    made = [
        f"line {call.lineno}: {ast.unparse(call)}"
        for call in calls(path)
        if ast.unparse(call.func).endswith("page_link")
        and not {"query_params", None}.isdisjoint({keyword.arg for keyword in call.keywords})
    ]
    return [*written, *made]


def test_one_place_makes_links_to_addresses() -> None:
    """Elsewhere the page of a link and its parameters would be of two views, or their names of none."""
    assert [relative(path) for path in sources("app") if by_hand(path)] == [LEAVES]
    assert len(by_hand(ROOT / LEAVES)) == 2


@pytest.mark.parametrize(
    "line",
    [
        'st.page_link("screens/run.py", label="Run", query_params={"run": "1"})',
        'st.page_link("screens/run.py", **{"query_params": {}})',
        'st.caption(f"[link](examples?{address})")',
        'st.caption("[Runs](./)")',
    ],
)
def test_a_link_by_hand_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "page.py").write_text(f"{line}\nst.page_link('screens/runs.py', label='All runs')\n", encoding="utf-8")
    assert [found.partition(":")[0] for found in by_hand(tmp_path / "page.py")] == ["line 1"]


def test_one_place_redraws_a_part_of_a_page_alone() -> None:
    """It is the one that guards the part: a database that fails there is a sentence, not a traceback."""
    names = ("st.fragment", "streamlit.fragment", "fragment")
    nodes = [(relative(path), node) for path in sources("app") for node in ast.walk(parsed(path))]
    used = [
        path
        for path, node in nodes
        if (isinstance(node, ast.Attribute) and ast.unparse(node) in names)
        or (isinstance(node, ast.alias) and node.name == "fragment")
    ]
    assert used == ["app/components/frame/layout.py"]


def bound_widgets() -> list[tuple[str, str]]:
    """File and key of every widget that writes itself into the address."""
    return [
        (relative(path), ast.unparse(next(keyword.value for keyword in call.keywords if keyword.arg == "key")))
        for path in sources("app")
        for call in calls(path)
        if "bind" in {keyword.arg for keyword in call.keywords}
    ]


def test_no_two_widgets_share_a_name_in_the_address() -> None:
    """Streamlit keeps what a bound widget holds from page to page: a shared name would carry it to the other page."""
    bound = bound_widgets()
    constants = [key for _, key in bound if key.startswith("'")]
    assert len(constants) > 10
    assert sorted(constants) == sorted(set(constants))
    assert [place for place, key in bound if not key.startswith("'")] == ["app/components/compare/costs.py"]
    assert not [path for path, _ in bound if "/form" in path or "run_form" in path]


def test_every_objective_of_the_catalog_has_its_function_and_reads_the_fields_that_it_names() -> None:
    from cwpo.training.objectives import OBJECTIVES

    assert list(OBJECTIVES) == list(catalog.OBJECTIVES)
    assert [
        row.name for row in catalog.OBJECTIVES.values() if not set(row.fields) <= set(parts.AlignConfig.model_fields)
    ] == []


def test_every_weighting_of_the_catalog_has_its_function() -> None:
    from cwpo.training.weighting import WEIGHTINGS

    assert list(WEIGHTINGS) == list(catalog.WEIGHTINGS)


@pytest.mark.parametrize("kind", ["objective", "weighting", "method"])
def test_every_row_of_the_catalog_has_its_row_in_the_docs(kind: str) -> None:
    """docs/methods.md names each objective, weighting and method in the first column of a table."""
    rows = {"objective": catalog.OBJECTIVES, "weighting": catalog.WEIGHTINGS, "method": catalog.METHODS}[kind]
    heading = {"objective": "## Objectives", "weighting": "## Weightings", "method": "## Methods"}[kind]
    section = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8").split(f"{heading}\n")[1].split("\n## ")[0]
    named = set(re.findall(r"^\| `(\w+)`", section, re.MULTILINE))
    assert [name for name in rows if name not in named] == []
    assert [name for name in named if name not in rows] == []


def test_methods_are_made_of_known_weightings_and_those_that_weigh_by_margin_have_one() -> None:
    for row in catalog.METHODS.values():
        weighting = catalog.WEIGHTINGS[row.weighting]
        assert row.needs_annotator or not weighting.needs_margin, row.name


def test_rows_of_the_catalog_are_filed_under_their_names() -> None:
    for rows in (
        catalog.OBJECTIVES,
        catalog.WEIGHTINGS,
        catalog.METHODS,
        catalog.DATASETS,
        catalog.SANDBOX_MODELS,
        catalog.MODEL_PAIRS,
        catalog.GOLD_REWARDS,
    ):
        assert [name for name, row in rows.items() if row.name != name] == []


def test_every_dataset_has_its_reader_and_a_known_gold_reward() -> None:
    for row in catalog.DATASETS.values():
        assert row.gold_reward in catalog.GOLD_REWARDS, row.name
        assert row.reader == "sandbox" or row.reader in READERS, row.name


def config_models() -> list[type[BaseModel]]:
    found = [value for module in (config, parts) for _, value in inspect.getmembers(module, inspect.isclass)]
    return [part for part in dict.fromkeys(found) if issubclass(part, parts.Part)]


def test_every_field_of_a_run_says_what_it_is() -> None:
    silent = [
        f"{model.__name__}.{name}"
        for model in config_models()
        for name, field in model.model_fields.items()
        if not field.description
    ]
    assert silent == []


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_example_configurations_are_valid(path: Path) -> None:
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert config.expand(values)


def test_there_are_example_configurations_for_every_family_and_dataset() -> None:
    runs = [
        run
        for path in (ROOT / "configs").glob("*.yaml")
        for run in config.expand(yaml.safe_load(path.read_text(encoding="utf-8")))
    ]
    assert set(catalog.DATASETS) <= {run.data.dataset for run in runs}
    policies = " ".join(run.model.policy.lower() for run in runs)
    assert [family for family in ("sandbox/", "opt", "qwen2.5", "llama") if family not in policies] == []


def test_readme_names_both_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in text
    assert "make test" in text


@pytest.mark.parametrize("page", PAGES)
def test_pages_name_only_files_that_are_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = {link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link}
    paths = set(
        re.findall(
            r"(?<![\w/.])(?:configs|cwpo|workers|db|app|tools|benchmarks|tests)/[\w/.-]+\.(?:py|yaml|sh)\b", text
        )
    )
    gone = [link for link in links if not (ROOT / page).parent.joinpath(link).is_file()]
    assert gone + [path for path in paths if not (ROOT / path).is_file()] == []


def names_in(path: Path) -> set[str]:
    """What a module defines at its top, and `Class.name` of what its classes do."""
    tree = parsed(path)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return defined(tree.body) | {f"{one.name}.{name}" for one in classes for name in defined(one.body)}


def defined(body: list[ast.stmt]) -> set[str]:
    found = set()
    for node in body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", node)]
        found |= {str(getattr(target, "name", getattr(target, "id", ""))) for target in targets}
    return found


def names_gone(text: str) -> list[str]:
    """Of the places that a text writes as `folder/file.py:name`, those that are not there."""
    named = re.findall(r"`((?:app|workers|cwpo|db|tools|benchmarks|tests)/[\w/]+\.py):([\w.]+)`", text)
    return [
        f"{file}:{name}" for file, name in named if not (ROOT / file).is_file() or name not in names_in(ROOT / file)
    ]


@pytest.mark.parametrize("page", PAGES)
def test_pages_name_only_functions_that_are_there(page: str) -> None:
    """`folder/file.py:name` is a class, function or constant of that file, `…:Class.name` one of a class in it."""
    assert names_gone((ROOT / page).read_text(encoding="utf-8")) == []


def test_a_function_a_method_and_a_file_that_are_gone_are_named() -> None:
    there = "`tests/test_house.py:ROOT` `tests/test_house.py:names_gone` `tools/tree.py:Sizes.over`"
    gone = "`tests/test_house.py:gone` `tools/tree.py:Sizes.gone` `tools/gone.py:tree`"
    assert names_gone(there) == []
    assert [f"`{name}`" for name in names_gone(gone)] == gone.split()


def test_every_make_target_is_one_that_readme_or_makefile_explains() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert phony is not None
    targets = set(phony[1].split()) - {"help", "other-torch"}
    assert targets == set(re.findall(r"^# make ([\w-]+)", makefile, re.MULTILINE))
    assert targets == set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)) - {"help", "other-torch"}
    assert targets == set(re.findall(r"^\| `make ([\w-]+)`", COMMANDS.read_text(encoding="utf-8"), re.MULTILINE))


def test_docs_have_every_verb_of_the_command_line_and_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command_line(["--help"])
    verbs = set(re.findall(r"^    (\w+)", capsys.readouterr().out.split("verbs:")[1], re.MULTILINE)) - {"VERB"}
    rows = re.findall(r"^\| (`cwpo [^|]+)", COMMANDS.read_text(encoding="utf-8"), re.MULTILINE)
    assert verbs == {verb for row in rows for verb in re.findall(r"`cwpo (\w+)", row)}


def test_trees_in_the_docs_show_the_folders_on_disk_with_their_sentences() -> None:
    assert tree.problems(ROOT) == []


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A repository with two folders in each page's tree, of which one explains itself."""
    (tmp_path / "cwpo" / "data").mkdir(parents=True)
    (tmp_path / "cwpo" / "__init__.py").write_text('"""The core of a.b: all\nof it. And more."""\n')
    (tmp_path / "cwpo" / "data" / "pairs.py").write_text("")
    (tmp_path / "pyproject.toml").write_text('[[tool.importlinter.contracts]]\nname = "a > b"\n')
    for page, (heading, _) in tree.PAGES.items():
        (tmp_path / page).parent.mkdir(exist_ok=True)
        text = f"{heading}\n\n```\ncwpo/  The core of a.b: all of it\n  data/  Pairs\ndocs/  Docs\n```\n"
        (tmp_path / page).write_text(f"{text}{tree.RULES_HEADING}\n\n```\na > b\n```\n")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    return tmp_path


def test_a_folder_that_no_page_shows_and_another_sentence_are_named(small: Path) -> None:
    assert tree.problems(small) == []
    (small / "cwpo" / "models").mkdir()
    (small / "cwpo" / "models" / "load.py").write_text("")
    (small / "cwpo" / "__init__.py").write_text('"""Something else."""\n')
    found = [problem.removeprefix("README.md: ") for problem in tree.problems(small) if "README" in problem]
    assert found == [
        "cwpo/models/ is missing",
        "cwpo/ is 'The core of a.b: all of it', its __init__.py says 'Something else'",
    ]


def test_docs_that_state_other_import_rules_are_named_and_brought_up_to_date(small: Path) -> None:
    (small / "pyproject.toml").write_text('[[tool.importlinter.contracts]]\nname = "a | b"\n')
    assert tree.problems(small) == ["docs/architecture.md: the import rules are not those of pyproject.toml"]
    tree.write(small)
    assert tree.problems(small) == []


def test_a_rewritten_page_takes_sentences_from_the_disk_and_keeps_phrases_and_order(small: Path) -> None:
    page = "## T\n\n```\ndocs/  Docs\ncwpo/  Old\n  gone/  Gone\n  data/  Pairs\n```\nend\n"
    text = tree.rewritten(page, "## T", small, 2)
    assert tree.listed(text, "## T") == {"docs/": "Docs", "cwpo/": "The core of a.b: all of it", "cwpo/data/": "Pairs"}
    assert text.index("docs/") < text.index("cwpo/")
    assert text.endswith("```\nend\n")


def test_every_folder_of_the_packages_says_what_it_is() -> None:
    silent = {relative(path.parent) for path in sources(*PACKAGES) if not tree.sentence(path.parent)}
    assert sorted(silent) == []


def test_folders_files_and_functions_are_small_and_no_modules_import_each_other() -> None:
    assert tree.sizes(ROOT).over() == []


def test_what_is_too_large_or_imports_itself_in_a_circle_is_named(tmp_path: Path) -> None:
    """A circle of three: one import at the top, one inside a function, one for types only."""
    package = tmp_path / "db"
    package.mkdir()
    (package / "a.py").write_text("from db import b\n")
    (package / "b.py").write_text("def late():\n    from db.c import anything\n    return anything\n")
    typed = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    import db.a\n"
    (package / "c.py").write_text(typed)
    (package / "apart.py").write_text("import db.a\n")
    (package / "long.py").write_text("def long():\n" + "    pass\n" * 400)
    for number in range(10):
        (package / f"n{number}.py").write_text("")
    assert tree.sizes(tmp_path, ["db"]).over() == [
        "db: 15 files, at most 14",
        "db/long.py: 401 lines, at most 400",
        "db/long.py:1 long: 401 lines, at most 60",
        "these import each other: db.a, db.b, db.c",
    ]
