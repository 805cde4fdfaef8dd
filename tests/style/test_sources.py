import ast
import re
import subprocess

import pytest
import yaml
from source_tree import ROOT, modules, tracked_texts

LONGEST_FILE_LINES = 400
# Written in parts, so that this file does not hold what it looks for.
UNFINISHED = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b")
MACHINE_PATHS = re.compile(r"(?<![\w.$}])/(work|root|home|Users)/\w")
TEMPORARY_PATH = re.compile(r"(?<![\w.$}])/" + "tmp" + r"\b")
REGISTRIES = re.compile(
    "|".join(
        re.escape(".".join(labels))
        for labels in (
            ("pypi", "org"),
            ("pythonhosted", "org"),
            ("maven", "org"),
            ("maven", "apache", "org"),
            ("debian", "org"),
            ("ubuntu", "com"),
            ("npmjs", "org"),
            ("npmjs", "com"),
            ("golang", "org"),
            ("crates", "io"),
            ("docker", "io"),
            ("docker", "com"),
            ("ghcr", "io"),
            ("quay", "io"),
        )
    )
)
FORMS_OF_OTHERS = {"LICENSE"}


def found(pattern: re.Pattern[str], *, but: tuple[str, ...] = ()) -> list[str]:
    """Return file, line number and line of every place in a tracked text that a pattern matches."""
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in tracked_texts().items()
        if name not in FORMS_OF_OTHERS and not name.startswith(but)
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_file_is_too_long_to_be_read_at_once():
    """A module of the program has at most 400 lines."""
    lengths = {module.path: module.text.count("\n") for module in modules("streams")}
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST_FILE_LINES} == {}


def test_nothing_is_left_unfinished():
    """No tracked file holds a mark of work put off."""
    assert found(UNFINISHED, but=("requirements/",)) == []


def test_no_path_of_a_machine_is_written_down():
    """No tracked file names a folder of a machine, nor, outside an image, one for what is temporary."""
    assert found(MACHINE_PATHS) == []
    assert (
        found(
            TEMPORARY_PATH,
            but=("deploy/Dockerfile", "deploy/compose.yaml", "deploy/kubernetes/", "tools/kubernetes.py"),
        )
        == []
    )


def test_no_registry_is_named():
    """No tracked file names the host of a package or image registry: clients bring their own settings."""
    assert found(REGISTRIES) == []


def test_the_patterns_find_what_they_are_for():
    """Each pattern matches a planted example and lets its near miss pass."""
    assert UNFINISHED.search("# TO" + "DO: later")
    assert not UNFINISHED.search("todo = sorted(touched)")
    assert MACHINE_PATHS.search("see /" + "work/main")
    assert not MACHINE_PATHS.search("docs/work/main")
    assert TEMPORARY_PATH.search("open('/" + "tmp/x')")
    assert REGISTRIES.search("https://" + "pypi" + ".org/simple")


def test_only_the_command_line_prints():
    """No module prints but those of the command line, and those that are run as programs themselves."""
    programs = {module for module in modules("streams") if 'if __name__ == "__main__":' in module.text}
    printing = [
        f"{module.path}:{line}"
        for module in modules("streams")
        if module.room != "cli" and module not in programs
        for line, name in module.calls()
        if name in {"print", "sys.stdout.write"}
    ]
    assert printing == []


def printed_as_markup(tree: ast.Module) -> list[str]:
    """Return every place in a module where a string could be read as Rich markup."""
    places = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            markup = [ast.literal_eval(word.value) for word in node.keywords if word.arg == "markup"]
            if name in {"Console", "TextColumn"} and markup != [False]:
                places.append(f"{node.lineno}: {name} without markup=False")
            if name == "print" and markup not in ([], [False]):
                places.append(f"{node.lineno}: markup is turned on")
            if name == "from_markup" or (
                name == "status" and node.args and isinstance(node.args[0], ast.Name)
            ):
                places.append(f"{node.lineno}: {name} of data")
        elif isinstance(node, ast.Constant) and re.search(r"\[/[a-z]*\]", str(node.value)):
            places.append(f"{node.lineno}: {node.value!r} is markup")
    return places


