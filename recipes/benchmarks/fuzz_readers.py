"""Damaged and hostile files for every reader of files that the package has, and what becomes of them.

    python recipes/benchmarks/fuzz_readers.py [--files 20000] [--seed 0] [--only "mat" …]

Each file is a whole one that was mutated (`_fuzz_mutate.py`: bits, lengths, numbers, pieces of other files, nesting,
NUL, bad UTF-8, programs), and depends on the seed, the format and its number alone. Workers read them, one at a time,
each file under limits, so that a crash is counted and not suffered. Counted are, for each format (`_fuzz_formats.py`),

    read       what was still, or again, a whole file
    refused    by one sentence, an InputError
    failures   another error; a process that died; more than a second of a processor, or 20 by the clock; more
               than the bound of memory; anything that was executed, or tried to be: programs, unpickling, connections

Prints the counts and writes them as JSON, those of another number or seed only with `--output`; exit status 1 if there
is a failure. `--show FORMAT NUMBER` writes one file to look at.
"""

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
import zlib
from collections import Counter
from multiprocessing.connection import Connection, wait
from pathlib import Path

import numpy as np

RESULT = Path(__file__).parent.parent / "results" / "benchmark_fuzz_readers.json"
SECONDS, CLOCK, MEMORY_MB, LIMIT_MB = 1.0, 20.0, 1024, 4096
_EVENTS = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "subprocess.Popen",
    "pickle.find_class",
    "socket.connect",
    "os.mkfifo",
    "ctypes.dlopen",
    "webbrowser.open",
)


