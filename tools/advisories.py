"""Compare requirements.lock with the public advisory databases: OSV's, else PyPI's. `make audit` calls it.

Exit status: 0 nothing is known of what is locked, 1 there are advisories, 3 no database answered and nothing was
compared. pip-audit lies in a virtual environment of its own, because it is no part of the program.
"""

import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OWN = ROOT / ".venv-audit"
WANTED = "pip-audit>=2.9,<3"
DATABASES = {"osv": "api.osv.dev", "pypi": "pypi.org"}
NOTHING_COMPARED = 3


def main() -> int:
    _install()
    for service, host in DATABASES.items():
        answer = _ask(service)
        compared = [row for row in answer if "skip_reason" not in row]
        if not compared:
            continue  # an index without the advisories answers "not found" for every package
        known = [(row["name"], row["version"], found) for row in compared for found in row["vulns"]]
        for name, version, found in known:
            names = ", ".join([found["id"], *found["aliases"]])
            print(f"{name} {version}: {names}, mended in {', '.join(found['fix_versions']) or 'no version yet'}")
        for row in answer:
            if "skip_reason" in row:
                print(f"{row['name']}: not compared ({row['skip_reason']})")
        print(f"{len(compared)} of {len(answer)} locked packages compared with {host}: {len(known)} advisories.")
        return bool(known)
    print(f"No advisory database answered ({', '.join(DATABASES.values())}): nothing was compared.", file=sys.stderr)
    return NOTHING_COMPARED


def _install() -> None:
    if (OWN / ".ready").is_file():
        return
    venv.create(OWN, with_pip=True, clear=True)
    pip = [str(OWN / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", WANTED], check=True)
    (OWN / ".ready").touch()


def _ask(service: str) -> list[dict[str, Any]]:
    """One row per locked package, with its advisories or why it was not compared; none when the database is away."""
    command = [str(OWN / "bin" / "pip-audit"), "--requirement", "requirements.lock", "--no-deps", "--disable-pip"]
    options = ["--format", "json", "--progress-spinner", "off", "--timeout", "20", "--vulnerability-service", service]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True)
    try:
        rows: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        return []
    return rows


if __name__ == "__main__":
    sys.exit(main())
