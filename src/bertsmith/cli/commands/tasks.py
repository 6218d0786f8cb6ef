"""`bertsmith tasks`: what a model can be fine-tuned for."""

from bertsmith.cli.options import AsJson, Name

EXAMPLE = "  bertsmith tasks pair"


def tasks(name: Name = None, as_json: AsJson = False) -> None:
    """List tasks to fine-tune for, or show all about one."""
    from bertsmith.cli.catalogue import show
    from bertsmith.tasks import tasks as registry

    show(registry, name, as_json=as_json)
