"""What the text of an environment variable means: each function takes its name, for the sentence, and its text."""

import ipaddress
import os
import re
from pathlib import Path

from cwpo.errors import ConfigError


def text(name: str, text: str) -> str:
    return text


def folder(name: str, text: str) -> Path:
    """~ is the home folder; what is relative begins at the current directory."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ConfigError(name, f"{text!r} begins at the home folder of nobody; give an absolute path.") from error


def folders(name: str, text: str) -> tuple[Path, ...]:
    return tuple(folder(name, part.strip()) for part in text.split(os.pathsep) if part.strip())


def switch(name: str, text: str) -> bool:
    return text != "0"


def count(name: str, text: str) -> int:
    if not text.isdecimal():
        raise ConfigError(name, f"must be a whole number, not {text!r}.")
    return int(text)


def port(name: str, text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise ConfigError(name, f"must be a number between 1 and 65535, not {text!r}.")
    return int(text)


def log_format(name: str, text: str) -> str:
    if text not in ("text", "json"):
        raise ConfigError(name, f"must be text or json, not {text!r}.")
    return text


def address(name: str, text: str) -> str:
    if "://" not in text:
        raise ConfigError(name, f"must be an address such as s3://bucket/prefix, not {text!r}.")
    return text


def header_name(name: str, text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]+", text):
        raise ConfigError(name, f"must be the name of a header, as X-Forwarded-User, not {text!r}.")
    return text


def ip_addresses(name: str, text: str) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.ip_address(part.strip())) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(name, f"must be an IP address, or several with commas between, not {text!r}.") from error


def prices(name: str, text: str) -> tuple[float, float]:
    try:
        read, written = (float(part) for part in text.split(","))
    except ValueError:
        read = written = -1.0
    if not (0 <= read < 1e9 and 0 <= written < 1e9):
        raise ConfigError(name, f"must be two prices such as 2.5,10, not {text!r}.")
    return read, written


def names(name: str, text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def gpus(name: str, text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip() and part.strip() != "-1")


def process(name: str, text: str) -> int | None:
    return int(text) if text.isdecimal() else None
