"""A child process that always ends: with its test, with this interpreter, or with the parent's death."""

import atexit
import os
import signal
import subprocess
import threading
import time

from .waiting import PATIENCE, wait_until

# The kernel ends the program when the thread that started it is gone, whatever became of this code.
_DIE_WITH_PARENT = ["setpriv", "--pdeathsig", "KILL", "--"]
_running = set()


class Process:
    """Starts a program and collects what it prints. Use it in a with statement, or call stop()."""

    def __init__(self, arguments, name=None, environment=None, directory=None):
        self.name = name or os.path.basename(arguments[0])
        self.arguments = [str(argument) for argument in arguments]
        self.lines = []
        self._grown = threading.Condition()
        self._popen = subprocess.Popen(
            _DIE_WITH_PARENT + self.arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})}, cwd=directory, process_group=0,
        )
        _running.add(self)
        self._reader = threading.Thread(target=self._read, name=f"{self.name} output", daemon=True)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def pid(self):
        return self._popen.pid

    @property
    def exit_code(self):
        """None while it runs; negative: the signal that ended it."""
        return self._popen.poll()

    def _read(self):
        for raw in self._popen.stdout:
            with self._grown:
                self.lines.append(raw.decode("utf-8", "replace").rstrip("\n"))
                self._grown.notify_all()
        with self._grown:
            self._grown.notify_all()

    def output(self):
        with self._grown:
            return "\n".join(self.lines)

    def wait_for_line(self, matches, timeout=10.0, what="a certain line"):
        """Waits for the first line of which matches(line) is true, and returns what it returned."""
        end = time.monotonic() + timeout * PATIENCE
        seen = 0
        with self._grown:
            while True:
                for line in self.lines[seen:]:
                    found = matches(line)
                    if found:
                        return found
                seen = len(self.lines)
                left = end - time.monotonic()
                if left <= 0 or not self._reader.is_alive():
                    state = "ended" if not self._reader.is_alive() else f"ran {timeout * PATIENCE:g} s"
                    raise AssertionError(f"{self.name} {state} without printing {what}; it printed:\n"
                                         + "\n".join(self.lines[-40:]))
                self._grown.wait(min(left, 0.5))

    def signal(self, number):
        if self.exit_code is None:
            os.kill(self.pid, number)

    def wait(self, timeout=10.0):
        """Its exit code, once it has ended by itself."""
        try:
            code = self._popen.wait(timeout * PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs after {timeout * PATIENCE:g} s; it printed:\n"
                                 + "\n".join(self.lines[-40:])) from None
        self._finish()
        return code

    def kill(self):
        """Ends it and its children at once, as a crash or the OOM killer would."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._popen.wait()
        self._finish()

    def stop(self, timeout=15.0):
        """Asks it to end, insists when it does not; returns its exit code."""
        self.signal(signal.SIGTERM)
        try:
            self._popen.wait(timeout * PATIENCE)
        except subprocess.TimeoutExpired:
            pass
        code = self.exit_code
        self.kill()
        return code

    def _finish(self):
        self._reader.join(timeout=5)
        if not self._reader.is_alive():
            self._popen.stdout.close()
        _running.discard(self)

    def rss_bytes(self):
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self):
        """User and system time of all its threads so far."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait_until_gone(self, timeout=10.0):
        wait_until(lambda: self.exit_code is not None, timeout, f"{self.name} has ended")


@atexit.register
def _end_all():
    for process in list(_running):
        process.kill()
