"""Where the weights of a trunk or an adapter come from."""

from __future__ import annotations

from typing import Any

from transfer.errors import TransferError
from transfer.numbers import seen

RECORD = {
    **{"trunk": str, "datasets": list, "content_hash": str, "training": dict, "inherited": list},
    **{"seed": int, "start": str},
}


def checked_record(record: Any) -> dict[str, Any]:
    """A record whose known entries have their types; others are its owner's."""
    if not isinstance(record, dict):
        raise TransferError(f"record is {seen(record)}; names with values are needed.")
    for key, kind in RECORD.items():
        if key in record and (type(record[key]) is not kind):
            raise TransferError(f"record.{key} is {seen(record[key])}; a {kind.__name__} is needed.")
    return dict(record)
