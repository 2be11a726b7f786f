"""Runs the programs that are measured."""

import json
import os
import subprocess
import sys


def run(command, preload=None):
    """What a program prints, as JSON; ends where it fails."""
    environment = os.environ | ({"LD_PRELOAD": str(preload)} if preload else {})
    done = subprocess.run(
        [str(each) for each in command], capture_output=True, text=True, env=environment
    )
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed:\n{done.stderr}")
    return json.loads(done.stdout)