def main(arguments: list[str]) -> None:
    """Reads all files, prints and writes the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=20_000, help="of all formats together, at least")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", help="formats that begin so; the others keep their figures")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--show", nargs=2, metavar=("FORMAT", "NUMBER"), help="write one file to standard output")
    parser.add_argument(
        "--output", type=Path, help="JSON file to write; by default, and of default files and seed, the committed one"
    )
    args = parser.parse_args(arguments)
    is_the_committed = (args.files, args.seed) == (parser.get_default("files"), parser.get_default("seed"))
    output = args.output or (RESULT if is_the_committed else None)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HF_HOME"] = folder  # before `datasets` is imported: its caches go with the folder
        from _fuzz_formats import formats
        from _measure import machine

        from hf_noisy_itm.files import write_json

        known = formats(Path(folder))
        names = [name for name in known if not args.only or name.startswith(tuple(args.only))]
        if args.show:
            sys.stdout.buffer.write(_content(known[args.show[0]], args.seed, args.show[0], int(args.show[1])))
            return
        each = -(-args.files // len(names))
        start = time.perf_counter()
        figures = _count(names, each, args, Path(folder))
    if args.only and output is not None and output.exists():
        figures = _merged(json.loads(output.read_text()), figures, names)
    else:
        figures["commands"] = []
    command = [word for word in sys.argv if word not in ("--output", str(output))]
    figures["commands"].append({"command": command, "seconds": round(time.perf_counter() - start, 1)})
    figures |= {
        "seed": args.seed,
        "bounds": {"seconds of a processor": SECONDS, "MB beyond what the process had": MEMORY_MB},
        "machine": machine("numpy", "torch", "datasets", "pillow", "pyarrow", "safetensors", "PyYAML"),
    }
    for name, counts in figures["formats"].items():
        print(f"{name:34}" + "".join(f"{what} {count:>5}  " for what, count in counts.items()))
    print(", ".join(f"{what} {count:,}" for what, count in figures["all"].items()))
    if output is not None:
        write_json(output, figures)
    if figures["failures"]:
        raise SystemExit(1)


def _merged(old: dict, new: dict, names: list[str]) -> dict:
    """Figures of all formats, those of some of them new: files do not depend on those of other formats."""
    formats = old["formats"] | new["formats"]
    failures = [each for each in old["failures"] if each["format"] not in names] + new["failures"]
    kept = {
        what: max((each for each in (old[what], new[what])), key=lambda each: each[unit])
        for what, unit in (("slowest", "seconds"), ("most memory", "MB"))
    }
    return old | {"all": _whole(formats), **kept, "formats": formats, "failures": failures}


def _whole(formats: dict[str, dict]) -> dict[str, int]:
    whole = {what: sum(counts[what] for counts in formats.values()) for what in ("read", "refused", "failures")}
    return {"files": sum(whole.values()), **whole}


def _content(form, seed: int, name: str, number: int) -> bytes:
    """The file of that number: the same for ever, whatever other formats there are."""
    from _fuzz_mutate import mutate, repaired

    rng = np.random.default_rng((seed, zlib.crc32(name.encode()), number))
    whole, other = (form.wholes[int(rng.integers(len(form.wholes)))] for _ in range(2))
    content = mutate(whole, other, rng)
    return repaired(form.sums, content) if form.sums == "gz" or rng.random() < 0.5 else content


def _count(names: list[str], each: int, args: argparse.Namespace, folder: Path) -> dict:
    counts = {name: Counter(read=0, refused=0, failures=0) for name in names}
    failures, slowest, most = [], (0.0, ""), (0.0, "")
    tasks = [(name, number) for number in range(each) for name in names][::-1]
    workers: dict[Connection, tuple] = {}
    while tasks or workers:
        while tasks and len(workers) < args.processes:
            connection, process = _start(args.seed, folder)
            workers[connection] = (process, tasks.pop(), time.monotonic())
            connection.send(workers[connection][1])
        ready = wait(list(workers), timeout=1.0)
        for connection in list(workers):
            process, (name, number), since = workers[connection]
            what, seconds, memory = "", 0.0, 0.0
            if connection in ready:
                try:
                    what, seconds, memory = connection.recv()
                except EOFError:
                    process.join()
                    what = f"the process died with {process.exitcode}"
            elif time.monotonic() - since > CLOCK:
                process.kill()
                what = f"hung for {CLOCK:.0f} seconds"
            else:
                continue
            counts[name][what if what in ("read", "refused") else "failures"] += 1
            if what not in ("read", "refused"):
                failures.append({"format": name, "number": number, "what": what})
                print(f"{name} {number}: {what}", file=sys.stderr, flush=True)
            slowest, most = max(slowest, (seconds, f"{name} {number}")), max(most, (memory, f"{name} {number}"))
            del workers[connection]
            if tasks and process.is_alive() and what in ("read", "refused"):
                workers[connection] = (process, tasks.pop(), time.monotonic())
                connection.send(workers[connection][1])
            else:
                connection.close()
                process.kill()
                process.join()
    return {
        "all": _whole(counts),
        "slowest": {"seconds": round(slowest[0], 3), "file": slowest[1]},
        "most memory": {"MB": round(most[0], 1), "file": most[1]},
        "formats": {name: dict(count) for name, count in counts.items()},
        "failures": failures,
    }


def _start(seed: int, folder: Path) -> tuple[Connection, multiprocessing.Process]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_work, args=(theirs, seed, folder), daemon=True)
    process.start()
    theirs.close()
    return ours, process


def _work(connection: Connection, seed: int, folder: Path) -> None:
    """Reads one file after the other, in a folder of its own."""
    from _fuzz_formats import formats
    from _measure import _status

    own = Path(tempfile.mkdtemp(dir=folder))
    os.chdir(own)
    known, seen, armed = formats(own), [], False
    sys.addaudithook(lambda event, values: seen.append(event) if armed and event in _EVENTS else None)
    with open(os.devnull, "w") as silence:
        os.dup2(silence.fileno(), 1)
        os.dup2(silence.fileno(), 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit = int((_status("VmSize") + LIMIT_MB) * 1e6)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    while True:
        name, number = connection.recv()
        form = known[name]
        content = _content(form, seed, name, number)
        place = own if name.startswith("picture") else Path(tempfile.mkdtemp(dir=own))
        (place / form.name).write_bytes(content)
        before = _status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak of memory starts anew
        start, armed = time.process_time(), True
        try:
            form.read(place / form.name)
            what = "read"
        except form.refuses:
            what = "refused"
        except BaseException as error:
            what = f"{type(error).__name__}: {error}"[:300]
        armed, seconds, memory = False, time.process_time() - start, _status("VmHWM") - before
        if seen or list(own.rglob("canary")):  # also in the folder of the file, which goes now
            what = f"executed something: {', '.join(seen)}"
        elif what in ("read", "refused") and (seconds > SECONDS or memory > MEMORY_MB):
            what = f"{what}, in {seconds:.1f} seconds, with {memory:.0f} MB"
        if place != own:
            shutil.rmtree(place)
        connection.send((what, seconds, memory))


if __name__ == "__main__":
    main(sys.argv[1:])
