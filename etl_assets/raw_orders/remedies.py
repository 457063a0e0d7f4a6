"""Remedies that differ by the way a file or source comes in: options of a command, inbox, web page, `sources.yaml`.

One place for the wordings of each. A remedy that is the same everywhere is a plain text where the error is raised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

Entry = Literal["command", "inbox", "page", "source"]


class Remedy(str):
    """Remedy with a wording for each entry; as a text, that of the commands."""

    __slots__ = ("inbox", "page", "source")
    inbox: str
    page: str
    source: str

    @classmethod
    def worded(cls, *, command: str, inbox: str, page: str, source: str) -> Remedy:
        """Return the remedy with these wordings."""
        remedy = cls(command)
        remedy.inbox, remedy.page, remedy.source = inbox, page, source
        return remedy


def worded(remedy: str, entry: Entry) -> str:
    """Return the wording of a remedy for an entry; a plain text as it is."""
    if entry == "command" or not isinstance(remedy, Remedy):
        return str(remedy)
    return {"inbox": remedy.inbox, "page": remedy.page, "source": remedy.source}[entry]


NAME_THE_SHOP: Final = Remedy.worded(
    command="Name the shop with --shop or in the mapping",
    inbox="Put a file shop.txt beside it that holds the name of the shop in one line, or name the shop in mapping.yaml",
    page="Name the shop under “Change how it is read”",
    source="Name the shop under columns of the mapping, such as shop: {constant: North Stitch}",
)

REPLAY_THE_FILE: Final = Remedy.worded(
    command="Correct its rows and pass it to `etl-assets quarantine replay --file`",
    inbox="Correct its rows and replay it, with the job replay_quarantine or `etl-assets quarantine replay`",
    page="Correct its rows and upload it on the page of bad rows",
    source="Leave its rows out",
)


def describe_format(presets: Iterable[str]) -> Remedy:
    """Return the remedy for headers that fit no preset; `presets` are the names there are."""
    return Remedy.worded(
        command=f"Name one with --preset ({', '.join(presets)}),"
        " or draft a mapping with `etl-assets presets draft` for --mapping",
        inbox="Describe the columns in a file mapping.yaml beside it, or draft one with `etl-assets presets draft`",
        page="Choose the format under “Change how it is read”; add one that is not listed as a preset first",
        source="Describe the columns in the mapping of the source",
    )


def choose_mapping(preset: str) -> Remedy:
    """Return the remedy for a file that lacks a column which the `preset` needs."""
    return Remedy.worded(
        command=f"Choose another preset than {preset!r}, or name the column in a mapping (order_id: HEADER)",
        inbox=f"Name the column in mapping.yaml beside it, or put it where {preset!r} does not apply",
        page=f"Choose another format than {preset!r} under “Change how it is read”",
        source=f"Name the column in the mapping of the source ({preset!r})",
    )


def name_date_order(preset: str) -> Remedy:
    """Return the remedy for dates that a file leaves undecided."""
    keep = (
        f"Put date_order: day (or month) into the output of `etl-assets presets show {preset}`, keep it with"
        " `etl-assets presets add FILE --replace`"
    )
    return Remedy.worded(
        command="Name it with --day-first or --month-first, or as date_order in the mapping",
        inbox=f"{keep}, and move the file back; or write date_order into mapping.yaml",
        page="Choose it under “Change how it is read”",
        source="Name it as date_order in the mapping of the source",
    )
