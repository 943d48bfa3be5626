"""`kpasim schema`: the JSON schema of kpasim's files."""

import json

import click


@click.command(epilog="\b\nTry: kpasim schema experiment > experiment.schema.json")
@click.argument("kind", type=click.Choice(["experiment", "sweep", "model"]), default="experiment")
def command(kind: str) -> None:
    """Print the JSON schema of an experiment, sweep or model file.

    Editors check files against it and show what each key means. A first line such as
    `# yaml-language-server: $schema=experiment.schema.json` connects a file with it.
    """
    from kpasim.spec.schema import schema

    click.echo(json.dumps(schema(kind), indent=2, ensure_ascii=False))
