"""`bertsmith objectives`: what a model can be pre-trained on."""

from bertsmith.cli.options import AsJson, Name

EXAMPLE = "  bertsmith objectives mlm"


def objectives(name: Name = None, as_json: AsJson = False) -> None:
    """List pre-training objectives, or show all about one."""
    from bertsmith.cli.catalogue import show
    from bertsmith.objectives import objectives as registry

    show(registry, name, as_json=as_json)
