"""Names a column, a class or a file may bear to become markup, a link or a formula where it is shown."""

NAMES = (
    "<img src=x onerror=alert(1)>",
    '<a href="javascript:alert(1)">a</a>',
    "[x](http://h.example)",
    "![x](http://h.example/p.png)",
    "http://evil.example/a",
    "www.evil.example",
    "a@evil.example",
    r"$\href{javascript:alert(1)}{y}$",
    ":red[x]",
    ":material/home:",
    "{{7*7}}",
    "&lt;b&gt;",
    "**bold** ~~gone~~ `code`",
    "<- x -> --",
    "# heading",
    "=1+1",
)