def test_no_file_prints_data_as_markup():
    """Every console and column takes strings as data, and no string of the program is markup."""
    assert {m.path: found for m in modules("streams") if (found := printed_as_markup(m.tree))} == {}


@pytest.mark.parametrize(
    "planted",
    [
        "Console().print(name)",
        "Progress(TextColumn('{task.description}'))",
        "Text.from_markup(name)",
        "say(f'[red]{name}[/]')",
        "notes.print(name, markup=True)",
        "notes.status(name)",
    ],
)
def test_data_printed_as_markup_is_found(planted):
    """Each way to print data as markup is found where it is planted."""
    assert printed_as_markup(ast.parse(planted))


def test_every_test_states_its_property():
    """Each test's docstring is one sentence, with a full stop."""
    wrong = []
    for module in modules("tests"):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                stated = " ".join((ast.get_docstring(node) or "").split())
                if not stated.endswith(".") or re.search(r"[.!?] [A-Z]", stated):
                    wrong.append(f"{module.path}:{node.lineno}: {stated or 'no docstring'}")
    assert wrong == []


def test_every_module_says_what_it_is_for():
    """Each module of the program begins with a docstring that says more than its name."""
    silent = [m.path for m in modules("streams") if len((ast.get_docstring(m.tree) or "").split()) < 3]
    assert silent == []


def test_scripts_can_be_run():
    """What the continuous integration runs is executable and calls the recipe that people run."""
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert re.search(r"^make test$", script.read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize(
    ("recipe", "runs"),
    [
        ("install", "requirements/dev.txt"),
        ("demo ONCE=1", "portallink demo --once"),
        ("test", "pytest"),
        ("check", "not kafka"),
        ("bench ARGS=--json", "portallink bench --json"),
        ("clean", "rm -rf .venv"),
    ],
)
def test_every_promised_recipe_is_there(recipe, runs):
    """Each recipe of the Makefile, had nothing been installed, would run what it promises."""
    shown = subprocess.run(
        ["make", "--dry-run", "--always-make", *recipe.split()],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert runs in shown.stdout


def test_every_ignored_rule_has_its_reason():
    """Each `noqa` and `type: ignore` says why on its line, or stands within four lines below a comment."""
    mark = re.compile(r"#\s*(noqa:[\sA-Z0-9,]+|type:\s*ignore\[[\w,\s-]+\])\s*(?P<why>.*)$")
    bare = []
    for folder in ("streams", "lab", "tools", "tests"):
        for module in modules(folder):
            lines = module.text.splitlines()
            for number, line in enumerate(lines):
                found = mark.search(line)
                above = lines[max(0, number - 4) : number]
                if found and not found["why"] and not any("# " in one for one in above):
                    bare.append(f"{module.path}:{number + 1}")
    assert bare == []


def twice_in(node: yaml.Node | None) -> list[str]:
    """Return the place of each key that a mapping below a node has twice; of two, YAML keeps the last."""
    found, waiting = [], [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, yaml.MappingNode):
            keys = [key.value for key, _ in one.value if isinstance(key.value, str)]
            found += [
                f"line {key.start_mark.line + 1}: {key.value}"
                for key, _ in one.value
                if keys.count(key.value) > 1
            ]
            waiting += [value for _, value in one.value]
        elif isinstance(one, yaml.SequenceNode):
            waiting += one.value
    return found


def test_no_key_stands_twice():
    """No mapping in a tracked YAML file has a key twice."""
    assert twice_in(yaml.compose("a: 1\nb:\n- {c: 1, c: 2}")) == ["line 3: c", "line 3: c"]
    texts = {name: text for name, text in tracked_texts().items() if name.endswith((".yaml", ".yml"))}
    found = {
        name: [at for one in yaml.compose_all(text) for at in twice_in(one)] for name, text in texts.items()
    }
    assert len(found) > 20
    assert {name: twice for name, twice in found.items() if twice} == {}
