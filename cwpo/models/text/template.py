"""Whether a model's chat template takes a conversation, asked of its files alone. Free of torch and transformers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cwpo.bounds import json_text

Messages = Sequence[Mapping[str, str]]


MOST_SETTINGS = 64 << 20  # bytes of what a folder says of its tokenizer


class Refused(Exception):
    """What a template says of a conversation that it does not take."""


def template_of(folder: Path) -> tuple[str, dict[str, str]] | None:
    """The chat template in a model's folder with the special tokens that it may name; None where there is none."""
    try:
        settings = json_text.read_object(folder / "tokenizer_config.json", most=MOST_SETTINGS)
    except (OSError, json_text.JsonError):
        settings = {}
    template = _own_template(folder) or settings.get("chat_template")
    if isinstance(template, list):  # several by name
        named = (one for one in template if isinstance(one, Mapping) and one.get("name") == "default")
        template = next((one.get("template") for one in named), None)
    if not isinstance(template, str):
        return None
    return template, {name: _text(token) for name, token in settings.items() if name.endswith("_token") and token}


def _own_template(folder: Path) -> str | None:
    """The template in a file of its own; of a very large one as much as says that it is too large."""
    try:
        with (folder / "chat_template.jinja").open("rb") as file:
            return file.read(MOST_SETTINGS).decode(errors="replace")
    except OSError:
        return None


def refused(folder: Path, messages: Messages) -> str | None:
    """Why the template of that folder refuses the conversation; None where it takes it, or where only a run can tell.

    The template is rendered as transformers does, in the sandbox of jinja2 and within bounds.
    """
    from jinja2 import TemplateError

    from cwpo.models.text.bounded import BoundedEnvironment, TooMuch

    found = template_of(folder)
    if found is None:
        return None
    template, tokens = found
    place = BoundedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    place.globals |= {"raise_exception": _refuse, "strftime_now": lambda _: ""}
    try:
        place.from_string(template).render(messages=list(messages), add_generation_prompt=True, **tokens)
    except (Refused, TooMuch) as error:
        return str(error)
    except RecursionError:
        return "it nests too deep"
    except (TemplateError, TypeError, KeyError, ValueError, AttributeError, ArithmeticError):
        return None  # something of transformers that is not here
    return None


def refusal(cause: str, messages: Messages) -> str:
    """The sentence for a conversation that a chat template does not take."""
    roles = ", ".join(dict.fromkeys(message["role"] for message in messages))
    return (
        f"The model's chat template refuses a conversation of the roles {roles} ({cause.strip().rstrip('.')}): "
        "choose another model, or data without such messages."
    )


def _refuse(cause: str) -> None:
    raise Refused(cause)


def _text(token: str | Mapping[str, Any]) -> str:
    return str(token.get("content", "")) if isinstance(token, Mapping) else str(token)
