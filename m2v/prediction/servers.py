"""Asking a server that speaks OpenAI's chat API: vLLM, SGLang, `transformers serve`, or a company's.

Several requests are under way at a time. What fails for a moment (a full queue, an error of the server's, a hang) is
tried again by the client library; what fails for good stops the asking, and what was answered until then is kept.
"""

import base64
import json
import math
import mimetypes
import os
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from m2v.entries.datasets import LabelDefinition
from m2v.entries.prompts import Server
from m2v.errors import M2VError
from m2v.files import storage
from m2v.prediction import parsing, prompts

if TYPE_CHECKING:
    from openai import OpenAI

Answer = tuple[float | None, parsing.Outcome]
Keep = Callable[[str, float | None, str], None]
N_RETRIES = 5
# Which keys the user lets which servers have.
KEYS = "M2V_SERVER_KEYS"
N_WORDS = 20  # the most that the API gives


def ask(
    asked: Mapping[str, prompts.Asked],
    *,
    names: Mapping[str, str],
    server: Server,
    model: str,
    label: LabelDefinition,
    mode: Literal["score", "generate"],
    keep: Keep,
) -> None:
    """Ask about each conversation, keep each answer.

    Args:
        asked: Conversations by request.
        names: What they are about, for errors.
        model: What the server calls the model.

    Raises:
        M2VError: The server cannot be reached, refuses, or does not do what ``mode`` needs; or the budget is spent. The
            message says how many are left and what to do; what was answered is kept.
    """
    wanted = list(asked)[: server.budget]
    client = _client(server)
    n_asked, failed = 0, None
    with ThreadPoolExecutor(server.n_at_once) as pool:
        waiting = iter(wanted)
        running: dict[Future[Answer], str] = {}

        def fill() -> None:
            for digest in islice(waiting, server.n_at_once - len(running)):
                messages = with_pictures(asked[digest])
                running[pool.submit(_answer, client, messages, model=model, label=label, mode=mode)] = digest

        fill()
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                digest = running.pop(future)
                problem = future.exception()
                if problem is None:
                    keep(digest, *future.result())
                    n_asked += 1
                elif failed is None:
                    failed = (names[digest], problem)
            # Of what is under way nothing is lost, but nothing new is begun once one has failed for good.
            if failed is None:
                fill()
    n_left = len(asked) - n_asked
    if failed:
        raise M2VError(explained(*failed, server=server, n_left=n_left)) from None
    if n_left:
        raise M2VError(
            f"The budget of {server.budget} requests is spent; {n_left} of {len(asked)} items are left. What was "
            "answered is kept: run again to ask about the rest, or raise `budget` in the study's `server`."
        )


def may_have(url: str, key: str) -> bool:
    """Tell whether a server may be sent the value of a variable: it is on this machine, or the user says so.

    ``M2V_SERVER_KEYS`` holds ``VARIABLE=host[:port]``, several of them with blanks between. A study alone does not
    suffice: a stranger's could send any secret anywhere.
    """
    host = _host(url)
    name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
    is_here = name in {"127.0.0.1", "localhost", "[::1]"}
    return is_here or f"{key}={host}" in os.environ.get(KEYS, "").split()


def _host(url: str) -> str:
    """Return the host of an address, with the port where it names one."""
    return urllib.parse.urlsplit(url).netloc.rpartition("@")[2].lower()


def _client(server: Server) -> "OpenAI":
    import openai

    key = os.environ.get(server.key, "") if server.key else "none"
    if not key:
        raise M2VError(f"The environment variable {server.key} is not set; it is to hold the key for {server.url}.")
    if server.key and not may_have(server.url, server.key):
        host = _host(server.url)
        raise M2VError(
            f"The study wants what {server.key} holds to be sent to {host}. Whoever wrote the study chose both; if you "
            f"trust them with it: export {KEYS}='{server.key}={host}'"
        )
    return openai.OpenAI(base_url=server.url, api_key=key, timeout=server.timeout_s, max_retries=N_RETRIES)


