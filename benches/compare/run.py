#!/usr/bin/env python3
"""The same list of orders, synced by Headwater and by three other tools, one after the other on this machine.

    cargo build --release -p headwater-benches && benches/compare/run.py [--rows 20000]

The tools come from PyPI into target/compare-venv, and are used as their documentation says: dlt's REST source, a declarative
source of Airbyte's CDK, a tap of the Singer SDK with MeltanoLabs' target. Airbyte's prints its records and loads nothing.
Each time is that of the whole process, its start included; Headwater's gets ten times the rows, so that its start does not
count for less. A Postgres of the bench's own is started, and removed at the end.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
VENV = ROOT / "target" / "compare-venv"
OBJECTS = ROOT / "target" / "release" / "objects"
# Each in an environment of its own: they want different versions of the same libraries.
PACKAGES = {
    "airbyte": ["airbyte-cdk"],
    "dlt": ["dlt[postgres,sqlalchemy]"],
    "tap": ["singer-sdk"],
    "target": ["meltanolabs-target-postgres"],
}


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=20_000)
    options.add_argument("--page", type=int, default=500)
    options = options.parse_args()
    if not OBJECTS.exists():
        sys.exit("first: cargo build --release -p headwater-benches")
    install()
    python = {tool: VENV / tool / "bin" / "python" for tool in PACKAGES}
    few = background("source", "--rows", options.rows, "--page", options.page)
    many = background("source", "--rows", options.rows * 10, "--page", options.page)
    postgres = background("postgres")
    with tempfile.TemporaryDirectory() as folder, few as few_at, many as many_at, postgres as url:
        folder = pathlib.Path(folder)
        for name in ["dlt-sqlite", "dlt-postgres", "airbyte", "headwater"]:
            (folder / name).mkdir()
        target = target_config(url, folder)
        tap = f"'{python['tap']}' '{HERE}/singer_orders.py' {few_at}"
        runs = [
            ("Headwater into SQLite", options.rows * 10, [OBJECTS, "side", "headwater", "--source", many_at,
                                                           "--at", folder / "headwater", "--into", "sqlite"]),
            ("Headwater into Postgres", options.rows * 10, [OBJECTS, "side", "headwater", "--source", many_at,
                                                             "--at", url, "--into", "postgres"]),
            ("dlt into SQLite", options.rows, [python["dlt"], HERE / "dlt_orders.py", few_at, folder / "dlt.db", folder / "dlt-sqlite"]),
            ("dlt into Postgres", options.rows, [python["dlt"], HERE / "dlt_orders.py", few_at, url, folder / "dlt-postgres"]),
            ("Airbyte's CDK to stdout", options.rows, [python["airbyte"], HERE / "airbyte_orders.py", few_at, folder / "airbyte"]),
            ("Singer into Postgres", options.rows, ["bash", "-o", "pipefail", "-c",
                                                     f"{tap} | '{VENV}/target/bin/target-postgres' --config '{target}'"]),
        ]
        rates = {}
        print(f"{'':26} {'rows/s':>9} {'seconds':>9}   Headwater is faster by")
        for name, rows, command in runs:
            seconds = timed(command, folder)
            if seconds is None:
                print(f"{name:26} failed: see above")
                continue
            rates[name] = rows / seconds
            into = "Headwater into SQLite" if name.endswith("SQLite") else "Headwater into Postgres"
            best = max((rates.get(other, 0) for other in ["Headwater into SQLite", "Headwater into Postgres"]))
            factor = (best if name.endswith("stdout") else rates.get(into, 0)) / rates[name]
            print(f"{name:26} {rates[name]:9.0f} {seconds:9.1f}   {factor:.1f}", flush=True)


def install():
    """The tools, once."""
    for tool, packages in PACKAGES.items():
        venv = VENV / tool
        if not (venv / "complete").exists():
            subprocess.run([sys.executable, "-m", "venv", venv], check=True)
            subprocess.run([venv / "bin" / "pip", "install", "-q", *packages], check=True)
            (venv / "complete").touch()


def timed(command, folder):
    """How long it takes, if it succeeds; what it prints goes to a file, as into a pipe to a destination."""
    with open(folder / "output", "w") as output, open(folder / "errors", "w") as errors:
        began = time.monotonic()
        done = subprocess.run([str(part) for part in command], stdout=output, stderr=errors, cwd=folder)
        seconds = time.monotonic() - began
    if done.returncode == 0:
        return seconds
    print((folder / "errors").read_text()[-2000:], file=sys.stderr)
    return None


def target_config(url, folder):
    """Where MeltanoLabs' target loads to."""
    parts = urllib.parse.urlsplit(url)
    path = folder / "target.json"
    path.write_text(json.dumps({
        "host": parts.hostname,
        "port": parts.port,
        "user": parts.username,
        "password": urllib.parse.unquote(parts.password or ""),
        "database": parts.path.strip("/"),
        "default_target_schema": "singer",
    }))
    return path


class background:
    """A process of the bench that prints its address, and runs as long as it is needed."""

    def __init__(self, *arguments):
        self.arguments = [str(argument) for argument in arguments]

    def __enter__(self):
        self.process = subprocess.Popen([OBJECTS, *self.arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self.process.stdout.readline().strip()

    def __exit__(self, *_):
        # A server of it ends with its input.
        self.process.stdin.close()
        if self.arguments[0] == "source":
            self.process.kill()
        self.process.wait()


if __name__ == "__main__":
    main()
