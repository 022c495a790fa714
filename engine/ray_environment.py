"""What Ray reads from the environment when it is imported. Imports no Ray, so that every door can call it before Ray's import."""

import os
from collections.abc import MutableMapping


def prepare_ray_environment(*, is_own: bool, environment: MutableMapping[str, str] = os.environ) -> None:
    """Set Ray's environment; a value the user has set stays.

    Parameters
    ----------
    is_own : bool
        Whether a Ray of our own is started on this machine, and not a running cluster joined. Every port of it then
        listens on loopback only: Ray turns ``127.0.0.1`` into the machine's outer address unless clusters are switched off
        by a variable named for the two systems where that is the default.
    environment : mapping, optional
        Default the process's own.

    Source: ray.md, "Decide first"; Ray 2.60, ``services.get_node_ip_address``.
    """
    values = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_USAGE_STATS_REPORT_URL": "http://127.0.0.1:9/",  # nobody listens there
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    }
    if is_own:
        values |= {"RAY_AUTH_MODE": "disabled", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    for name, value in values.items():
        environment.setdefault(name, value)
