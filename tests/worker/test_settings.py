"""Settings: read once from the environment, or rejected with a one-line message."""

import pytest

from worker.settings import Settings, SettingsError, load, misspelt


@pytest.fixture(autouse=True)
def only_what_a_test_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)


def test_defaults_are_those_of_the_contract() -> None:
    """With nothing set, the worker serves gpt-oss-20b with its whole context."""
    settings = load()
    assert settings.model == "openai/gpt-oss-20b"
    assert settings.max_model_len == 131072
    assert settings.mem_fraction_static == 0.90
    assert settings.max_running_requests == 64
    assert settings.port == 8000
    assert settings.chunked_prefill is True
    assert settings.reasoning_effort == "medium"
    assert settings.system_date is None
    assert settings.tensor_parallel_size is None


def test_an_empty_value_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """A console that leaves a field empty changes nothing."""
    monkeypatch.setenv("MAX_MODEL_LEN", "")
    monkeypatch.setenv("API_KEY", "")
    assert load().max_model_len == 131072
    assert load().api_key == ()


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """SERVED_MODEL_NAME and API_KEY take several values."""
    monkeypatch.setenv("SERVED_MODEL_NAME", "gpt-oss, mine ,")
    monkeypatch.setenv("API_KEY", "one,two")
    assert load().served_model_name == ("gpt-oss", "mine")
    assert [key.get_secret_value() for key in load().api_key] == ["one", "two"]


def test_either_token_variable_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """HUGGING_FACE_HUB_TOKEN and HF_TOKEN mean the same."""
    monkeypatch.setenv("HF_TOKEN", "hf_abc")
    token = load().hf_token
    assert token is not None
    assert token.get_secret_value() == "hf_abc"


def test_the_peers_variables_are_read_and_named_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One line each; this worker's own name wins."""
    monkeypatch.setenv("MODEL_NAME", "theirs")
    monkeypatch.setenv("MAX_CONCURRENCY", "7")
    assert (load().model, load().max_running_requests) == ("theirs", 7)
    caplog.clear()
    monkeypatch.setenv("MODEL", "ours")
    assert load().model == "ours"
    assert caplog.messages == [
        "MODEL_NAME is ignored; this worker's name for it is MODEL",
        "MAX_CONCURRENCY is used; this worker's name for it is MAX_RUNNING_REQUESTS",
    ]


def test_a_bad_value_of_a_peers_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the variable that holds it."""
    monkeypatch.setenv("MAX_CONCURRENCY", "x")
    with pytest.raises(
        SettingsError, match="MAX_CONCURRENCY must be an integer, 1 or greater, got 'x'"
    ):
        load()


def test_engine_args_are_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any SGLang argument can be given."""
    monkeypatch.setenv("ENGINE_ARGS", '{"max_total_tokens": 1000}')
    assert load().engine_args == {"max_total_tokens": 1000}


def test_auto_tensor_parallelism_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """'auto' can be said in words."""
    monkeypatch.setenv("TENSOR_PARALLEL_SIZE", "auto")
    assert load().tensor_parallel_size is None


@pytest.mark.parametrize(("value", "longest"), [("", None), ("off", None), ("4000", 4000)])
def test_reasoning_in_call_ids_is_off_or_a_length(
    monkeypatch: pytest.MonkeyPatch, value: str, longest: int | None
) -> None:
    """In characters of an id."""
    monkeypatch.setenv("REASONING_IN_CALL_IDS", value)
    assert load().reasoning_in_call_ids == longest


