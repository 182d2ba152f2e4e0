"""RunPod's API, as far as a deployment needs it: REST v2, and GraphQL for what REST lacks.

Rules: every failure is one DeployError, in words. The API key is sent to RunPod alone, over TLS,
and never shown: it is cut out of every message, and redirects are not followed.
Sources: https://api.runpod.io/v2/openapi.json; for cached models, UpdateEndpointModels in
internal/api/endpoints.go of runpod/runpodctl.
"""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from worker.deploy import DeployError
from worker.deploy.plan import Target

JsonObject = dict[str, Any]
TIMEOUT_S = 60
"""Creating a pod waits for a machine."""

_PATHS = {
    Target.QUEUE: "/v2/serverless",
    Target.LOAD_BALANCER: "/v2/serverless",
    Target.POD: "/v2/pods",
}

_SAVED = (
    "id", "name", "type", "templateId", "gpuIds", "gpuCount", "workersMin", "workersMax",
    "idleTimeout", "scalerType", "scalerValue", "executionTimeoutMs", "flashBootType",
    "minCudaVersion", "locations", "networkVolumeId",
)  # fmt: skip
"""What `saveEndpoint` is sent again: it replaces an endpoint as a whole."""

_READ = f"query {{ myself {{ endpoints {{ {' '.join(_SAVED)} }} }} }}"
_SAVE = "mutation($input: EndpointInput!) { saveEndpoint(input: $input) { id modelReferences } }"


class RunPodAccount(BaseSettings):
    """Whose account it is, from the environment of whoever deploys."""

    model_config = SettingsConfigDict(env_ignore_empty=True, frozen=True, extra="ignore")

    runpod_api_key: SecretStr | None = None
    runpod_api_base_url: str = "https://api.runpod.io"


class NotAnswered(DeployError):
    """RunPod did not answer: what was asked may have been done."""


class RunPodApi:
    """A connection to RunPod, to be closed. All methods raise DeployError."""

    def __init__(self, account: RunPodAccount) -> None:
        self._key = _usable(account.runpod_api_key)
        self._url = account.runpod_api_base_url.rstrip("/")
        url = httpx.URL(self._url)
        if url.scheme != "https" and url.host not in ("127.0.0.1", "localhost"):
            raise DeployError(f"RUNPOD_API_BASE_URL must begin with https://, got {self._url!r}.")
        headers = {"Authorization": f"Bearer {self._key}", "User-Agent": "gpt-oss-worker"}
        self._client = httpx.Client(headers=headers, timeout=TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._client.close()

    def gpus(self, target: Target) -> list[JsonObject]:
        """The catalog, with prices and with what is free now."""
        product = "POD" if target is Target.POD else "SERVERLESS"
        query = f"include=AVAILABILITY&product={product}"
        return self._ask("GET", f"/v2/catalog/gpus?{query}", "list the GPUs").get("gpus", [])

    def create(self, target: Target, body: Mapping[str, Any]) -> JsonObject:
        """Creates an endpoint or a pod. Returns it as RunPod describes it, with its `id`."""
        return self._ask("POST", _PATHS[target], f"create the {target.noun}", body)

    def get(self, target: Target, id_: str) -> JsonObject:
        return self._ask("GET", f"{_PATHS[target]}/{id_}", f"show the {target.noun}")

    def named(self, target: Target, name: str) -> list[JsonObject]:
        """The endpoints or pods with this name."""
        found = self._ask("GET", _PATHS[target], f"list the {target.noun}s")
        each = found.get("pods" if target is Target.POD else "endpoints", [])
        return [one for one in each if one["name"].removesuffix(" -fb") == name]

    def delete(self, target: Target, id_: str) -> None:
        self._ask("DELETE", f"{_PATHS[target]}/{id_}", f"delete the {target.noun} {id_}")

    def worker_counts(self, id_: str) -> Mapping[str, int]:
        """How many workers an endpoint has, by state: initializing, throttled, idle, …"""
        path = f"{_PATHS[Target.QUEUE]}/{id_}/workers"
        return self._ask("GET", path, "list the workers").get("summary", {})

    def set_cached_models(self, id_: str, references: Sequence[str]) -> None:
        """Has RunPod keep models on the hosts of an endpoint. REST v2 has no field for them."""
        endpoints = self._graphql(_READ, {})["myself"]["endpoints"]
        found = next((each for each in endpoints if each["id"] == id_), None)
        if found is None:
            raise DeployError(f"RunPod does not list the endpoint {id_} that it has just created.")
        kept = {key: value for key, value in found.items() if value is not None}
        self._graphql(_SAVE, {"input": {**kept, "modelReferences": list(references)}})

    def fetch(self, method: str, url: str, body: object = None, timeout: float = 20) -> Any:
        """What a deployed endpoint answers to the account's key: JSON, or None if not yet 200."""
        try:
            response = self._client.request(method, url, json=body, timeout=timeout)
        except httpx.HTTPError:
            return None
        if response.status_code == 401:
            raise DeployError(f"{url} does not accept the RUNPOD_API_KEY (401).")
        return response.json() if response.status_code == 200 else None

    def _graphql(self, query: str, variables: Mapping[str, Any]) -> JsonObject:
        what = "cache the model"
        content = {"query": query, "variables": variables}
        answer = self._ask("POST", "/graphql", what, content)
        if errors := answer.get("errors"):
            raise self._error(f"RunPod did not {what}: {errors[0].get('message')}")
        return answer["data"]

    def _ask(self, method: str, path: str, what: str, body: object = None) -> JsonObject:
        """`what`: what is asked for, as in "create the endpoint"."""
        try:
            response = self._client.request(method, f"{self._url}{path}", json=body)
        except httpx.ConnectError as error:
            raise self._error(f"RunPod cannot be reached at {self._url}: {error}") from None
        except httpx.HTTPError as error:
            message = f"RunPod did not answer when asked to {what} ({type(error).__name__})."
            raise NotAnswered(message) from None
        if response.is_success:
            return self._json(response, what) if response.content else {}
        raise self._error(_refusal(response, what))

    def _json(self, response: httpx.Response, what: str) -> JsonObject:
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise self._error(f"RunPod's answer when asked to {what} is no JSON object.")
        return answer

    def _error(self, message: str) -> DeployError:
        return DeployError(self._clean(message))

    def _clean(self, message: str) -> str:
        """On one line, without the key."""
        return " ".join(message.replace(self._key, "***").split())


def _usable(key: SecretStr | None) -> str:
    text = key.get_secret_value().strip() if key else ""
    if not text:
        raise DeployError(
            "RUNPOD_API_KEY is not set: make a key at https://console.runpod.io/user/settings, or "
            "use --print, which needs none."
        )
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise DeployError("RUNPOD_API_KEY has characters that no key of RunPod's has.")
    return text


def _refusal(response: httpx.Response, what: str) -> str:
    """A refused request in words. v2 sends RFC 9457 objects: title, status, detail."""
    status = response.status_code
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    told = problem.get("detail") or problem.get("title") if isinstance(problem, dict) else None
    detail = f": {told}" if told else ""
    match status:
        case 401:
            return f"RunPod does not accept the RUNPOD_API_KEY (401){detail}."
        case 403:
            return f"The RUNPOD_API_KEY may not {what} (403){detail}."
        case 429:
            wait = response.headers.get("retry-after", "60")
            return f"RunPod's rate limit is reached (429): try again in {wait} s."
        case _:
            return f"RunPod refused to {what} ({status}){detail}."
