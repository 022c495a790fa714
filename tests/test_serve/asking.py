"""A client that sends a path as it stands: a library would tidy up the ones that try to climb out."""

import contextlib
import gzip
import json
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from tests.test_serve.server import Running


@dataclass
class Answer:
    """What a request came back with."""

    status_code: int
    headers: dict[str, str]  # names in small letters
    data: bytes

    @property
    def content_type(self) -> str:
        return self.headers["content-type"].partition(";")[0]

    @property
    def text(self) -> str:
        return self.data.decode()

    def json(self) -> Any:
        return json.loads(self.unpacked)

    @property
    def unpacked(self) -> bytes:
        return gzip.decompress(self.data) if self.headers.get("content-encoding") == "gzip" else self.data


@dataclass
class Client:
    """One request a connection."""

    running: Running

    def get(self, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> Answer:
        with contextlib.closing(HTTPConnection("127.0.0.1", self.running.port, timeout=60)) as connection:
            connection.request(method, path, headers=headers or {})
            response = connection.getresponse()
            told = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, told, response.read())
