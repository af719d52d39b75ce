"""Parameters cells and params files: what fits is read, what does not is refused with a way out."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.workspaces import DEMO, KNOBS, RESERVED, notebook, write_notebook, write_params
from hypothesis import given
from hypothesis import strategies as st

from eefcore.errors import ParamsError
from eefcore.runs.notebook import Parameter, read_notebook, read_notebooks
from eefcore.runs.params import read_params
from eefcore.variables import expand_variables


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, parameters in KNOBS.items():
        write_notebook(tmp_path, name, parameters=parameters)
    (tmp_path / "params").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(folder: Path, text: str):
    return read_params(write_params(folder, text), read_notebooks(folder / "notebooks"))


# ---------------------------------------------------------------------------------- parameters cells


def declared(tmp_path: Path, cell: str) -> dict[str, Parameter]:
    import nbformat

    nbformat.write(notebook(parameters=cell), tmp_path / "01_x.ipynb")
    return dict(read_notebook(tmp_path / "01_x.ipynb").parameters)


def test_a_line_is_the_whole_declaration(tmp_path):
    assert declared(tmp_path, "tasks: int = 40  # tasks tried\nrate: float = 1  # at # its peak") == {
        "tasks": Parameter("tasks", "int", 40, "tasks tried"),
        "rate": Parameter("rate", "float", 1.0, "at # its peak"),
    }


def test_parameters_are_read_as_papermill_reads_them(tmp_path):
    import papermill

    ours = declared(tmp_path, RESERVED + "".join(f"{p}\n" for p in KNOBS.values()))
    theirs = papermill.inspect_notebook(str(tmp_path / "01_x.ipynb"))
    assert list(ours) == list(theirs)
    assert [(p.type, p.help) for p in ours.values()] == [
        (p["inferred_type_name"], p["help"]) for p in theirs.values()
    ]


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("tasks = 4  # no type", "write one `name: type = default  # help` a line"),
        ("tasks: int  # no default", "write one"),
        ("import os", "write one"),
        ("tasks: list = []  # of them", "type list is none of int, float, str, bool"),
        ("tasks: int = 4", "ends in a comment of help"),
        ("tasks: str = (\n'a'  # wrapped\n)", "one line"),
        ("tasks: int = 4.0  # whole", "default must be int, got float 4.0"),
        ("tasks: int = 2 * 2  # sum", "default"),
        ("tasks: str = 'a=b'  # text", "second `=`"),
        ("tasks: int = 4  # M = 4", "second `=`"),
        ("tasks: int = = 4", "line 1: invalid syntax"),
    ],
)
def test_what_papermill_would_lose_is_an_error(tmp_path, cell, says):
    with pytest.raises(ParamsError) as error:
        declared(tmp_path, cell)
    assert says in str(error.value) and "01_x.ipynb" in str(error.value)


@pytest.mark.parametrize(
    ("help", "allowed", "refused"),
    [
        ("a rate (> 0, ≤ 1)", (1, 1e-9, 0.5), (0, -1e-9, 1.1, float("nan"), float("inf"), 10**400)),
        ("a share (0 to 1)", (0, 1, 0.5), (-0.1, 1.1, float("nan"))),
        ("a count (≥ 1)", (1, 1e15), (0, -1, 2**60, float("inf"))),
        ("below (< 2.5)", (2.4, -9), (2.5, 3)),
        ("no range (as in the paper)", (-1, 0, 1), (float("nan"), -float("inf"), 1e300)),
    ],
)
def test_a_number_is_held_against_the_range_that_ends_its_help(help, allowed, refused):
    parameter = Parameter("x", "float", 1.0, help)
    assert [parameter.read(value) for value in allowed] == [float(value) for value in allowed]
    for value in refused:
        with pytest.raises(ValueError, match=r"must be (a number of at most|[<>≥≤0])"):
            parameter.read(value)


def test_a_choice_is_held_against_its_names_and_open_to_functions_where_it_says_so():
    closed = Parameter("x", "str", "all", "what to clone (one of positive, all or none)")
    order = Parameter("x", "str", "all", "what is preferred (one of first, last or my_module:order)")
    assert [closed.read(name) for name in ("positive", "all", "none")] == ["positive", "all", "none"]
    assert [order.read(name) for name in ("first", "last", "mine.own:f")] == ["first", "last", "mine.own:f"]
    with pytest.raises(ValueError) as error:
        closed.read("positiv")
    assert str(error.value) == "must be one of positive, all or none; did you mean 'positive'? Got 'positiv'"
    for parameter, value in ((closed, "mine:f"), (closed, ""), (order, "my_module"), (closed, "none\0")):
        with pytest.raises(ValueError, match="must be"):
            parameter.read(value)


def test_a_parameter_without_a_value_is_none_and_never_an_empty_text(tmp_path):
    parameters = declared(
        tmp_path, "file: str = None  # file to read; None plays\nlabel: str = ''  # filled in"
    )
    assert [p.default for p in parameters.values()] == [None, ""]
    assert parameters["file"].read(None) is None
    with pytest.raises(ValueError, match="must be text or None, got ''; write null, or leave it out"):
        parameters["file"].read("")


@pytest.mark.parametrize("brackets", ["(> x)", "(≥1)", "(>= 1)", "(> 0 and ≤ 1)"])
def test_brackets_that_begin_like_a_range_and_are_none_are_an_error(tmp_path, brackets):
    with pytest.raises(ParamsError, match=r"is no range; write|second `=`"):
        declared(tmp_path, f"rate: float = 1.0  # peak {brackets}")


def test_a_folder_without_notebooks_is_no_workspace(tmp_path):
    with pytest.raises(ParamsError, match="is this the notebooks folder"):
        read_notebooks(tmp_path)


@pytest.mark.parametrize("content", ["", "{}", "[1]", "not json"])
def test_a_file_that_is_no_notebook(tmp_path, content):
    (tmp_path / "01_x.ipynb").write_text(content)
    with pytest.raises(ParamsError, match="not a notebook"):
        read_notebook(tmp_path / "01_x.ipynb")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_that_yaml_reads_as_text_is_refused_with_how_to_write_it(x):
    import yaml

    parameter = Parameter("rate", "float", 0.0, "help")
    for text in (repr(x), f"{x:.17e}", f"{x:.17g}"):
        if isinstance(yaml.safe_load(text), str):
            with pytest.raises(TypeError) as error:
                parameter.read(text)
            instead = str(error.value).rpartition("write ")[2]
            assert yaml.safe_load(instead) == x


# ---------------------------------------------------------------------------------- params files


def test_the_nearest_entry_wins(folder):
    params = read(
        folder,
        """
        run: demo
        shared: {seed: 3}
        stages: {explore: {samples: 2, M: 2}, train: {learning_rate: 1}}
        methods: {EEF: {iterations: 2, explore: {M: 5}}, plain: {iterations: 1}}
        """,
    )
    notebooks = read_notebooks(folder / "notebooks")
    eef, plain = params.methods
    assert params.values(notebooks["explore"], eef) == {"samples": 2, "M": 5, "seed": 3}
    assert params.values(notebooks["explore"], plain)["M"] == 2
    assert params.values(notebooks["explore"], None)["M"] == 2
    rate = params.values(notebooks["train"], eef)["learning_rate"]
    assert rate == 1.0 and type(rate) is float
    assert (params.run, eef.iterations, eef.name) == ("demo", 2, "EEF")


METHODS = "methods: {EEF: {iterations: 1}}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            f"run: a\nstage: {{}}\n{METHODS}",
            "key 'stage' is unknown; did you mean 'stages'? Allowed: run, shared",
        ),
        (
            f"run: a\nstages: {{explor: {{}}}}\n{METHODS}",
            "stages: notebook 'explor' is unknown; did you mean 'explore'?",
        ),
        (f"run: a\nstages: {{base: {{}}}}\n{METHODS}", "notebook 'base' is unknown. Allowed: expert, select"),
        (
            f"run: a\nstages: {{explore: {{sampels: 2}}}}\n{METHODS}",
            "05_explore's parameter 'sampels' is unknown; did you mean 'samples'? Allowed: samples, M, seed",
        ),
        (f"run: a\nstages: {{explore: {{run: b}}}}\n{METHODS}", "parameter 'run' is unknown"),
        (f"run: a\nstages: {{select: {{iteration: 2}}}}\n{METHODS}", "parameter 'iteration' is unknown"),
        (f"run: a\nstages: {{select: {{version: 2}}}}\n{METHODS}", "parameter 'version' is unknown"),
        (
            f"run: a\nshared: {{sed: 2}}\n{METHODS}",
            "shared: a parameter of no stage, 'sed' is unknown; did you mean 'seed'?",
        ),
        (f"run: a\nshared: {{seed: x}}\n{METHODS}", "shared.seed: must be int, got str 'x' (of every draw)"),
        (
            f"run: a\nstages: {{train: {{learning_rate: 5e-5}}}}\n{METHODS}",
            "stages.train.learning_rate: must be float, got str '5e-5'; write 5.0e-5 (peak)",
        ),
        (
            f"run: a\nstages: {{explore: {{M: 1.5}}}}\n{METHODS}",
            "stages.explore.M: must be int, got float 1.5",
        ),
        (
            f"run: a\nstages: {{explore: {{M: true}}}}\n{METHODS}",
            "stages.explore.M: must be int, got bool True",
        ),
        (
            f"run: a\nstages: {{explore: {{M: }}}}\n{METHODS}",
            "stages.explore.M: must be int, got NoneType None",
        ),
        (f"run: a\nstages: {{evaluate: {{greedy: 1}}}}\n{METHODS}", "greedy: must be bool, got int 1"),
        (
            f"run: a\nstages: {{report: {{title: 7}}}}\n{METHODS}",
            'title: must be str, got int 7; write "7" in quotes',
        ),
        (f"run: a\nstages: [explore]\n{METHODS}", "stages: must be a mapping, got list"),
        (f"run: a\nstages: {{explore: 5}}\n{METHODS}", "stages.explore: must be a mapping, got int 5"),
        ("run: a", "methods: must name at least one"),
        (
            "run: a\nmethods: {EEF: {}}",
            "methods.EEF.iterations: must be a whole number from 1 to 100, since each iteration",
        ),
        ("run: a\nmethods: {EEF: {iterations: 0}}", "(the papers have 6 at most); got 0"),
        ("run: a\nmethods: {EEF: {iterations: 100000}}", "from 1 to 100"),
        ("suite: s\nruns: {a: methods}\nseeds: [0]", "is a suite of params files; run it with `eef suite "),
        ("run: a\nmethods: {EEF: {iterations: true}}", "at most); got True"),
        (
            "run: a\nmethods: {EEF: {iteration: 2}}",
            "methods.EEF: key 'iteration' is unknown; did you mean 'iterations'?",
        ),
        (
            "run: a\nmethods: {EEF: {iterations: 2, explore: {m: 5}}}",
            "methods.EEF: 05_explore's parameter 'm' is unknown",
        ),
        (
            "run: a/b\nmethods: {EEF: {iterations: 2}}",
            "run 'a/b' has a slash: only a suite puts runs into a folder",
        ),
        (
            "run: Published\nmethods: {EEF: {iterations: 2}}",
            "run 'Published' is the folder of published reports",
        ),
        ("run: a\nmethods: {a/b: {iterations: 2}}", "text without '/', of 1 to 100 characters, got 'a/b'"),
        (
            "run: a\nmethods: {6: {iterations: 2}}",
            "a method's name is printable text without '/', of 1 to 100 characters, got 6",
        ),
        (f"run: a\nmethods: {{{'m' * 101}: {{iterations: 2}}}}", f"got '{'m' * 47}...{'m' * 48}'"),
        (
            'run: a\nmethods: {"\\uD800": {iterations: 2}}',
            r"printable text without '/', of 1 to 100 characters, got '\ud800'",
        ),
        ('run: a\nmethods: {"\\u202E": {iterations: 2}}', r"of 1 to 100 characters, got '\u202e'"),
        ('run: a\nstages: {"\\uD800": {}}\n' + METHODS, r"notebook '\ud800' is unknown"),
        (METHODS, "run: "),
        (f"run: ../a\n{METHODS}", "run '../a' has a slash"),
        (f"run: 5\n{METHODS}", "run: must be the name of the run, as in `run: my_run`, got 5"),
        (f"run: a\nrun: b\n{METHODS}", "given twice: 'run'"),
        (f"run: a\nstages: {{train: {{epochs: 1, epochs: 2}}}}\n{METHODS}", "given twice: 'epochs'"),
        ("- a", "must be a mapping of keys, got list"),
        ("", "must be a mapping of keys, got NoneType"),
        (
            f"run: a\nstages: {{train: {{{'k' * 1001}: 1}}}}\n{METHODS}",
            "at most 1,000 characters, got 1,001: 'kkk",
        ),
        (f"run: a\nshared: {{seed: {'/'.join('a' * 600)}}}\n{METHODS}", "got 1,199: 'a/a/a"),
        (
            f"run: a\nstages: {{expert: {{data: b/{'é' * 128}/c}}}}\n{METHODS}",
            "at most 255 bytes between two slashes",
        ),
        (
            f'run: a\nstages: {{expert: {{data: "{"x" * 253}\\uD800"}}}}\n{METHODS}',
            "longest name of a file, got 256",
        ),
        (f"run: a\nmethods:\n  ? {'m' * 4000}\n  : {{iterations: 2}}", "line 3, column 5"),
        ("{" + "x: 1, " * 2_000 + "run: a}", "given twice: 'x'"),
        ('run: a\n"\\uD800": 1\n"\\uD800": 2', r"given twice: '\ud800'"),
        ("run: [", "can't be read"),
        ("run: 2001-99-99", "can't be read"),
        ("run: !!bool maybe", "can't be read"),
        ("run: !!timestamp never", "can't be read"),
        ("run: " + "[" * 5000, "can't be read"),
        ("run: " + "1" * 5000, "can't be read"),
        (f"run: 0x{'f' * 5000}", "got a number of thousands of digits"),
        ("run: &a [*a]", "must be the name of the run"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nrun: [*c, *c]", "key 'a' is unknown"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_before_anything_starts(folder, text, says):
    with pytest.raises(ParamsError) as error:
        read(folder, text)
    assert says in str(error.value)
    assert "demo.yaml" in str(error.value) and len(str(error.value).encode()) < 3000


@pytest.mark.parametrize("text", ["a" * 255, "/".join(["b" * 249] * 4), "é" * 127, "x y " * 60])
def test_text_of_the_longest_names_is_read(folder, text):
    params = read(folder, f"run: a\nstages: {{expert: {{data: '{text}'}}}}\n{METHODS}")
    assert params.stages["expert"]["data"] == text


def test_a_number_of_thousands_of_digits_is_advised_in_few_words(folder):
    with pytest.raises(ParamsError) as error:
        read(folder, f"run: a\nstages: {{report: {{title: {'7' * 4000}}}}}\n{METHODS}")
    assert "must be" in str(error.value) and len(str(error.value)) < 3000


def test_a_parameter_that_is_read_as_yaml_takes_a_mapping(tmp_path):
    yaml = Parameter("args", "str", "", "arguments in YAML, such as a: 1")
    assert yaml.read({"b": False, "a": 1}) == '{"a": 1, "b": false}'
    assert yaml.read("a: 1") == "a: 1"
    with pytest.raises(TypeError, match="must be str, got dict"):
        yaml._replace(help="a model, not a mapping").read({"a": 1})


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_that_is_not_there_or_not_text(folder, content):
    path = folder / "params" / "gone.yaml"
    if content:
        path.write_bytes(content)
    with pytest.raises(ParamsError, match=r"gone.yaml: can't be read"):
        read_params(path, read_notebooks(folder / "notebooks"))


def test_a_stage_must_declare_what_the_pipeline_fills(folder):
    import nbformat

    nbformat.write(
        notebook(parameters="iteration: int = 1  # of the method"), folder / "notebooks" / "03_select.ipynb"
    )
    with pytest.raises(ParamsError, match=r"03_select.ipynb: .* must declare inputs, label, run"):
        read(folder, DEMO)


def test_a_missing_notebook_is_named(folder):
    (folder / "notebooks" / "06_evaluate.ipynb").unlink()
    with pytest.raises(ParamsError, match=r"evaluate: there is no such notebook; there are expert, select"):
        read(folder, DEMO)


def test_environment_variables_are_checked_now_and_expanded_later(folder, monkeypatch):
    text = "run: a\nstages: {expert: {data: '${EEF_TEST_DATA}/x'}}\n" + METHODS
    monkeypatch.delenv("EEF_TEST_DATA", raising=False)
    with pytest.raises(
        ParamsError, match=r"data: set the environment variable EEF_TEST_DATA first: folder of the data"
    ):
        read(folder, text)
    monkeypatch.setenv("EEF_TEST_DATA", "/there")
    params = read(folder, text)
    value = params.values(read_notebooks(folder / "notebooks")["expert"], params.methods[0])["data"]
    assert value == "${EEF_TEST_DATA}/x"
    assert expand_variables(value) == "/there/x"
    assert expand_variables(3) == 3
