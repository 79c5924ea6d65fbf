"""Waiting for something to become true, never longer than agreed."""

import os
import time

# How much longer everything may take: 3 under a sanitizer (tests/e2e/CMakeLists.txt sets it).
PATIENCE = float(os.environ.get("GATEWAY_TEST_PATIENCE", "1"))


def wait_until(condition, timeout=10.0, what=None, interval=0.02):
    """Calls condition until it returns something true, and returns that; AssertionError when it never does."""
    end = time.monotonic() + timeout * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            name = what or getattr(condition, "__name__", "the condition")
            raise AssertionError(f"still not so after {timeout * PATIENCE:g} s: {name}")
        time.sleep(interval)
