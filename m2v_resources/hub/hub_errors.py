"""What the Hub's client raises, as errors that say what to do; the token never enters one."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from m2v.errors import HubError, NotAllowed, NotSignedIn, RefusedName

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

# Somebody else was faster (409, 412), too many requests (429), or a server's trouble.
PASSING = {408, 409, 412, 429, 500, 502, 503, 504}
LONGEST_WAIT_S = 60.0


class Passing(HubError):
    """A failure after which the repository is read again.

    Attributes:
        retry_after_s: How long the Hub asks to wait.
    """

    def __init__(self, message: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


@contextlib.contextmanager
def translated(repo: str, *, token: str | bool | None) -> Iterator[None]:
    """Errors of the client and of its HTTP library, as ours.

    Raises:
        Passing: It may work the next time.
        NotSignedIn, NotAllowed, RefusedName, HubError: It will not.
    """
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    def hidden(text: object) -> str:
        message = " ".join(str(text).split())
        return message.replace(token, "***") if isinstance(token, str) else message

    try:
        yield
    except HFValidationError as error:
        raise RefusedName(f"{repo!r} cannot name a repository: {hidden(error)} Write user/name.") from None
    except HfHubHTTPError as error:
        raise _of_status(repo, error, hidden(error.server_message or error)) from None
    except httpx2.TimeoutException as error:
        raise Passing(f"the Hub did not answer in time ({type(error).__name__})") from None
    except httpx2.TransportError as error:
        raise Passing(f"the Hub could not be reached ({hidden(error) or type(error).__name__})") from None
    except RuntimeError as error:
        # What the client calls an upload to large storage that failed five times.
        if isinstance(error.__cause__, HfHubHTTPError):
            raise _of_status(repo, error.__cause__, hidden(error.__cause__.server_message or error)) from None
        raise Passing(f"an upload failed ({hidden(error)})") from None
    except ValueError as error:
        # What it calls a card whose YAML the Hub refuses, or an answer that is not what the Hub sends.
        raise HubError(f"{repo}: {hidden(error)}. Check the card's YAML on the Hub, and HF_ENDPOINT.") from None


def _of_status(repo: str, error: "HfHubHTTPError", message: str) -> HubError:
    status = error.response.status_code
    if status in PASSING:
        asked = error.response.headers.get("Retry-After", "")
        wait_s = min(float(asked), LONGEST_WAIT_S) if asked.isdecimal() else 0.0
        return Passing(f"the Hub answered {status}: {message}", retry_after_s=wait_s)
    if status == 401:
        return NotSignedIn(f"{repo}: the Hub does not accept the token. Run `hf auth login`, or set HF_TOKEN anew.")
    if status == 403:
        return NotAllowed(
            f"{repo}: the token may not write there ({message}). Use a token with write access to that user or "
            "organisation, or publish elsewhere: `--to`."
        )
    if status == 404:
        return HubError(f"{repo}: the Hub does not find it, or the token may not see it ({message}). Check the name.")
    if status == 400:
        return RefusedName(f"{repo}: the Hub refuses it ({message}). Choose another name: `--to user/name`.")
    return HubError(f"{repo}: the Hub answered {status} ({message}).")
