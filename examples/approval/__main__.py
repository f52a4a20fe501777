"""Shows all that can become of an approval: ``python -m examples.approval``."""

from hookd import InvalidArgumentError, start

from examples.approval import workflows
from examples.approval.workflows import Decision, approve_expense, decisions
from examples.stage import play


async def show() -> None:
    """Approves one expense, refuses one, and forgets one."""
    runs = [await start(approve_expense, number, timeout=60) for number in (1, 2)]
    forgotten = await start(approve_expense, 3, timeout=1)

    await decisions.resume("expense-1", Decision(approved=True, by="ann"), wait=10)
    await decisions.resume("expense-2", Decision(approved=False, by="bob"), wait=10)
    try:
        await decisions.resume("expense-1", "yes, please")  # type: ignore[arg-type]
    except InvalidArgumentError:
        print('an answer that is no decision ("yes, please") was refused')

    for number, run in enumerate([*runs, forgotten], start=1):
        print(f"expense {number}: {await run.return_value()}")


if __name__ == "__main__":
    play(show, workflows)
