"""`list`: models and posteriors that ship."""

from bayes_atlas.cli.arguments import AsJson
from bayes_atlas.cli.console import new_table, out, print_json

PANEL = "Posteriors"


def list_(as_json: AsJson = False) -> None:
    """List the models and posteriors that ship.

    Example: `bayes-atlas list`
    """
    from bayes_atlas.catalogue import model_names, posterior_names, read_model
    from bayes_atlas.folder.info import read_info

    models = {name: read_model(name).title for name in model_names()}
    posteriors = {name: read_info(name) for name in posterior_names()}
    if as_json:
        titles = {name: {"title": info.title, "languages": info.languages} for name, info in posteriors.items()}
        print_json({"models": models, "posteriors": titles})
        return
    table = new_table("model", "title")
    for name, summary in models.items():
        table.add_row(name, summary)
    out.print(table)
    table = new_table("posterior", "title", "languages")
    for name, info in posteriors.items():
        few = info.languages if len(info.languages) <= 4 else [*info.languages[:3], f".. {len(info.languages)} in all"]
        table.add_row(name, info.title, ", ".join(few))
    out.print(table)
