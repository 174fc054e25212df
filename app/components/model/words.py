"""What both tabs say of errors: the field as the page calls it."""

NAMES = {
    "run": "Run",
    "REPO": "Repository",
    "--stage": "Model",
    "--dtype": "Weights",
    "--merged": "Form",
    "--to": "Folder",
}


def named(error: Exception) -> str:
    """The sentence for people: "Run 3 has no …" and "Repository: …"."""
    field, colon, rest = str(error).partition(": ")
    if not colon or field not in NAMES:
        return str(error)
    return f"Run {rest}" if field == "run" else f"{NAMES[field]}: {rest}"
