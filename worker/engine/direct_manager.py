"""SGLang's tokenizer manager, with token IDs that go straight from its scheduler to the requests.

SGLang sends what its scheduler generates to a detokenizer process, which sends it on with the text
added. Its tokenizer manager then makes a dict of some twenty fields for every step of every
request. The worker needs neither the text nor most of the fields.

Rules: requests are checked, sent and aborted by SGLang's own code; only what comes back is handled
here. A message has a step of every running request. All messages that have arrived are read before
any request is woken, each request is woken once, and what it could not take yet is merged into one
step. SGLang's metrics and request logs, which are made from its dicts, do not exist here.
`Any` stands for SGLang's types. Source: `TokenizerManager` of SGLang 0.5.23.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from itertools import repeat
from typing import Any

import zmq
from sglang.srt.managers.io_struct import BatchTokenIDOutput, sock_recv
from sglang.srt.managers.tokenizer_manager import TokenizerManager

from worker.engine.sglang_results import Finish, aborted
from worker.generation import FinishReason, Step, TokenLogprob

MAX_MESSAGES = 64
"""How many messages are read before waiting requests run: a fast engine must not starve them."""


class DirectManager(TokenizerManager):
    """A tokenizer manager whose `generate_request` generates Steps.

    It raises the worker's errors for requests that SGLang has refused.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._waiting: dict[str, Arrived] = {}

    async def handle_loop(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Receives until it is cancelled. Re-raises any exception from handling a message."""
        loop = asyncio.get_running_loop()
        failed: asyncio.Future[None] = loop.create_future()
        asynchronous: Any = self.recv_from_detokenizer
        socket = zmq.Socket[bytes].shadow(asynchronous)

        def receive() -> None:
            try:
                if self._receive(socket):
                    loop.call_soon(receive)
            except Exception as error:  # noqa: BLE001 - raised below
                if not failed.done():
                    failed.set_exception(error)

        # The descriptor of a ZMQ socket becomes readable once for all that has arrived.
        loop.add_reader(socket.FD, receive)
        loop.call_soon(receive)
        try:
            await failed
        finally:
            loop.remove_reader(socket.FD)

    def _receive(self, socket: "zmq.Socket[bytes]") -> bool:
        """Hands on the messages that have arrived; returns whether there may be more."""
        for _ in range(MAX_MESSAGES):
            try:
                message = sock_recv(socket, zmq.NOBLOCK)
            except zmq.Again:
                return False
            if isinstance(message, BatchTokenIDOutput):
                self._hand_on(message)
            else:
                self._result_dispatcher(message)
        return True

    def _hand_on(self, batch: Any) -> None:
        with_logprobs = batch.output_token_logprobs_val is not None
        for index, rid in enumerate(batch.rids):
            finish = batch.finished_reasons[index]
            arrived = self._waiting.get(rid) if finish is None else self._remove(rid)
            if arrived is None:  # its client has left
                continue
            arrived.ids.extend(batch.output_ids[index])
            arrived.counts = (
                batch.prompt_tokens[index],
                batch.cached_tokens[index],
                batch.completion_tokens[index],
            )
            if with_logprobs:
                arrived.logprobs.extend(_logprobs(batch, index))
            arrived.wake(finish)

    def _handle_abort_req(self, recv_obj: Any) -> None:
        """Ends a request that SGLang aborted before it ran."""
        if (arrived := self._remove(recv_obj.rid)) is not None:
            message = recv_obj.abort_message
            arrived.wake(recv_obj.finished_reason or {"type": "abort", "message": message})

    def _remove(self, rid: str) -> "Arrived | None":
        """Forgets a request that has ended: a new one may have its ID."""
        self.rid_to_state.pop(rid, None)
        return self._waiting.pop(rid, None)

    async def _wait_one_response(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, obj: Any, *_: Any
    ) -> AsyncGenerator[Step]:
        loop = asyncio.get_running_loop()
        arrived = self._waiting[obj.rid] = Arrived()
        try:
            while (finish := arrived.finish) is None:
                if arrived.ids:
                    yield arrived.take(None)
                else:
                    arrived.woken = loop.create_future()
                    await arrived.woken
            yield aborted(finish) if finish["type"] == "abort" else arrived.take(finish["type"])
        finally:
            if self._waiting.get(obj.rid) is arrived:
                del self._waiting[obj.rid]


class Arrived:
    """What has arrived for a request and has not been taken."""

    __slots__ = ("counts", "finish", "ids", "logprobs", "woken")

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.logprobs: list[TokenLogprob] = []
        self.counts = (0, 0, 0)  # prompt, cached and completion tokens
        self.finish: Finish | None = None
        self.woken: asyncio.Future[None] | None = None  # set while the request waits

    def wake(self, finish: Finish | None) -> None:
        """Lets the request take what has arrived, which is the last of it if `finish` is given."""
        self.finish = finish
        if self.woken is not None:
            if not self.woken.done():  # its task may have been cancelled
                self.woken.set_result(None)
            self.woken = None

    def take(self, reason: FinishReason | None) -> Step:
        ids, self.ids = self.ids, []
        logprobs, self.logprobs = self.logprobs, []
        return Step(ids, reason, *self.counts, logprobs)


def _logprobs(batch: Any, index: int) -> Iterator[TokenLogprob]:
    """The log probabilities of a request's new tokens; none if it asked for none."""
    chosen = batch.output_token_logprobs_val[index] or ()
    tokens = batch.output_token_logprobs_idx[index] or ()
    tops = batch.output_top_logprobs_val[index] or repeat(None)
    top_tokens = batch.output_top_logprobs_idx[index] or repeat(None)
    for token, logprob, top, top_token in zip(tokens, chosen, tops, top_tokens, strict=False):
        yield TokenLogprob(token, logprob, list(zip(top_token or (), top or (), strict=True)))
