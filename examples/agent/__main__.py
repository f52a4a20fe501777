"""Shows an agent while it thinks: ``python -m examples.agent``."""

from hookd import start

from examples.agent import workflows
from examples.agent.workflows import answer
from examples.stage import play


async def show() -> None:
    """Asks a question, and prints the words of the answer as they come."""
    question = "Do I need an umbrella in Rome and Oslo?"
    print(f"you:   {question}")
    run = await start(answer, question)
    begins = "agent:"
    async for word in run.readable():
        ends = word.endswith(".")
        print(begins, word, end="\n" if ends else "", flush=True)
        begins = "      " if ends else ""
    print(f"tools:  {', '.join(sorted([tool async for tool in run.readable('tools')]))}")
    print(f"result: {await run.return_value()}")


if __name__ == "__main__":
    play(show, workflows)
