"""What a worker can be given to serve."""

import types

import pytest
from hookd.errors import InvalidArgumentError
from hookd.worker.catalog import catalog_of
from hookd.workflows.definition import step, workflow


@workflow
async def buy(order: str) -> str:
    return order


@step
def charge(order: str) -> str:
    return order


@workflow(name="buy")
async def other() -> None: ...


@step(name="charge")
async def other_charge() -> None: ...


def module(name: str = "shop", **namespace: object) -> types.ModuleType:
    made = types.ModuleType(name)
    vars(made).update(namespace)
    return made


@pytest.mark.parametrize(
    "work",
    [
        [buy, charge],
        (each for each in (buy, charge)),
        module(buy=buy, charge=charge, sum=sum, again=buy),
        [module(buy=buy), charge],
        [module(buy=buy), module(buy=buy, charge=charge)],
    ],
)
def test_definitions_and_modules(work):
    found = catalog_of(work)
    assert dict(found.workflows) == {"buy": buy}
    assert dict(found.steps) == {"charge": charge}


def test_one_definition_alone():
    assert dict(catalog_of(buy).workflows) == {"buy": buy}
    assert dict(catalog_of(charge).steps) == {"charge": charge}


def test_a_workflow_and_a_step_may_share_a_name():
    assert len(catalog_of([buy, step(name="buy")(lambda: None)]).steps) == 1


@pytest.mark.parametrize(
    ("work", "says"),
    [
        ([buy, other], 'two workflows have the name "buy"'),
        ([module(a=charge), module(b=other_charge)], 'two steps have the name "charge"'),
        ([], "no @workflow and no @step in it"),
        (module("empty"), "no @workflow and no @step in the module empty"),
        ("shop", "not str"),
        (42, "not int"),
        ([buy, sum], "the builtin_function_or_method sum"),
        ([[buy]], "not list"),
        (None, "not NoneType"),
        ([step(name=f"s{n}")(lambda: None) for n in range(4097)], "at most 4096"),
    ],
)
def test_what_cannot_be_served(work, says):
    with pytest.raises(InvalidArgumentError, match=says):
        catalog_of(work)


def test_two_with_one_name_are_both_named():
    with pytest.raises(InvalidArgumentError) as caught:
        catalog_of([buy, other])
    assert f"{__name__}.buy" in str(caught.value)
    assert f"{__name__}.other" in str(caught.value)
    assert "@workflow(name=…)" in str(caught.value)


def test_annotations_are_checked():
    @step
    def broken(value: "Nowhere") -> None:  # noqa: F821
        ...

    found = catalog_of([broken])
    with pytest.raises(InvalidArgumentError, match="Nowhere"):
        found.check()
    catalog_of([buy, charge]).check()
