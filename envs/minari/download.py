"""Downloading datasets from Minari's remote, with a quick error if it cannot be reached."""

import contextlib
import io
import logging
import os
import shutil
import socket
import threading
import urllib.request
import warnings
from collections.abc import Sequence
from urllib.parse import urlsplit

from transfer.envs.dataset_ids import bundled_name, check_known, closest_bundled, command_for, data_path
from transfer.errors import TransferError

logger = logging.getLogger(__name__)
_TIMEOUT = 1.0  # seconds; Minari itself retries for about 23


def fetch(missing: Sequence[str]) -> None:
    """Downloads datasets that are not on this machine.

    Args:
        missing: Minari ids.

    Raises:
        TransferError: an unknown id, a bundled dataset that was not made yet, an unreachable remote, or a failed
            download.
    """
    check_known(missing)
    bundled = [one for one in missing if one.startswith("bundled/")]
    if bundled:
        name = bundled_name(bundled)
        raise TransferError(f"{_named(bundled)} not made yet. Make it: transfer data make {name}")
    if not remote_reachable():
        raise TransferError(
            f"{_named(missing)} not on this machine, and {_remote_host()} cannot be reached. {_advice(missing)}"
        )
    for dataset_id in missing:
        _download(dataset_id, missing)


def _download(dataset_id: str, missing: Sequence[str]) -> None:
    """Downloads one dataset. Its output goes to the log, and a failed download leaves no folder."""
    folder = data_path(dataset_id).parent
    existed = folder.exists()
    printed, whole = io.StringIO(), False
    try:
        import minari

        logger.info("downloading %s to %s", dataset_id, folder)
        with contextlib.redirect_stdout(printed), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # An incomplete folder would make Minari skip the download.
            minari.download_dataset(dataset_id, force_download=existed)
        whole = True
    except Exception as error:
        raise TransferError(
            f"dataset '{dataset_id}' could not be downloaded: {type(error).__name__}: {error}. {_advice(missing)}"
        ) from error
    finally:
        logger.debug("minari: %s", printed.getvalue().strip())
        if not whole and not existed:
            shutil.rmtree(folder, ignore_errors=True)


def remote_reachable() -> bool:
    """Whether a connection to Minari's remote, or to the proxy in front of it, opens within about a second."""
    if os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "TRUE", "YES", "ON"):
        return False
    proxy = urlsplit(urllib.request.getproxies().get("https", ""))
    host, port = (proxy.hostname, proxy.port or 80) if proxy.hostname else (_remote_host(), 443)
    answered = threading.Event()

    def connect() -> None:
        with contextlib.suppress(OSError):
            socket.create_connection((host, port), timeout=_TIMEOUT).close()
            answered.set()

    # In a daemon thread, because resolving the host name has no timeout.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(_TIMEOUT * 1.3)
    return answered.is_set()


def _remote_host() -> str:
    if os.environ.get("MINARI_REMOTE", "hf://").startswith("gcp://"):
        return "storage.googleapis.com"
    endpoint = os.environ.get("HF_ENDPOINT", "")
    return urlsplit(endpoint).hostname or "huggingface.co"


def _named(ids: Sequence[str]) -> str:
    listed = ", ".join(f"'{one}'" for one in ids)
    return f"dataset {listed} is" if len(ids) == 1 else f"datasets {listed} are"


def _advice(missing: Sequence[str]) -> str:
    commands = " && ".join(map(command_for, missing))
    closest = closest_bundled(missing)
    without = f"the closest bundled data: transfer data make {closest}" if closest else "there is no bundled one"
    return f"With a network: {commands}\nWithout one, {without}"
