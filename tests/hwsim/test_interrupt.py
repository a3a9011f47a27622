"""Ctrl-C inside a library's callback, where Python can only ignore the exception, still stops the command in one line."""

import subprocess
import sys

CODE = """
import os, signal, sys
from hwsim import console

class Callback:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            pass

console.watch_interrupts()
try:
    with console.progress("work") as advance:
        advance(0, 2)
        Callback()
        print("swallowed", flush=True)
        advance(1, 2)
        print("went on", flush=True)
except KeyboardInterrupt:
    print("stopped", flush=True)
"""


def test_a_swallowed_interrupt_is_raised_at_the_next_step_of_progress():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["swallowed", "stopped"]
    assert done.stderr == ""
