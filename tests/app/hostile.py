"""Texts that would do harm where they are read as markup, and texts that do none."""

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

# What scripts are written with, which nobody may spell out.
SCRIPTS = (
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian: a joiner that keeps two halves of a word apart
    "\u0915\u094d\u200d\u0937 \u0939\u093f\u0928\u094d\u0926\u0940",  # Hindi: a half letter
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f469\U0001f3fd\u200d\U0001f680 \u2764\ufe0f\u200d\U0001f525",
    "1\ufe0f\u20e3 \u00a9\ufe0f",
    "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",  # the flag of England
    "\u05e9\u05dc\u05d5\u05dd\u200f (a) \u05e9\u05dc\u05d5\u05dd\u200e",  # Hebrew with direction marks
    "\u0600\u06f1\u06f2",
    "\u845b\U000e0100\u57ce",  # a variant of a Han character
    # words of Thai and Khmer
    "\u0e20\u0e32\u0e29\u0e32\u200b\u0e44\u0e17\u0e22 \u1797\u17b6\u179f\u17b6\u200b\u1781\u17d2\u1798\u17c2\u179a",
    "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22 \u65e5\u672c\u8a9e \ud55c\uad6d\uc5b4",
)
