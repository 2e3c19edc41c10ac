"""A Hub on loopback: what `huggingface_hub` asks of one, answered from memory by the standard library's server.

It knows one user and one token. Repositories of models, data sets and Spaces have branches of commits; files go by the
regular path or by LFS ("basic"), as the real one asks for by their names; Xet it does not speak, so clients need
`HF_HUB_DISABLE_XET=1` to upload. It can be told to refuse, or to hang up in the middle of an upload.
"""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

USER, TOKEN = "someone", "hf_QwErTyUiOpAsDfGhJkLzXcVbNmQwErTy12"
LARGE = ("*.safetensors", "*.parquet", "*.png", "*.onnx", "*.bin")  # of .gitattributes, as every new repository has it
_KINDS = r"(?P<kind>models|datasets|spaces)"
_NAME = r"(?P<name>[\w.-]+/[\w.-]+)"


@dataclass
class Repository:
    """Branches name commits, commits name files by the hash of their content."""

    private: bool
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, str]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, branch: str, files: dict[str, str], message: str) -> str:
        """Adds a commit to a branch; its name depends on all that came before."""
        sha = hashlib.sha1(repr((len(self.messages), branch, sorted(files.items()), message)).encode()).hexdigest()
        self.commits[sha] = files
        self.branches[branch] = sha
        self.messages.append(message)
        return sha

    def resolve(self, revision: str) -> str | None:
        """The commit that a branch, or a commit's own name, stands for."""
        return self.branches.get(revision) or (revision if revision in self.commits else None)


@dataclass
class Fault:
    """What goes wrong with requests whose line, such as `PUT /lfs/ab12`, fits a pattern."""

    pattern: str
    status: int | None  # None: the connection is cut after a few bytes of the body
    message: str = "refused"  # {token} is what the client sent to be known
    only_after: str | None = None  # a request that must have come before
    times: int = 10**9
    stalls: bool = False  # nothing is answered as long as the server is there


class HubServer(ThreadingHTTPServer):
    """Starts on a free port; `with HubServer() as hub:` serves until the block ends."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server_port}"
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.blobs: dict[str, bytes] = {}  # by SHA-256
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.lock, self.closing = threading.Lock(), threading.Event()

    def __enter__(self):
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        self.shutdown()
        self.server_close()

    def fault(self, *args, **kwargs) -> None:
        """Adds a `Fault`."""
        self.faults.append(Fault(*args, **kwargs))

    def current_fault(self, line: str) -> Fault | None:
        """The fault that is due for a request, which is noted."""
        with self.lock:
            self.requests.append(line)
            for each in self.faults:
                due = each.times > 0 and (each.only_after is None or each.only_after in self.requests)
                if due and fnmatch(line, each.pattern):
                    each.times -= 1
                    return each
        return None

    def files(self, name: str, kind: str = "models", revision: str = "main") -> dict[str, bytes]:
        """The content of every file of a repository."""
        repository = self.repositories[kind, name]
        return {path: self.blobs[sha] for path, sha in repository.commits[repository.resolve(revision)].items()}

    def handle_error(self, request, client_address):
        """A client that has gone is no error of the server's."""


def wrong_in_card(card: object) -> list[str]:
    """What is not of its kind in the front matter of a card."""
    if not isinstance(card, dict):
        return ["the front matter is no mapping"]
    wrong = [
        f"{name} must be a string"
        for name in ("license", "pipeline_tag", "library_name", "pretty_name", "sdk")
        if name in card and not isinstance(card[name], str)
    ]
    for name in ("tags", "datasets"):
        if not all(isinstance(each, str) for each in card.get(name) or []):
            wrong.append(f"{name} must be a list of strings")
    for model in card.get("model-index") or []:
        results = model["results"] if isinstance(model.get("name"), str) else []
        if not results:
            wrong.append("model-index must hold a name and results")
        for each in results:
            named = isinstance(each["task"].get("type"), str) and isinstance(each["dataset"].get("name"), str)
            metrics = each["metrics"]
            if not (named and re.fullmatch(r"[\w./-]+", each["dataset"]["type"]) and metrics):
                wrong.append(f"model-index holds a result of no task or data set: {each}")
            if not all(isinstance(metric["value"], int | float) and metric["type"] for metric in metrics):
                wrong.append(f"model-index holds a figure that is no number: {each}")
    return wrong


