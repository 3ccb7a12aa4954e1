"""The rest of the OpenAI SDK's surface: responses, embeddings, models, moderations, images, audio."""

import base64
import io
import json
import struct
from collections.abc import Callable
from typing import Any

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from tests.contract.conftest import KEY, Entry
from tests.support.script import Hold, answer, stream, whole
from tests.support.upstream import Upstream

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 400


class Place(BaseModel):
    city: str
    people: int


def demo_client(entry: Entry) -> OpenAI:
    return OpenAI(base_url=f"{entry.demo}/v1", api_key=KEY, max_retries=0, timeout=10)


def scripted_client(entry: Entry) -> OpenAI:
    return OpenAI(base_url=f"{entry.scripted}/v1", api_key=KEY, max_retries=0, timeout=10)


def test_a_response_is_answered_whole(entry: Entry) -> None:
    with demo_client(entry) as client:
        result = client.responses.create(model=entry.demo_model, input="hello")
    assert result.status == "completed"
    assert result.output_text.endswith(".")
    assert result.usage is not None


def test_a_response_streams_to_its_completion(entry: Entry) -> None:
    with demo_client(entry) as client:
        events = list(client.responses.create(model=entry.demo_model, input="hello", stream=True))
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == text


def test_the_responses_helper_parses_a_structured_answer(entry: Entry) -> None:
    with (
        demo_client(entry) as client,
        client.responses.stream(model=entry.demo_model, input="hello", text_format=Place) as events,
    ):
        for _ in events:
            pass
        final = events.get_final_response()
    assert final.output_parsed == Place(city="Oslo", people=3)


def test_a_response_calls_a_function(entry: Entry) -> None:
    tool: Any = {"type": "function", "name": "f", "strict": True, "parameters": Place.model_json_schema()}
    with demo_client(entry) as client:
        result = client.responses.create(model=entry.demo_model, input="hello", tools=[tool])
    call = result.output[0]
    assert call.type == "function_call"
    assert json.loads(call.arguments) == {"city": "Oslo", "people": 3}


def test_input_tokens_are_counted(entry: Entry) -> None:
    with demo_client(entry) as client:
        assert client.responses.input_tokens.count(model=entry.demo_model, input="hello").input_tokens > 0


@pytest.mark.parametrize("encoding", [None, "float"])
def test_embeddings_come_as_floats_however_they_travel(entry: Entry, encoding: str | None) -> None:
    given: Any = {} if encoding is None else {"encoding_format": encoding}
    with demo_client(entry) as client:
        result = client.embeddings.create(model=entry.demo_model, input=["a", "b"], **given)
    assert [len(each.embedding) for each in result.data] == [8, 8]
    assert sum(part * part for part in result.data[0].embedding) == pytest.approx(1.0, abs=1e-5)


def test_the_sdks_default_of_base64_reaches_the_upstream(entry: Entry, upstream: Upstream) -> None:
    packed = base64.b64encode(struct.pack("<2f", 0.5, -0.25)).decode()
    data = [{"object": "embedding", "index": 0, "embedding": packed}]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    upstream.always(answer({"object": "list", "data": data, "model": "m", "usage": usage}))
    with scripted_client(entry) as client:
        result = client.embeddings.create(model=entry.model, input="a")
    assert result.data[0].embedding == [0.5, -0.25]
    assert upstream.requests[0].json()["encoding_format"] == "base64"


def test_models_are_listed_with_what_wildcards_reach(entry: Entry, upstream: Upstream) -> None:
    upstream.answer = lambda seen: answer({"object": "list", "data": []})
    with demo_client(entry) as client:
        names = {model.id for model in client.models.list()}
    assert {"demo-1", "demo-1-mini", "demo-embed"} <= names
    if entry.through_gateway:
        assert {"demo", "m", "org/m"} <= names
        assert not [name for name in names if "*" in name]


def test_a_model_is_retrieved_also_with_a_slash_in_its_name(entry: Entry, upstream: Upstream) -> None:
    card = {"id": "org/m", "object": "model", "created": 1, "owned_by": "them"}
    upstream.always(answer(card))
    with scripted_client(entry) as client:
        assert client.models.retrieve("org/m").id == "org/m"


def test_an_unknown_model_is_not_retrieved(entry: Entry, upstream: Upstream) -> None:
    upstream.always(answer({"object": "list", "data": []} if entry.through_gateway else {}, 404))
    with scripted_client(entry) as client, pytest.raises(openai.NotFoundError):
        client.models.retrieve("no-such-model-anywhere")


def test_moderations_pass(entry: Entry, upstream: Upstream) -> None:
    upstream.always(answer({"id": "modr-1", "model": "m", "results": [{"flagged": True, "categories": {}}]}))
    with scripted_client(entry) as client:
        assert client.moderations.create(model=entry.model, input="x").results[0].flagged
        # Without a model the default provider takes it.
        assert client.moderations.create(input="x").results[0].flagged
    assert [seen.target for seen in upstream.requests] == ["/v1/moderations"] * 2


