"""Connectivity check of hosts, before a download that would retry for minutes."""

from __future__ import annotations

import queue
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from urllib.parse import urlsplit

_HOSTS = 4  # maximum number of hosts to contact
_SECONDS = 10.0


def why_unreachable(urls: Iterable[str], seconds: float = _SECONDS) -> str:
    """Request one URL per host concurrently; return "" if any host responds, else the reason of the first failure.

    Proxies are respected (HTTPS_PROXY). Any response counts, including an HTTP error.

    Args:
        urls: URLs to request; those that are not http or https are ignored. If none remains, the result is "".
        seconds: timeout in seconds, over all hosts.
    """
    hosts: dict[str, str] = {}
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and len(hosts) < _HOSTS:
            hosts.setdefault(parts.netloc, url)
    answers: queue.SimpleQueue[str] = queue.SimpleQueue()
    for url in hosts.values():
        # A daemon thread, since a DNS lookup has no timeout and must not delay the exit of the program.
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
    """Return the reason why the host of a URL does not respond; "" if it responds."""
    host = urlsplit(url).netloc
    try:
        urllib.request.urlopen(url, timeout=seconds).close()
    except urllib.error.HTTPError:
        return ""
    except urllib.error.URLError as error:
        # The host is reachable; certificates are left to the program that downloads.
        return "" if isinstance(error.reason, ssl.SSLError) else f"{host}: {error.reason}"
    except TimeoutError:
        return f"{host} did not answer within {seconds:g} s"
    except (OSError, ValueError):  # a malformed response or URL; the download itself reports it
        return ""
    return ""
