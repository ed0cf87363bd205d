"""A stand-in for the Hugging Face Hub: the routes that its library uses for making, filling and reading a repository.

It knows no large files: the answer of ``preupload`` makes every file a regular one, whose bytes come with the commit.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass
class Repository:
    private: bool = False
    gated: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[dict[str, Any]] = field(default_factory=list)

    @property
    def commit(self) -> str:
        """Of what it holds now, as a digest that looks like one of git."""
        return hashlib.sha1(repr(sorted(self.files.items())).encode()).hexdigest()


class StandIn(ThreadingHTTPServer):
    """The server; `repositories` is what it holds, `asked` the requests in their order, `agents` who asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, Repository] = {}
        self.asked: list[str] = []
        self.token: str | None = "hf_right"

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: StandIn
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def answer(self, status: int, content: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def answer_json(self, document: Any, status: int = 200) -> None:
        self.answer(status, json.dumps(document).encode(), Content_Type="application/json")

    def refuse(self, status: int, code: str) -> None:
        self.answer(status, b"", X_Error_Code=code, X_Error_Message=code)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    @property
    def is_known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {self.server.token}"

    def parts(self) -> list[str]:
        path = urlsplit(self.path).path
        self.server.asked.append(f"{self.command} {path}")
        return [unquote(part) for part in path.split("/")[1:]]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        match self.parts():
            case ["api", "models", owner, name]:
                repository = self.open(f"{owner}/{name}")
                if repository is not None:
                    siblings = [{"rfilename": file} for file in repository.files]
                    self.answer_json(
                        {"id": f"{owner}/{name}", "private": repository.private, "sha": repository.commit}
                        | {"siblings": siblings, "tags": [], "gated": repository.gated, "downloads": 0, "likes": 0}
                    )
            case [owner, name, "resolve", revision, file]:
                self.resolve(f"{owner}/{name}", revision, file)
            case _:
                self.refuse(404, "NoSuchRoute")

    def open(self, repo_id: str) -> Repository | None:
        repository = self.server.repositories.get(repo_id)
        if repository is None or (repository.private and not self.is_known):
            self.refuse(404 if self.is_known else 401, "RepoNotFound")
            return None
        return repository

    def resolve(self, repo_id: str, revision: str, file: str) -> None:
        repository = self.open(repo_id)
        if repository is None:
            return
        commit = repository.commit
        if repository.gated:
            self.refuse(403, "GatedRepo")
        elif revision not in ("main", commit):
            self.refuse(404, "RevisionNotFound")
        elif file not in repository.files:
            self.answer(404, b"", X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        else:
            content = repository.files[file]
            etag = f'"{hashlib.sha1(content).hexdigest()}"'
            self.answer(200, content, ETag=etag, X_Repo_Commit=commit, Accept_Ranges="bytes")

    def do_POST(self) -> None:
        match self.parts():
            case ["api", "validate-yaml"]:
                self.body()
                self.answer_json({"errors": [], "warnings": []})
            case _ if not self.is_known:
                self.body()
                self.answer(401, b'{"error": "Invalid username or password."}')
            case ["api", "repos", "create"]:
                self.create(json.loads(self.body()))
            case ["api", "models", owner, name, "preupload", _]:
                files = json.loads(self.body())["files"]
                modes = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in files]
                if self.open_quietly(owner, name):
                    self.answer_json({"files": modes})
            case ["api", "models", owner, name, "commit", revision]:
                self.commit(f"{owner}/{name}", revision, self.body())
            case _:
                self.body()
                self.refuse(404, "NoSuchRoute")

    def open_quietly(self, owner: str, name: str) -> bool:
        return self.open(f"{owner}/{name}") is not None

    def create(self, asked: dict[str, Any]) -> None:
        repo_id = f"{asked['organization']}/{asked['name']}"
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        address = {"url": f"{self.server.address}/{repo_id}", "name": repo_id, "id": repo_id}
        if repo_id in self.server.repositories:
            self.answer_json({"error": "You already created this model repo", **address}, 409)
        else:
            self.server.repositories[repo_id] = Repository(private)
            self.answer_json(address)

    def commit(self, repo_id: str, revision: str, body: bytes) -> None:
        lines = [json.loads(line) for line in body.splitlines()]
        header, changes = lines[0]["value"], lines[1:]
        assert all(change["key"] == "file" for change in changes)
        files = {
            change["value"]["path"]: base64.b64decode(change["value"]["content"], validate=True) for change in changes
        }
        repository = self.server.repositories[repo_id]
        is_proposal = "create_pr=1" in self.path
        repository.commits.append({"summary": header["summary"], "revision": revision, "files": files})
        if not is_proposal:
            repository.files |= files
        address = f"{self.server.address}/{repo_id}"
        self.answer_json(
            {"success": True, "commitOid": repository.commit, "commitUrl": f"{address}/commit/{repository.commit}"}
            | ({"pullRequestUrl": f"{address}/discussions/1"} if is_proposal else {})
        )


@contextmanager
def hub() -> Iterator[StandIn]:
    """A running stand-in."""
    server = StandIn()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
