# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A model for MLServer that computes as long as it is told to: the input `n` is how many steps of some milliseconds."""
import asyncio
import time

from mlserver import MLModel
from mlserver.codecs import StringCodec
from mlserver.types import InferenceResponse

STEP_S = 0.005


def step():
    end = time.thread_time() + STEP_S
    while time.thread_time() < end:
        pass


class Scripted(MLModel):
    async def load(self):
        return True

    def answer(self, text):
        out = StringCodec.encode_output("text", [text], use_bytes=False)
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=[out])

    async def predict(self, payload):
        n = int(payload.inputs[1].data[0])
        for _ in range(n):
            step()
            await asyncio.sleep(0)
        return self.answer("word " * n)

    async def predict_stream(self, payloads):
        async for payload in payloads:
            for i in range(int(payload.inputs[1].data[0])):
                step()
                await asyncio.sleep(0)
                yield self.answer("word ")