def test_images_are_generated_and_streamed(entry: Entry, upstream: Upstream) -> None:
    shown = base64.b64encode(PNG).decode()
    upstream.queue(answer({"created": 1, "data": [{"b64_json": shown}]}))
    event = {"type": "image_generation.completed", "b64_json": shown, "created_at": 1, "usage": None}
    frame = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
    upstream.queue(stream([frame]))
    with scripted_client(entry) as client:
        result = client.images.generate(model=entry.model, prompt="x")
        events = list(client.images.generate(model=entry.model, prompt="x", stream=True))
    assert result.data is not None
    assert result.data[0].b64_json == shown
    assert [each.type for each in events] == ["image_generation.completed"]
    assert events[0].b64_json == shown


def test_an_image_edit_goes_up_as_the_multipart_it_was(entry: Entry, upstream: Upstream) -> None:
    upstream.always(answer({"created": 1, "data": [{"url": "http://x"}]}))
    with scripted_client(entry) as client:
        client.images.edit(model=entry.model, image=("a.png", io.BytesIO(PNG), "image/png"), prompt="é")
    seen = upstream.requests[0]
    assert (seen.header("content-type") or "").startswith("multipart/form-data; boundary=")
    assert PNG in seen.body
    assert "é".encode() in seen.body


@pytest.mark.parametrize("size", [100, 300_000])
def test_audio_goes_up_as_multipart_with_the_targets_model(entry: Entry, upstream: Upstream, size: int) -> None:
    sound = bytes(number * 7 % 256 for number in range(size))
    upstream.always(answer({"text": "hello", "usage": {"type": "duration", "seconds": 1}}))
    model = "org/m" if entry.through_gateway else "m"
    with scripted_client(entry) as client:
        result = client.audio.transcriptions.create(model=model, file=("a.wav", io.BytesIO(sound), "audio/wav"))
    assert result.text == "hello"
    seen = upstream.requests[0]
    assert seen.target == "/v1/audio/transcriptions"
    boundary = (seen.header("content-type") or "").partition("boundary=")[2]
    parts = seen.body.split(f"--{boundary}".encode())
    assert parts[-1] == b"--\r\n"
    models = [part for part in parts if b'name="model"' in part]
    assert [part.partition(b"\r\n\r\n")[2] for part in models] == [b"m\r\n"]
    assert any(part.endswith(sound + b"\r\n") for part in parts)


def test_plain_text_transcripts_pass(entry: Entry, upstream: Upstream) -> None:
    upstream.always(whole(b"1\n00:00 --> 00:01\nhi\n", kind="text/plain; charset=utf-8"))
    with scripted_client(entry) as client:
        made = client.audio.transcriptions.create(model=entry.model, file=("a.wav", b"RIFF"), response_format="srt")
    assert made == "1\n00:00 --> 00:01\nhi\n"


def test_transcripts_stream(entry: Entry, upstream: Upstream) -> None:
    events = [{"type": "transcript.text.delta", "delta": "hi"}, {"type": "transcript.text.done", "text": "hi"}]
    upstream.always(stream([f"data: {json.dumps(event)}\n\n".encode() for event in events]))
    with scripted_client(entry) as client:
        made = list(client.audio.transcriptions.create(model=entry.model, file=("a.wav", b"RIFF"), stream=True))
    assert [event.type for event in made] == ["transcript.text.delta", "transcript.text.done"]


def test_speech_comes_back_as_the_bytes_it_is(entry: Entry, upstream: Upstream) -> None:
    upstream.always(whole(PNG, kind="audio/mpeg"))
    with scripted_client(entry) as client:
        result = client.audio.speech.create(model=entry.model, voice="alloy", input="hi")
    assert result.content == PNG
    assert result.response.headers["content-type"] == "audio/mpeg"


def test_stored_objects_are_closed(entry: Entry, upstream: Upstream) -> None:
    if not entry.through_gateway:
        pytest.skip("only the gateway closes them")
    upstream.always([Hold()])
    calls: list[Callable[[OpenAI], object]] = [
        lambda client: client.files.list(),
        lambda client: client.files.create(file=b"x", purpose="batch"),
        lambda client: client.batches.list(),
        lambda client: client.responses.retrieve("resp_1"),
        lambda client: client.responses.delete("resp_1"),
        lambda client: client.conversations.retrieve("conv_1"),
        lambda client: client.vector_stores.list(),
        lambda client: client.fine_tuning.jobs.list(),
        lambda client: client.evals.list(),
        lambda client: client.containers.list(),
        lambda client: client.uploads.cancel("upload_1"),
        lambda client: client.chat.completions.list(),
    ]
    with scripted_client(entry) as client:
        for call in calls:
            with pytest.raises(openai.APIStatusError) as caught:
                call(client)
            assert caught.value.status_code in (403, 404)
            assert caught.value.response.headers["x-penstock-error"] in ("path_closed", "path_not_found")
    assert not upstream.heads
