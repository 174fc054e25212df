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

import pytest
import yaml
from pydantic import BaseModel

from cwpo import catalog, config, config_parts
from cwpo.data.shapes import READERS
from tools.tree import listed, missing_from

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("app", "workers", "cwpo", "db")
HEAVY = ("torch", "transformers", "datasets", "peft", "trl")
TORCH_FREE = (
    "cwpo",
    "cwpo.errors",
    "cwpo.config",
    "cwpo.config_parts",
    "cwpo.catalog",
    "cwpo.stages",
    "cwpo.records",
    "cwpo.stages.resolve",
    "cwpo.stages.pipeline",
    "cwpo.seeded",
    "cwpo.artifacts",
    "cwpo.statistics",
    "cwpo.calibration",
    "cwpo.data.files",
    "cwpo.frontier",
    "cwpo.memory_estimate",
    "cwpo.model_shape",
    "cwpo.stored_annotator",
    "cwpo.length_control",
    "cwpo.label_paths",
    "cwpo.agreement",
    "cwpo.paper",
    "cwpo.paper_presets",
)
# The one file that may call torch.load, in a process of its own without token or network.
READS_TORCH_FILES = "cwpo/convert.py"


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def loaded_by(statements: str, names: tuple[str, ...] = HEAVY) -> list[str]:
    """Which of `names` a fresh interpreter has loaded after the statements."""
    script = f"{statements}\nimport json, sys\nprint(json.dumps([name for name in {names!r} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_packages_import_only_what_is_below_them() -> None:
    script = "from importlinter.cli import lint_imports_command as lint; lint()"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_no_import_rule_has_exceptions() -> None:
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    assert [rule["id"] for rule in rules if "ignore_imports" in rule] == []


def test_torch_free_files_load_no_torch_in_a_fresh_interpreter() -> None:
    assert loaded_by("\n".join(f"import {name}" for name in TORCH_FREE)) == []


def imports_of(path: Path) -> Iterator[str]:
    """Every import statement of a file, also those inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield ast.unparse(node)


def test_nothing_that_the_web_process_imports_loads_torch() -> None:
    statements = sorted({statement for path in sources("app") for statement in imports_of(path)})
    assert statements
    assert loaded_by("\n".join(statements), (*HEAVY, "workers.jobs")) == []


def test_packages_on_disk_are_the_packages_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    on_disk = {relative(path.parent).replace("/", ".") for path in sources(*PACKAGES)}
    assert sorted(project["tool"]["setuptools"]["packages"]) == sorted(on_disk)
    assert [name for name in on_disk if not (ROOT / name.replace(".", "/") / "__init__.py").exists()] == []


def calls(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield node


def forbidden(call: ast.Call, *, may_torch_load: bool) -> str | None:
    """Why this call must not be in the program, or None."""
    name = ast.unparse(call.func)
    switched_on = {k.arg for k in call.keywords if isinstance(k.value, ast.Constant) and k.value.value is True}
    reasons = {
        "st.html": name in ("st.html", "streamlit.html"),
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


def test_every_objective_of_the_catalog_has_its_function_and_reads_the_fields_that_it_names() -> None:
    from cwpo.objectives import OBJECTIVES

    assert list(OBJECTIVES) == list(catalog.OBJECTIVES)
    assert [
        row.name for row in catalog.OBJECTIVES.values() if not set(row.fields) <= set(config.AlignConfig.model_fields)
    ] == []


def test_every_weighting_of_the_catalog_has_its_function() -> None:
    from cwpo.weighting import WEIGHTINGS

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
    found = [value for module in (config, config_parts) for _, value in inspect.getmembers(module, inspect.isclass)]
    return [part for part in dict.fromkeys(found) if issubclass(part, config_parts.Part)]


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


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/methods.md", "docs/operations.md"])
def test_pages_name_only_files_that_are_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = {link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link}
    paths = set(re.findall(r"(?:configs|cwpo|workers|db|app|tools|benchmarks)/[\w/.-]+\.(?:py|yaml|sh)\b", text))
    gone = [link for link in links if not (ROOT / page).parent.joinpath(link).is_file()]
    assert gone + [path for path in paths if not (ROOT / path).is_file()] == []


def test_every_make_target_is_one_that_readme_or_makefile_explains() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert phony is not None
    targets = set(phony[1].split()) - {"help", "other-torch"}
    assert targets == set(re.findall(r"^# make (\w+)", makefile, re.MULTILINE))
    assert targets == set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE)) - {"help"}


def test_tree_in_readme_is_the_tree_on_disk() -> None:
    tree = listed((ROOT / "README.md").read_text(encoding="utf-8"))
    assert [path for path in tree if not (ROOT / path).exists()] == []
    assert missing_from(tree, ROOT) == []
