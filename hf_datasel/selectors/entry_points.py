"""What installed packages declare in the entry-point group `hf_datasel.selectors`; nothing of theirs is imported here.

A package's pyproject.toml says

    [project.entry-points."hf_datasel.selectors"]
    variability = "hf_datasel_variability:VariabilitySelector"

and the `Selector` of that name can be used wherever a built-in one can (`registry.get_selector`).
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

GROUP = "hf_datasel.selectors"


def declared() -> list[EntryPoint]:
    """The entry points of the group, by name and then by package."""
    return sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, describe_package(entry)))


def describe_package(entry: EntryPoint) -> str:
    """Name and version of the package that declares it."""
    return " ".join(package_of(entry).values())


def package_of(entry: EntryPoint) -> dict[str, str]:
    """Name and version of the package that declares it."""
    assert entry.dist is not None  # what `entry_points` finds belongs to a distribution
    return {"name": entry.dist.name, "version": entry.dist.version}


def package_note(selector: type) -> dict[str, dict[str, str]]:
    """What the provenance says of the package that a selector class comes from; nothing where it is not declared."""
    root = selector.__module__.partition(".")[0]
    if root == __name__.partition(".")[0]:
        return {}
    name = getattr(selector, "name", None)
    found = [entry for entry in declared() if entry.name == name and entry.module.partition(".")[0] == root]
    return {"package": package_of(found[0])} if found else {}
