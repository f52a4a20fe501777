"""Generates the Python stubs from the protos, with grpcio-tools.

``python scripts/generate_stubs.py`` writes them; with ``--check`` it writes
nothing and exits 1 when the stubs in the tree are not what the protos give.
"""

import filecmp
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
# Which protos go into which package, and whether they define services.
TARGETS = {
    "hookd/v1": (ROOT / "clients/python", True),
    "hookd_daemon/records/v1": (ROOT / "daemon", False),
}


def generate(folder: str, out: Path, services: bool) -> list[Path]:
    """Generates the stubs of one folder of protos below ``out``; returns their paths there."""
    google = resources.files("grpc_tools") / "_proto"
    plugins = Path(sys.executable).parent
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        f"-I{PROTO}",
        f"-I{google}",
        f"--plugin=protoc-gen-mypy={plugins / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={plugins / 'protoc-gen-mypy_grpc'}",
        f"--python_out={out}",
        f"--mypy_out=quiet:{out}",
    ]
    if services:
        command += [f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet:{out}"]
    command += [str(p) for p in sorted((PROTO / folder).glob("*.proto"))]
    subprocess.run(command, check=True)
    (out / folder / "__init__.py").write_text('"""Generated from the protos; do not edit."""\n')
    made = sorted((out / folder).glob("*"))
    # A proto without services gives an empty grpc stub: nobody needs it.
    for path in made:
        if "_pb2_grpc" in path.name and "_service_" not in path.name:
            path.unlink()
    return [p.relative_to(out) for p in made if p.exists() and p.is_file()]


def main() -> int:
    """Writes or checks the stubs; returns the exit status."""
    check = "--check" in sys.argv[1:]
    stale: list[str] = []
    for folder, (package_root, services) in TARGETS.items():
        with tempfile.TemporaryDirectory() as tmp:
            out = Path(tmp)
            made = generate(folder, out, services)
            for path in made:
                target = package_root / path
                fresh = target.exists() and filecmp.cmp(out / path, target, shallow=False)
                if fresh:
                    continue
                if check:
                    stale.append(str(target.relative_to(ROOT)))
                else:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes((out / path).read_bytes())
            known = {package_root / path for path in made}
            for old in (package_root / folder).glob("*_pb2*"):
                if old not in known:
                    stale.append(str(old.relative_to(ROOT)))
                    if not check:
                        old.unlink()
    if check and stale:
        print("stale stubs, run `make proto`:", *stale, sep="\n  ")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
