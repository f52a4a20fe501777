"""An agent that thinks, uses tools, and thinks again; its words are read while they come."""

import asyncio

from hookd import get_writable, step, workflow

from examples.agent import model
from examples.agent.model import Message


@workflow
async def answer(question: str) -> str:
    """Answers a question. What was thought and found is never lost, and never paid for twice."""
    messages = [Message("user", question)]
    while True:
        reply = await think(messages)
        messages.append(reply)
        if not reply.tool_calls:
            return reply.text
        results = await asyncio.gather(*(weather(town) for town in reply.tool_calls))
        messages += [Message("tool", result) for result in results]


@step
async def think(messages: list[Message]) -> Message:
    """Has the model say something, and hands its words on as they come."""
    words = []
    async for word in model.complete(messages):
        words.append(word)
        await get_writable().write(word)
    return Message("model", " ".join(words), model.tool_calls(messages))


@step
async def weather(town: str) -> str:
    """Looks at the weather."""
    await get_writable("tools").write(f"weather in {town}")
    return f"{town} has {'sun' if town == 'Rome' else 'rain'}"
