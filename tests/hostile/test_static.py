"""What the product must not contain: doors through which a file's code runs or a user's words become markup.

The tree of every source is read, names are followed through their imports, so that ``from torch import load
as open_it`` is found as ``torch.load``. It is a guard against slips, not against an author who hides a call.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]

# A pickle is a program. Reading one's instructions (pickletools) is not running it.
MODULES = ("pickle", "_pickle", "cloudpickle", "dill", "shelve", "marshal", "cPickle")
CALLS = {
    **dict.fromkeys(("joblib.load", "pandas.read_pickle", "numpy.lib.format.read_array"), "reads a pickle"),
    **dict.fromkeys(
        ("torch.jit.load", "torch.export.load", "torch.package.PackageImporter"), "runs a program"
    ),
    **dict.fromkeys(("torch.serialization.add_safe_globals",), "widens what a file may name"),
    **dict.fromkeys(("onnx.load", "onnx.load_model"), "follows external data; parse bytes instead"),
    **dict.fromkeys(("eval", "exec", "compile", "__import__", "pandas.eval"), "runs text as code"),
    **dict.fromkeys(
        ("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"), "a shell"
    ),
    **dict.fromkeys(
        ("yaml.load", "yaml.full_load", "yaml.unsafe_load", "yaml.load_all"), "builds any object"
    ),
    **dict.fromkeys(("streamlit.exception",), "shows what a cell says, whatever the settings"),
    **dict.fromkeys(("streamlit.html", "streamlit.components.v1.html"), "user text could become markup"),
    **dict.fromkeys(("streamlit.cache_resource",), "one object for all sessions"),
}
KEYWORDS = {
    "unsafe_allow_html": "user text could become markup",
    "unsafe_allow_javascript": "user text could become a program",
    "allow_dangerous_deserialization": "reads a pickle",
}
WHEN_TRUE = {"shell": "a shell", "allow_pickle": "reads a pickle"}

# Each has to be found, and under no other name than its own.
BANNED = {
    "import pickle": "pickle",
    "import pickle as p\np.loads(b'')": "pickle",
    "from pickle import loads": "pickle",
    "import torch\nimport cloudpickle": "cloudpickle",
    "import joblib\njoblib.load('m')": "joblib.load",
    "from joblib import load as get\nget('m')": "joblib.load",
    "import torch\ntorch.jit.load('m')": "torch.jit.load",
    "from torch import jit\njit.load('m')": "torch.jit.load",
    "import torch.export\ntorch.export.load('m')": "torch.export.load",
    "import torch\ntorch.load('m', weights_only=False)": "weights_only",
    "import torch\ntorch.load('m')": "weights_only",
    "import torch\nhow = True\ntorch.load('m', weights_only=how)": "weights_only",
    "from torch import load as restore\nrestore('m')": "weights_only",
    "reader(path, weights_only=False)": "weights_only",
    "import onnx\nonnx.load('m.onnx')": "onnx.load",
    "import pandas as pd\npd.read_pickle('t')": "pandas.read_pickle",
    "import numpy as np\nnp.load('a.npy', allow_pickle=True)": "allow_pickle",
    "eval('1')": "eval",
    "exec('1')": "exec",
    "import streamlit as st\nst.markdown(x, unsafe_allow_html=True)": "unsafe_allow_html",
    "import streamlit as st\nst.html(x, unsafe_allow_javascript=True)": "unsafe_allow_javascript",
    "import streamlit as st\nst.exception(error)": "streamlit.exception",
    "import streamlit as page\npage.exception(error)": "streamlit.exception",
    "from streamlit import exception\nexception(error)": "streamlit.exception",
    "left.exception(error)": "left.exception",
    "import logging\nlogging.exception('lost')": "logging.exception",
    "import streamlit as st\n@st.cache_resource\ndef f(): ...": "streamlit.cache_resource",
    "import subprocess\nsubprocess.run('ls', shell=True)": "shell",
    "import os\nos.system('ls')": "os.system",
    "import yaml\nyaml.load(text)": "yaml.load",
}
ALLOWED = (
    "import pickletools\nlist(pickletools.genops(b''))",
    "import torch\ntorch.load(file, map_location='cpu', weights_only=True)",
    "import onnx\nonnx.load_model_from_string(data)",
    "model.eval()",
    "import safetensors.torch\nsafetensors.torch.load(data)",
    "import json\njson.load(file)",
    "import re\nre.compile('a')",
    "future.exception()",
    "import subprocess\nsubprocess.run(['ls'], shell=False)",
)


def aliases(tree: ast.AST) -> dict[str, str]:
    """What each imported name stands for."""
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.split(".")[0]
                known[name] = alias.name if alias.asname else name
        elif isinstance(node, ast.ImportFrom) and node.module:
            known |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return known


def meant(node: ast.expr, known: dict[str, str]) -> str:
    """The full name of what an expression refers to, as far as imports tell."""
    first, _, rest = ast.unparse(node).partition(".")
    return ".".join(part for part in (known.get(first, first), rest) if part)


def findings(source: str) -> Iterator[str]:
    """Every banned form in a source, as ``line: name: why``."""
    tree = ast.parse(source)
    known = aliases(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            for name in names:
                if name.split(".")[0] in MODULES:
                    yield f"{node.lineno}: {name}: a pickle is a program"
        elif isinstance(node, ast.Call):
            yield from (f"{node.lineno}: {told}" for told in in_call(node, meant(node.func, known)))
        elif isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load):
            name = meant(node, known)
            if name in CALLS and "." in name:  # handed on or used as a decorator, which is a call too
                yield f"{node.lineno}: {name}: {CALLS[name]}"


def in_call(call: ast.Call, name: str) -> Iterator[str]:
    """What is wrong with one call of ``name``."""
    if name in CALLS:
        yield f"{name}: {CALLS[name]}"
    if name.endswith(".exception") and call.args:  # a column's, or a log's; a future's takes no argument
        yield f"{name}: tells what a cell says"
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords if keyword.arg}
    yield from (f"{key}: {why}" for key, why in KEYWORDS.items() if key in given)
    yield from (f"{key}: {why}" for key, why in WHEN_TRUE.items() if given.get(key, "False") != "False")
    otherwise = "left out" if name == "torch.load" else "True"  # an environment variable can turn the default
    if given.get("weights_only", otherwise) != "True":
        yield "weights_only: anything but True reads a pickle"


def shared_answers(source: str) -> Iterator[str]:
    """Functions whose cached answers could reach another session, or be taken for another table's.

    Streamlit looks at a sample of a large frame only and shares answers among all users, so a cached function
    takes no argument at all (public files), or keeps to its session, forgets, and is asked by text and
    numbers (owner, content hash, settings), with everything large behind an underscore.
    """
    tree = ast.parse(source)
    known = aliases(tree)
    for node in ast.walk(tree):
        for how in getattr(node, "decorator_list", []):
            called = how.func if isinstance(how, ast.Call) else how
            if meant(called, known) != "streamlit.cache_data":
                continue
            given = {k.arg: ast.unparse(k.value) for k in how.keywords} if isinstance(how, ast.Call) else {}
            asked = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            keys = [a for a in asked if not a.arg.startswith("_")]
            plain = all(a.annotation and ast.unparse(a.annotation) in PLAIN for a in keys)
            private = given.get("scope") == "'session'" and {"ttl", "max_entries"} <= set(given)
            hashed = {"owner", "content_hash"} <= {a.arg for a in keys}
            if asked and not (plain and private and hashed):
                yield f"{node.lineno}: {node.name}"


PLAIN = ("str", "int", "float", "bool")
SAFE_CACHE = """
import streamlit as st
@st.cache_data(scope="session", ttl=600, max_entries=4)
def f(owner: str, content_hash: str, cut: float, _frame: object) -> float: ...
@st.cache_data
def samples() -> list: ...
"""
UNSAFE_CACHES = (
    SAFE_CACHE.replace('scope="session", ', ""),
    SAFE_CACHE.replace("ttl=600, ", ""),
    SAFE_CACHE.replace("_frame", "frame"),
    SAFE_CACHE.replace("owner: str, ", ""),
    SAFE_CACHE.replace("content_hash: str, ", ""),
    SAFE_CACHE.replace("st.cache_data\n", "st.cache_data()\n").replace("samples()", "samples(path: str)"),
)


@pytest.mark.parametrize("path", sorted((REPO / "pages").rglob("*.py")), ids=lambda path: path.stem)
def test_no_answer_is_cached_for_somebody_else(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert list(shared_answers(text)) == []
    assert "cache_data" not in text or path.name == "cache.py"


def test_an_unsafe_cache_is_found() -> None:
    assert list(shared_answers(SAFE_CACHE)) == []
    for unsafe in UNSAFE_CACHES:
        assert len(list(shared_answers(unsafe))) == 1, unsafe


# It loads what can run code, which is its purpose: users run it on their own machine on a model of their own,
# and are told so. The product prints it and never runs it.
CONVERTER = "convert.py.txt"


def sources() -> list[Path]:
    inside = (*(REPO / "medprune").rglob("*.py"), *(REPO / "pages").rglob("*.py"))
    written = (REPO / "medprune").rglob("*.py.txt")  # programs that go out with a bundle
    ours = [path for path in written if path.name != CONVERTER]
    return [REPO / "app.py", *sorted(inside), *sorted(ours)]


def test_there_are_sources_to_look_at() -> None:
    assert len(sources()) > 80


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(REPO)))
def test_nothing_in_the_product_is_banned(path: Path) -> None:
    text = re.sub("@[A-Z_]+@", "None", path.read_text(encoding="utf-8"))  # what a template leaves open
    assert list(findings(text)) == []


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.stem)
def test_every_download_goes_through_the_one_helper(path: Path) -> None:
    """guide.download names files so that no two share an address."""
    calls = path.read_text(encoding="utf-8").count("download_button(")
    assert calls == (1 if path.name == "guide.py" else 0)


MARKUP = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc")
SCRIPTS = sorted((REPO / "pages").rglob("*.js"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_no_script_of_a_page_makes_markup_of_text(path: Path) -> None:
    assert not MARKUP.search(path.read_text(encoding="utf-8"))


def test_the_scripts_are_looked_at() -> None:
    assert len(SCRIPTS) >= 5
    assert MARKUP.search("element.innerHTML = name;")


@pytest.mark.parametrize(("snippet", "name"), BANNED.items())
def test_each_banned_form_is_found(snippet: str, name: str) -> None:
    found = list(findings(snippet))
    assert any(f": {name}" in each for each in found), found


@pytest.mark.parametrize("snippet", ALLOWED)
def test_what_is_harmless_is_left_alone(snippet: str) -> None:
    assert list(findings(snippet)) == []
