"""A quick test of whether hosts can be reached, before a download that would retry for minutes."""

from __future__ import annotations

import queue
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from urllib.parse import urlsplit

_HOSTS = 4  # of more hosts, only the first are asked
_SECONDS = 10.0


def why_unreachable(urls: Iterable[str], seconds: float = _SECONDS) -> str:
    """Ask one URL of each host at the same time; "" as soon as one of them answers, else why the first does not.

    Proxies are respected (HTTPS_PROXY). Any answer counts, an HTTP error too.

    Args:
        urls: those that are not http or https are passed over; without any, the result is "".
        seconds: after this time no answer is waited for.
    """
    hosts: dict[str, str] = {}
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and len(hosts) < _HOSTS:
            hosts.setdefault(parts.netloc, url)
    answers: queue.SimpleQueue[str] = queue.SimpleQueue()
    for url in hosts.values():
        # A daemon, since looking up a name takes no timeout and must not hold up the end of the program.
        threading.Thread(target=lambda url=url: answers.put(_ask(url, seconds)), daemon=True).start()
    deadline, why = time.monotonic() + seconds, ""
    for _ in hosts:
        try:
            answer = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            return why or f"{', '.join(hosts)} did not answer within {seconds:g} s"
        if not answer:
            return ""
        why = why or answer
    return why


def _ask(url: str, seconds: float) -> str:
    """Why a host does not answer; "" if it does."""
    host = urlsplit(url).netloc
    try:
        urllib.request.urlopen(url, timeout=seconds).close()
    except urllib.error.HTTPError:
        return ""
    except urllib.error.URLError as error:
        # Whether its certificate is accepted is for the program that downloads to say.
        return "" if isinstance(error.reason, ssl.SSLError) else f"{host}: {error.reason}"
    except TimeoutError:
        return f"{host} did not answer within {seconds:g} s"
    except (OSError, ValueError):  # it answered something else, or the URL cannot be asked so
        return ""
    return ""
