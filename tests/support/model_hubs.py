"""Servers that answer as Hugging Face (downloads.md §1) and Civitai (§2) do, with storage hosts of their own."""

from fault_server import FileServer, Reply


class HuggingFace(FileServer):
    """The hub. Files lie on `storage`, behind links that it signs."""

    COMMIT = "ee0a4510f" + "0" * 31

    def __init__(self, storage, storage_url=None, token="", **how):
        super().__init__(**how)
        self.storage, self.storage_url, self.token = storage, storage_url or storage.url, token
        self.links = {}  # for signed_link: {"requests": 3}

    def add_model(self, path, content, gated=False, sha256=None):
        """path: "owner/repository/resolve/main/file.safetensors". sha256: what the hub says, right or wrong."""
        name = path.rpartition("/")[2]
        self.storage.add(name, content)
        content = self.storage.files["/" + name]

        def answer(request):
            refused = self._refused(request, gated)
            if refused:
                return refused
            link = self.storage.signed_link(name, **self.links)
            return Reply.of(302, b"Found. Redirecting", "text/plain", Location=self._from_outside(link),
                            X_Repo_Commit=self.COMMIT, X_Linked_Size=str(content.size), Accept_Ranges="bytes",
                            X_Linked_Etag=f'"{sha256 or content.sha256}"', ETag=f'"{sha256 or content.sha256}"',
                            X_Xet_Hash="a" * 64)

        self.route("/" + path, answer)
        self.route("/" + path.replace("/resolve/main/", f"/resolve/{self.COMMIT}/"), answer)

    def _from_outside(self, link):
        return self.storage_url + link[len(self.storage.url):]

    def _refused(self, request, gated):
        given = request.headers.get("authorization")
        if given and given != f"Bearer {self.token}":
            return self.error(401, X_Error_Message="Invalid credentials in Authorization header")
        if gated and not given:
            return self.error(401, X_Error_Code="GatedRepo", X_Error_Message="Access to model is restricted.")
        return None

    @staticmethod
    def error(status, **headers):
        return Reply.of(status, b"Access denied", "text/plain", **headers)


class Civitai(FileServer):
    """The site. Its download links count, and lead to `storage`."""

    BROWSERS = ("mozilla", "chrome", "safari", "firefox", "opera", "edge")
    LOGIN_REQUIRED = "The creator of this asset requires you to be logged in to download it"
    DISABLED = "The creator of this asset has disabled downloads on this file"

    def __init__(self, storage, storage_url=None, token="", **how):
        super().__init__(**how)
        self.storage, self.storage_url, self.token = storage, storage_url or storage.url, token
        self.links = {}
        self.troubles = []  # answers to the next downloads, before the real one

    def add_model(self, version, name, content, login=False, sha256=None):
        """sha256: what the API says, right or wrong; "" for an API that knows none."""
        self.storage.add(name, content)
        content = self.storage.files["/" + name]
        self.route(f"/api/download/models/{version}", lambda request: self._download(request, name, login))
        said = content.sha256 if sha256 is None else sha256
        file = {"id": 1, "name": name + ".safetensors", "type": "Model", "primary": True,
                "sizeKB": content.size / 1024, "metadata": {"format": "SafeTensor", "size": "pruned", "fp": "fp16"},
                "hashes": {"SHA256": said.upper()} if said else {}}
        about = {"id": version, "modelId": 1, "name": "v1", "files": [file]}
        self.route(f"/api/v1/model-versions/{version}", lambda request: Reply.json(200, about))

    def _download(self, request, name, login):
        if self.troubles:
            return self.troubles.pop(0)
        if login and request.headers.get("authorization") != f"Bearer {self.token}":
            if any(browser in request.headers.get("user-agent", "").lower() for browser in self.BROWSERS):
                return Reply.of(307, Location="/login?returnUrl=%2Fmodels%2F1&reason=download-auth")
            return self.error(401, "Unauthorized", self.LOGIN_REQUIRED)
        link = self.storage.signed_link(name, **self.links)
        return Reply.of(307, Location=self.storage_url + link[len(self.storage.url):])

    @staticmethod
    def error(status, error, message="", **headers):
        return Reply.json(status, {"error": error, "message": message} if message else {"error": error}, **headers)
