"""The shape of the house: few modules at the root, no long lists of arguments."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_ARGUMENTS = 10
MOST_AT_THE_ROOT = 6


def arguments_of(function):
    """Names of a function's arguments but for self and cls; those behind an `Unpack` count as one."""
    spelled = (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)
    return [argument.arg for argument in spelled if argument.arg not in ("self", "cls")]


def test_no_function_takes_a_long_list_of_arguments():
    long = {}
    for path in [*(ROOT / "bayes_atlas").rglob("*.py"), *(ROOT / "models").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and len(names := arguments_of(node)) > MOST_ARGUMENTS:
                long[f"{path.relative_to(ROOT)}:{node.name}"] = len(names)
    assert long == {}


def test_the_root_of_the_package_holds_few_modules():
    modules = sorted(path.name for path in (ROOT / "bayes_atlas").glob("*.py"))
    assert len(modules) <= MOST_AT_THE_ROOT, modules
