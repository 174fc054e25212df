"""Run by test_push.py in a process of its own: the hub's clients read HF_ENDPOINT and HF_TOKEN when they are imported.

Reads a list of pushes [folder, repo, options] from stdin and writes one answer each: an address, or the sentence.
"""

import json
import sys
from pathlib import Path

from cwpo.errors import CwpoError
from cwpo.export.push import push


def main() -> None:
    answers = []
    for folder, repo, options in json.load(sys.stdin):
        try:
            answers.append(push(Path(folder), repo, **options))
        except CwpoError as error:
            answers.append(f"refused: {error}")
    sys.stdout.write("\n" + json.dumps(answers))


if __name__ == "__main__":
    main()
