"""Collects the comments of the protos, for the description of the JSON API.

``python scripts/generate_comments.py`` writes them; with ``--check`` it writes
nothing and exits 1 when the file in the tree is not what the protos give.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
TARGET = ROOT / "daemon/hookd_daemon/http/rest/comments.json"
#: What the JSON API is made of.
FILES = ("common", "errors", "events", "hook_service", "run_service", "webhook")


def described() -> FileDescriptorSet:
    """The protos, parsed."""
    google = resources.files("grpc_tools") / "_proto"
    with tempfile.TemporaryDirectory() as tmp:
        out = Path(tmp) / "set"
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}", f"-I{google}"]
        command += ["--include_source_info", f"--descriptor_set_out={out}"]
        command += [str(PROTO / "hookd/v1" / f"{name}.proto") for name in FILES]
        subprocess.run(command, check=True)
        return FileDescriptorSet.FromString(out.read_bytes())


def comments(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    """The comments of a file, each by the full name of what it is about."""
    for location in file.source_code_info.location:
        name = name_of(file, tuple(location.path))
        lines = (line.strip() for line in location.leading_comments.strip().splitlines())
        text = "\n".join(lines).replace("\n\n", "\0").replace("\n", " ").replace("\0", "\n\n")
        if name and text:
            yield name, text


def name_of(file: FileDescriptorProto, path: tuple[int, ...]) -> str:
    """The full name of what a path leads to; empty if it has none.

    The numbers are those of the fields of ``FileDescriptorProto``, and of what
    it holds: 4 are messages, 5 enums, 6 services.
    """
    match path:
        case (4, m):
            words = [file.message_type[m].name]
        case (4, m, 2, f):
            words = [file.message_type[m].name, file.message_type[m].field[f].name]
        case (5, e):
            words = [file.enum_type[e].name]
        case (5, e, 2, v):
            words = [file.enum_type[e].name, file.enum_type[e].value[v].name]
        case (6, s, 2, m):
            words = [file.service[s].name, file.service[s].method[m].name]
        case _:
            return ""
    return ".".join([file.package, *words])


def main() -> int:
    """Writes or checks the comments; returns the exit status."""
    found = dict(pair for file in described().file for pair in comments(file))
    text = json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(text)
    elif not TARGET.exists() or TARGET.read_text() != text:
        print("stale comments, run `make proto`:", TARGET.relative_to(ROOT))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
