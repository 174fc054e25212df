"""Texts that would do harm where they are read as markup."""

PAYLOADS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<iframe src='//evil.example'></iframe>",
    "[click](javascript:alert(1))",
    "[click](JaVaScRiPt:\talert(1))",
    "[click](data:text/html,<script>alert(1)</script>)",
    "![](http://canary.example/p?d=1)",
    "![x][y]\n\n[y]: http://canary.example/p",
    "http://canary.example and www.canary.example and me@canary.example",
    "<http://canary.example>",
    ":material/home: :red[red] :blue-background[x] :smile:",
    "$\\href{javascript:alert(1)}{x}$ $$x$$",
    "# heading\n- list\n1. one\n> quote\n```\ncode\n```\n| a | b |\n|---|---|\n| 1 | 2 |",
    "**bold** _em_ ~~gone~~ `code` \\",
    "&lt;b&gt; &amp; &#x3c;script&#x3e;",
    "a\x1b[31mred\x00null\x07bell",
    "zero\u200bwidth \u202eright to left \u2066isolate \ufeffbom",
)