class Handler(BaseHTTPRequestHandler):
    """One request; `routes` at the end of the class say which method answers which path."""

    protocol_version = "HTTP/1.1"
    server: HubServer

    def log_message(self, *_):
        """Says nothing."""

    def answer(self, status: int, content=b"", **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        kind = "application/octet-stream" if isinstance(content, bytes) else "application/json"
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status: int, message: str, code: str | None = None) -> None:
        self.answer(status, {"error": message}, X_Error_Message=message, **({"X_Error_Code": code} if code else {}))

    def handle_request(self) -> None:
        parts = urlsplit(self.path)
        line = f"{self.command} {unquote(parts.path)}"
        self.query = parse_qs(parts.query)
        fault = self.server.current_fault(line)
        if fault is not None and fault.stalls:
            self.server.closing.wait()
        if fault is not None and fault.status is None:
            self.rfile.read(min(100, int(self.headers.get("Content-Length") or 0)))
            self.close_connection = True
            self.connection.close()
            return
        self.body = self.read_body()
        if fault is not None:
            self.refuse(fault.status, fault.message.replace("{token}", self.headers.get("Authorization") or ""))
            return
        for commands, pattern, method in self.routes:
            if self.command in commands and (match := re.fullmatch(pattern, parts.path)):
                method(self, **{name: unquote(value or "") for name, value in match.groupdict().items()})
                return
        self.refuse(404, f"There is no {line} here.")

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_request

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    @property
    def known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def repository(self, kind: str, name: str, writes: bool = False) -> Repository | None:
        """The repository, if it is there and the token may see it, or write to it; else the request is refused."""
        found = self.server.repositories.get((kind, name))
        if found is None or (found.private and not self.known):
            self.refuse(404 if self.known else 401, "Repository not found", "RepoNotFound")
            return None
        if writes and not (self.known and name.startswith(f"{USER}/")):
            self.refuse(403 if self.known else 401, "You may not write here")
            return None
        return found

    def commit_of(self, repository: Repository, revision: str) -> str | None:
        sha = repository.resolve(revision or "main")
        if sha is None:
            self.refuse(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return sha

    # -- the user, repositories and branches --------------------------------------------------------------------------

    def whoami(self):
        if not self.known:
            return self.refuse(401, "Invalid username or password.")
        return self.answer(200, {"type": "user", "name": USER, "orgs": [], "auth": {"type": "access_token"}})

    def create(self):
        asked = json.loads(self.body)
        owner = asked.get("organization") or USER
        kind, name = f"{asked.get('type') or 'model'}s", f"{owner}/{asked['name']}"
        if not self.known:
            return self.refuse(401, "Invalid username or password.")
        if owner != USER:
            return self.refuse(403, f"You have no rights in the namespace {owner}")
        prefix = "" if kind == "models" else f"{kind}/"
        url = {"url": f"{self.server.endpoint}/{prefix}{name}", "id": name, "name": name}
        with self.server.lock:
            if (kind, name) in self.server.repositories:
                return self.answer(409, {**url, "error": "You already created this repo"})
            private = asked.get("visibility") == "private" or bool(asked.get("private"))
            repository = self.server.repositories[kind, name] = Repository(private)
            content = "".join(f"{each} filter=lfs diff=lfs merge=lfs -text\n" for each in LARGE).encode()
            repository.commit("main", {".gitattributes": self.keep(content)}, "initial commit")
        return self.answer(200, url)

    def branch(self, kind, name, revision):
        if (repository := self.repository(kind, name, writes=True)) is None:
            return None
        if revision in repository.branches:
            return self.refuse(409, "Reference already exists")
        repository.branches[revision] = repository.branches["main"]
        return self.answer(201)

    def keep(self, content: bytes) -> str:
        sha = hashlib.sha256(content).hexdigest()
        self.server.blobs[sha] = content
        return sha

    def validate(self):
        """As the real one checks a card before a commit: the front matter is a mapping, its parts of their kinds."""
        asked = json.loads(self.body)
        try:
            _, matter, _ = asked["content"].split("---\n", 2)
            errors = wrong_in_card(yaml.safe_load(matter))
        except (ValueError, yaml.YAMLError) as error:
            errors = [f"the front matter is no YAML: {error}"]
        told = [{"message": each} for each in errors]
        return self.answer(400 if told else 200, {"errors": told, "warnings": []})

    # -- uploading ----------------------------------------------------------------------------------------------------

    def preupload(self, kind, name, revision):
        if (repository := self.repository(kind, name, writes=True)) is None:
            return None
        if self.commit_of(repository, revision) is None:
            return None
        files = [
            {
                "path": each["path"],
                "uploadMode": "lfs" if any(fnmatch(each["path"], large) for large in LARGE) else "regular",
                "shouldIgnore": False,
            }
            for each in json.loads(self.body)["files"]
        ]
        return self.answer(200, {"files": files})

    def batch(self, kind, name):
        if self.repository(kind or "models", name, writes=True) is None:
            return None
        objects = []
        for each in json.loads(self.body)["objects"]:
            place = {"href": f"{self.server.endpoint}/lfs/{each['oid']}", "header": {}}
            check = {"href": f"{self.server.endpoint}/lfs/{each['oid']}/verify", "header": {}}
            there = each["oid"] in self.server.blobs
            objects.append({**each, **({} if there else {"actions": {"upload": place, "verify": check}})})
        return self.answer(200, {"transfer": "basic", "objects": objects})

    def put_large(self, oid):
        if hashlib.sha256(self.body).hexdigest() != oid:
            return self.refuse(400, "The content is not what its name says")
        self.keep(self.body)
        return self.answer(200)

    def verify(self, oid):
        whole = len(self.server.blobs.get(oid, b"")) == json.loads(self.body)["size"]
        return self.answer(200) if whole else self.refuse(404, "Not uploaded")

    def commit(self, kind, name, revision):
        if (repository := self.repository(kind, name, writes=True)) is None:
            return None
        if self.commit_of(repository, revision) is None:
            return None
        with self.server.lock:
            before = repository.resolve(revision)
            files, message = dict(repository.commits[before]), ""
            for line in self.body.splitlines():
                item = json.loads(line)
                key, value = item["key"], item["value"]
                if key == "header":
                    message = value["summary"]
                    if value.get("parentCommit") not in (None, before):
                        return self.refuse(412, "A commit has happened since. Please refresh and try again.")
                elif key == "file":
                    files[value["path"]] = self.keep(base64.b64decode(value["content"]))
                elif key == "lfsFile":
                    if value["oid"] not in self.server.blobs:
                        return self.refuse(400, f"{value['path']} was not uploaded")
                    files[value["path"]] = value["oid"]
                elif key == "deletedFile":
                    files.pop(value["path"], None)
                elif key == "deletedFolder":
                    files = {path: sha for path, sha in files.items() if not path.startswith(value["path"])}
            sha = repository.commit(revision, files, message)
        url = f"{self.server.endpoint}/{name}/commit/{sha}"
        return self.answer(200, {"success": True, "commitOid": sha, "commitUrl": url})

    # -- reading ------------------------------------------------------------------------------------------------------

    def info(self, kind, name, revision=""):
        if (repository := self.repository(kind, name)) is None:
            return None
        if (sha := self.commit_of(repository, revision)) is None:
            return None
        siblings = [{"rfilename": path} for path in sorted(repository.commits[sha])]
        told = {"id": name, "sha": sha, "private": repository.private, "siblings": siblings, "tags": []}
        return self.answer(200, {**told, "gated": False, "disabled": False, "downloads": 0, "likes": 0})

    def entry(self, path: str, sha: str) -> dict:
        content = self.server.blobs[sha]
        told = {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
        if any(fnmatch(path, large) for large in LARGE):
            told["lfs"] = {"oid": sha, "size": len(content), "pointerSize": 130}
        return told

    def tree(self, kind, name, revision, path=""):
        if (repository := self.repository(kind, name)) is None:
            return None
        if (commit := self.commit_of(repository, revision)) is None:
            return None
        inside = f"{path.strip('/')}/" if path.strip("/") else ""
        recursive = self.query.get("recursive", ["false"])[0].lower() in ("true", "1")
        found, folders = [], set()
        for each, sha in sorted(repository.commits[commit].items()):
            if each.startswith(inside):
                parts = each.removeprefix(inside).split("/")
                folders |= {inside + "/".join(parts[:depth]) for depth in range(1, len(parts) if recursive else 2)}
                found += [self.entry(each, sha)] if recursive or len(parts) == 1 else []
                folders.discard(each)
        if inside and not found and not folders:
            return self.refuse(404, "Not found", "EntryNotFound")
        listed = [{"type": "directory", "path": each, "size": 0, "oid": "0" * 40} for each in sorted(folders)]
        return self.answer(200, listed + found)

    def paths_info(self, kind, name, revision):
        if (repository := self.repository(kind, name)) is None:
            return None
        if (commit := self.commit_of(repository, revision)) is None:
            return None
        form = "json" not in self.headers.get("Content-Type", "")
        asked = parse_qs(self.body.decode()) if form else json.loads(self.body)
        files, found = repository.commits[commit], []
        for path in asked.get("paths", []):
            if path in files:
                found.append(self.entry(path, files[path]))
            elif any(each.startswith(f"{path}/") for each in files):
                found.append({"type": "directory", "path": path, "size": 0, "oid": "0" * 40})
        return self.answer(200, found)

    def resolve(self, kind, name, revision, path):
        if (repository := self.repository(kind or "models", name)) is None:
            return None
        if (commit := self.commit_of(repository, revision)) is None:
            return None
        sha = repository.commits[commit].get(path)
        if sha is None:
            return self.answer(404, {"error": "Entry not found"}, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        content = self.server.blobs[sha]
        told = {"X_Repo_Commit": commit, "ETag": f'"{sha}"', "Accept_Ranges": "bytes"}
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            first, last = int(match[1]), int(match[2] or len(content) - 1)
            told["Content_Range"] = f"bytes {first}-{min(last, len(content) - 1)}/{len(content)}"
            return self.answer(206, content[first : last + 1], **told)
        return self.answer(200, content, **told)

    _api = rf"/api/{_KINDS}/{_NAME}"
    _web = rf"/(?:{_KINDS}/)?{_NAME}"
    routes = [
        (("GET",), r"/api/whoami-v2", whoami),
        (("POST",), r"/api/validate-yaml", validate),
        (("POST",), r"/api/repos/create", create),
        (("POST",), rf"{_api}/branch/(?P<revision>[^/]+)", branch),
        (("POST",), rf"{_api}/preupload/(?P<revision>[^/]+)", preupload),
        (("POST",), rf"{_api}/commit/(?P<revision>[^/]+)", commit),
        (("POST",), rf"{_web}\.git/info/lfs/objects/batch", batch),
        (("PUT",), r"/lfs/(?P<oid>\w+)", put_large),
        (("POST",), r"/lfs/(?P<oid>\w+)/verify", verify),
        (("GET",), rf"{_api}(?:/revision/(?P<revision>[^/]+))?", info),
        (("GET",), rf"{_api}/tree/(?P<revision>[^/]+)(?P<path>/.*)?", tree),
        (("POST",), rf"{_api}/paths-info/(?P<revision>[^/]+)", paths_info),
        (("GET", "HEAD"), rf"{_web}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", resolve),
    ]
