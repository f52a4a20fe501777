"""A model that needs no network: it says a few words, one after the other."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field


@dataclass
class Message:
    """What somebody has said: the user, the model, or a tool."""

    role: str
    text: str
    tool_calls: list[str] = field(default_factory=list)


async def complete(messages: list[Message]) -> AsyncIterator[str]:
    """Gives the words of the next message as the model finds them."""
    results = [message.text for message in messages if message.role == "tool"]
    if results:
        text = f"Take an umbrella to one of them: {'; '.join(results)}."
    else:
        text = "I shall look at the weather in both towns."
    for word in text.split():
        await asyncio.sleep(0.02)
        yield word


def tool_calls(messages: list[Message]) -> list[str]:
    """Gives the tools that the model wants used: those for the towns of the question, once."""
    if any(message.role == "tool" for message in messages):
        return []
    return [town for town in ("Rome", "Oslo") if town in messages[0].text]