def test_settings_cannot_be_changed() -> None:
    """Nothing in the worker can set a setting."""
    with pytest.raises(ValueError, match="frozen"):
        load().port = 1  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        (
            "MAX_MODEL_LEN",
            "abc",
            "MAX_MODEL_LEN must be 'auto' or an integer, 1 or greater, got 'abc'",
        ),
        (
            "MAX_QUEUED_REQUESTS",
            "0",
            "MAX_QUEUED_REQUESTS must be an integer, 1 or greater, got '0'",
        ),
        (
            "RESPONSE_STORE",
            "volume",
            "RESPONSE_STORE must be 'memory', 'off', or an absolute path of a folder, got 'volume'",
        ),
        (
            "RESPONSE_STORE_HOURS",
            "0",
            "RESPONSE_STORE_HOURS must be a number of hours, greater than 0, got '0'",
        ),
        (
            "REASONING_IN_CALL_IDS",
            "63",
            (
                "REASONING_IN_CALL_IDS must be 'off' or a number of characters, 64 or greater, "
                "got '63'"
            ),
        ),
        ("PORT", "70000", "PORT must be a port number from 1 to 65535, got '70000'"),
        (
            "MEM_FRACTION_STATIC",
            "1.5",
            "MEM_FRACTION_STATIC must be a number greater than 0 and less than 1, got '1.5'",
        ),
        ("CHUNKED_PREFILL", "maybe", "CHUNKED_PREFILL must be true or false, got 'maybe'"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL must be debug, info, warning or error, got 'loud'"),
        ("SYSTEM_DATE", "today", "SYSTEM_DATE must be a date in the form YYYY-MM-DD, got 'today'"),
        (
            "ENGINE_ARGS",
            "{",
            "ENGINE_ARGS must be a JSON object of SGLang server arguments, got '{'",
        ),
        (
            "ENGINE_ARGS",
            "[1]",
            "ENGINE_ARGS must be a JSON object of SGLang server arguments, got [1]",
        ),
        (
            "DYN_TOOL_CALL_PARSER",
            "pythonic",
            (
                "DYN_TOOL_CALL_PARSER must be 'harmony' (the worker parses gpt-oss's token "
                "IDs itself), got 'pythonic'"
            ),
        ),
        (
            "DYN_REASONING_PARSER",
            "deepseek-r1",
            (
                "DYN_REASONING_PARSER must be 'gpt_oss' (the worker parses gpt-oss's token "
                "IDs itself), got 'deepseek-r1'"
            ),
        ),
    ],
)
def test_a_bad_value_is_one_line_that_says_what_is_taken(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, line: str
) -> None:
    """The line names the variable, its value and what it takes."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load()
    assert str(caught.value) == line


def test_several_bad_values_are_named_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person fixes all of them in one go."""
    monkeypatch.setenv("PORT", "x")
    monkeypatch.setenv("MAX_MODEL_LEN", "y")
    with pytest.raises(SettingsError) as caught:
        load()
    assert "PORT must be a port number from 1 to 65535, got 'x'" in str(caught.value)
    assert "MAX_MODEL_LEN must be 'auto' or an integer, 1 or greater, got 'y'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings can be logged whole."""
    monkeypatch.setenv("API_KEY", "sk-secret")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert "secret" not in repr(load())


def test_a_misspelt_variable_is_named_with_the_right_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In a warning, since it may be another program's."""
    monkeypatch.setenv("MAX_MODEL_LENGTH", "4096")
    assert load().max_model_len == 131072
    (message,) = [each for each in caplog.messages if "MAX_MODEL_LENGTH" in each]
    assert (
        message == "MAX_MODEL_LENGTH is not a setting and is ignored; did you mean MAX_MODEL_LEN?"
    )


@pytest.mark.parametrize(
    "name", ["REASONING_EFORT", "TENSOR_PARALLEL", "API_KEYS", "LOG_LEVELS", "HF_HUB_TOKEN"]
)
def test_what_is_close_to_a_setting_is_misspelt(name: str) -> None:
    """A letter, a plural, a missing word."""
    assert name in misspelt([name])


@pytest.mark.parametrize(
    "name",
    [
        *("HOSTNAME", "PATH", "HOME", "OPENAI_API_KEY", "RUNPOD_API_KEY", "RUNPOD_LOG_LEVEL"),
        *("HF_HUB_OFFLINE", "CUDA_HOME", "NVIDIA_VISIBLE_DEVICES", "RUNPOD_POD_ID", "LOGNAME"),
        *("SGLANG_CACHE_DIR", "PUBLIC_KEY", "SSH_PASSWORD", "PYTHONPATH", "max_model_len"),
    ],
)
def test_other_programs_variables_are_not_misspelt(name: str) -> None:
    """What a pod has anyway, and our own in lower case."""
    assert misspelt([name]) == {}
