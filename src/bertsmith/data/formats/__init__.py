"""One file per family of formats; a format registers itself under the name that `read(format=...)` takes."""
