# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""An application that answers chats as OpenAI's API has them, with exact usage and no model. A prompt has as many
tokens as words, an answer as many as are asked for; every fourth time two come at once, in two events."""
import asyncio
import json

STEP = 0.04  # seconds a token


def usage(q, n):
    prompt = sum(len(m["content"].split()) for m in q["messages"])
    return {"prompt_tokens": prompt, "completion_tokens": n, "total_tokens": prompt + n,
            "prompt_tokens_details": {"cached_tokens": prompt // 8}}


def event(q, choices, **more):
    o = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": q["model"], "choices": choices}
    return b"data: " + json.dumps(dict(o, **more)).encode() + b"\n\n"


def delta(q, **d):
    return event(q, [{"index": 0, "delta": d, "finish_reason": None}])


async def stream(q, say):
    n = q["max_tokens"]
    await say(delta(q, role="assistant", content=""))
    for i in range(n):
        if i % 4:
            await asyncio.sleep(STEP)
        await say(delta(q, content=" word"))
    await say(event(q, [{"index": 0, "delta": {}, "finish_reason": "length"}]))
    if (q.get("stream_options") or {}).get("include_usage"):
        await say(event(q, [], usage=usage(q, n)))
    await say(b"data: [DONE]\n\n")


async def whole(q, say):
    n = q["max_tokens"]
    await asyncio.sleep(STEP * n)
    await say(json.dumps({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": q["model"],
                          "choices": [{"index": 0, "message": {"role": "assistant", "content": " word" * n},
                                       "finish_reason": "length"}], "usage": usage(q, n)}).encode())


async def body_of(receive):
    body, more = b"", True
    while more:
        part = await receive()
        body += part.get("body", b"")
        more = part.get("more_body", False)
    return body


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body = await body_of(receive)

    async def say(data, more=True):
        await send({"type": "http.response.body", "body": data, "more_body": more})

    async def head(kind):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    if not scope["path"].endswith("/chat/completions"):
        await head(b"text/plain")
        await say(b"ok", False)
        return
    q = json.loads(body)
    await asyncio.sleep(STEP)
    if q.get("stream"):
        await head(b"text/event-stream; charset=utf-8")
        await stream(q, say)
        await say(b"", False)
    else:
        await head(b"application/json")
        await whole(q, lambda data: say(data, False))
