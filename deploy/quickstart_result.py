#!/usr/bin/python3
"""For deploy/quickstart: writes the pictures of a finished job and prints its timeline.

    quickstart_result.py FOLDER SUBMITTED

FOLDER holds status.json (the job as GET /status/{id} gave it) and model-server.log; SUBMITTED is the
time of submission, in seconds since 1970."""

import base64
import json
import os
import sys


def pictures(folder, images):
    for number, text in enumerate(images):
        content = base64.b64decode(text.partition(",")[2] or text)
        if not content.startswith(b"\x89PNG\r\n\x1a\n"):
            sys.exit(f"quickstart: image {number} of the result is no PNG")
        path = os.path.join(folder, f"picture-{number + 1}.png" if len(images) > 1 else "picture.png")
        with open(path, "wb") as file:
            file.write(content)
        width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
        yield f"{path}  ({width} x {height}, {len(content) / 1024:.0f} KiB)"


def transfers(log):
    """The files the model server sent, in however many parts: {"file", "size", "begun", "ended"} each."""
    with open(log, encoding="utf-8") as file:
        parts = [json.loads(line) for line in file if line.startswith("{")]
    files = {}
    for part in parts:
        whole = files.setdefault(part["file"], part)
        whole["ended"] = max(whole["ended"], part["ended"])
    return files.values()


def timeline(job, submitted, sent):
    """Rows of (seconds since submission, what, detail)."""
    began = job["delayTime"] / 1000
    ended = began + job["executionTime"] / 1000
    yield 0.0, "submitted", job["id"]
    for each in sorted(sent, key=lambda each: each["ended"]):
        took = f"{each['size'] / 2**20:.0f} MiB in {1000 * (each['ended'] - each['begun']):.0f} ms"
        yield each["ended"] - submitted, "model fetched", f"{each['file']}, {took}"
    yield began, "started", f"after {began:.2f} s in the queue"
    yield ended, "finished", f"{ended - began:.2f} s on the WebUI"


def main():
    folder, submitted = sys.argv[1], float(sys.argv[2])
    with open(os.path.join(folder, "status.json"), encoding="utf-8") as file:
        job = json.load(file)
    images = job.get("output", {}).get("images") or sys.exit("quickstart: the job completed without a picture")
    sent = transfers(os.path.join(folder, "model-server.log"))
    for row in sorted(timeline(job, submitted, sent), key=lambda row: row[0]):
        print(f"  {row[0]:6.2f} s  {row[1]:14} {row[2]}")
    print("\nThe picture:")
    for line in pictures(folder, images):
        print(f"  {line}")


if __name__ == "__main__":
    main()