def _answer(client: "OpenAI", messages: Any, *, model: str, label: LabelDefinition, mode: str) -> Answer:
    if mode == "generate":
        completion = client.chat.completions.create(
            model=model,
            messages=messages,
            temperature=0,
            max_tokens=parsing.MAX_NEW_TOKENS,
        )
        return None, parsing.parsed(_first(completion).message.content or "", label=label)
    completion = client.chat.completions.create(
        model=model,
        messages=messages,
        temperature=0,
        max_tokens=1,
        logprobs=True,
        top_logprobs=N_WORDS,
    )
    logprobs = _first(completion).logprobs
    if not logprobs or not logprobs.content:
        raise NoProbabilities
    return scored({token.token: math.exp(token.logprob) for token in logprobs.content[0].top_logprobs}, label=label)


def _first(completion: Any) -> Any:
    if not getattr(completion, "choices", None):
        raise json.JSONDecodeError("no choices", "", 0)
    return completion.choices[0]


class NoProbabilities(Exception):
    """The server does not say how probable words are."""


def scored(probabilities: Mapping[str, float], *, label: LabelDefinition) -> Answer:
    """Return the positive word's probability against the negative one's, from those of first tokens.

    A token counts for the word that begins with it, if the other does not.
    """
    positive, negative = label.positive.casefold(), label.negative.casefold()
    sums = {True: 0.0, False: 0.0}
    for token, probability in probabilities.items():
        begun = token.strip().casefold()
        is_positive, is_negative = positive.startswith(begun), negative.startswith(begun)
        if begun and is_positive != is_negative:
            sums[is_positive] += probability
    if not any(sums.values()):
        return None, "unparsed"
    positive_share = sums[True] / (sums[True] + sums[False])
    return positive_share, "positive" if positive_share > 0.5 else "negative"


def with_pictures(asked: prompts.Asked) -> list[dict[str, Any]]:
    """Return the messages with each placeholder replaced by its pictures, as data URLs; a video is its frames."""
    pictures = iter(asked.pictures)
    messages = []
    for message in asked.messages:
        parts: list[dict[str, Any]] = []
        holders = [part for part in message["content"] if part["type"] != "text"]
        shown: Sequence[str] = next(pictures).pictures if message["role"] == "user" and holders else ()
        parts += [{"type": "image_url", "image_url": {"url": _data_url(storage.local(path))}} for path in shown]
        parts += [part for part in message["content"] if part["type"] == "text"]
        # Some servers take an assistant's words only as a string.
        is_plain = message["role"] == "assistant"
        messages.append({"role": message["role"], "content": parts[0]["text"] if is_plain else parts})
    return messages


def _data_url(path: Path) -> str:
    kind = mimetypes.guess_type(path.name)[0] or "image/png"
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def explained(item: str, problem: BaseException, *, server: Server, n_left: int) -> str:
    """Return what went wrong and what to do, without the key and without what the server wrote."""
    import openai

    kept = f"{n_left} items are left, what was answered is kept; run again to go on."
    key = f"the variable {server.key}" if server.key else "`key` in the study's `server`, the name of a variable"
    match problem:
        case NoProbabilities():
            problem_text = "gives no probabilities of words (logprobs). Take `mode: generate`, or another server."
        case openai.AuthenticationError() | openai.PermissionDeniedError():
            problem_text = f"refuses the key ({problem.status_code}). See {key}."
        case openai.NotFoundError():
            problem_text = (
                "does not know the model or the address (404). See `url` and `model` in the study's `server`."
            )
        case openai.RateLimitError():
            problem_text = f"has no room (429), {N_RETRIES + 1} times. Take a smaller `n_at_once`, or wait."
        case openai.APITimeoutError():
            problem_text = (
                f"gave no answer in {server.timeout_s:g} s, {N_RETRIES + 1} times. Raise `timeout_s`, or restart it."
            )
        case openai.APIConnectionError():
            problem_text = f"cannot be reached, or broke off, {N_RETRIES + 1} times. Is it running?"
        case openai.APIStatusError():
            problem_text = f"answered with {problem.status_code} to the question about {item}. See its log."
        case _:
            problem_text = f"gave half an answer ({type(problem).__name__}) to the question about {item}. See its log."
    return f"The server at {server.url} {problem_text} {kept}"
