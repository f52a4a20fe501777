"""Who is let in."""

from __future__ import annotations

import asyncio
import errno
import hmac
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hookd_daemon.auth import keys
from hookd_daemon.auth.door import Caller, Door
from hookd_daemon.auth.keyfile import KeyFile, KeyFileError
from hookd_daemon.auth.keys import Key
from hookd_daemon.auth.roles import Role
from hookd_daemon.auth.watch import LOOK_S
from hookd_daemon.errors import PermissionDeniedError, UnauthenticatedError

NOW = datetime(2026, 1, 2, tzinfo=UTC)
PATH = "/hookd.v1.RunService/GetRun"


class Sent:
    def __init__(self, header: str | None) -> None:
        self.metadata: Mapping[str, str] = {} if header is None else {"authorization": header}


class World:
    """A door, its keys, and a time that stands still."""

    def __init__(self, folder: Path) -> None:
        self.file = KeyFile(folder)
        self.now_ms = int(NOW.timestamp() * 1000)
        self.seconds = 0.0

    def door(self, *, required: bool = False) -> Door:
        return Door(
            self.file,
            required=required,
            now_ms=lambda: self.now_ms,
            monotonic=lambda: self.seconds,
        )

    def make(self, role: Role = Role.SERVICE, project: str | None = "blue", **more: Any) -> str:
        text, key = keys.make(project=project, role=role, now=NOW, **more)
        with self.file.change() as kept:
            kept.append(key)
        return text

    def change(self, text: str, **facts: Any) -> None:
        with self.file.change() as kept:
            for place, key in enumerate(kept):
                if key.id == keys.id_of(text):
                    kept[place] = Key.model_validate({**key.model_dump(), **facts})

    def enter(self, door: Door, key: str | None, least: Role = Role.SERVICE) -> Caller:
        return door.enter(PATH, least, Sent(None if key is None else f"Bearer {key}"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_without_keys_everybody_may_do_everything(world: World) -> None:
    door = world.door()
    caller = world.enter(door, None, Role.ADMIN)
    assert (caller.project, door.required) == ("", False)
    # A client that has a key to spare is not refused either.
    assert world.enter(door, "hkd_whatever", Role.ADMIN) is caller


def test_nobody_comes_in_when_keys_are_required_and_there_are_none(world: World) -> None:
    door = world.door(required=True)
    with pytest.raises(UnauthenticatedError, match="is needed"):
        world.enter(door, None)


def test_a_key_says_project_and_role(world: World) -> None:
    blue, admin = world.make(), world.make(Role.ADMIN, None)
    door = world.door()
    assert world.enter(door, blue).project == "blue"
    assert world.enter(door, admin, Role.ADMIN).project == ""
    with pytest.raises(PermissionDeniedError, match="role service of the API key does not allow"):
        world.enter(door, blue, Role.ADMIN)


def test_only_the_whole_key_is_good(world: World) -> None:
    text = world.make()
    door = world.door()
    assert world.enter(door, text)
    prefix, key_id, secret = text.split("_", 2)
    other = secret[:-2] + ("AA" if secret[-2:] != "AA" else "BB")
    bad = [
        "",
        "hkd",
        key_id,
        text[:-1],
        text + "A",
        text.upper(),
        f"{prefix}_{key_id}_{other}",
        f"{prefix}_{'0' * 12}_{secret}",
        f"xxx_{key_id}_{secret}",
        f"{prefix}_{key_id}_",
        "\udc80",
        "ä" * 1000,
    ]
    for key in bad:
        with pytest.raises(UnauthenticatedError, match="is not valid"):
            world.enter(door, key)


@pytest.mark.parametrize("header", [None, "", "Basic x", "Bearer", "hkd_1_2"])
def test_what_is_no_bearer_is_no_key(world: World, header: str | None) -> None:
    text = world.make()
    door = world.door()
    with pytest.raises(UnauthenticatedError):
        door.enter(PATH, Role.SERVICE, Sent(header))
    for good in (f"Bearer {text}", f"bearer {text}", f"BEARER  {text} "):
        assert door.enter(PATH, Role.SERVICE, Sent(good))


def test_a_key_of_nobody_is_compared_as_well(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time that the answer takes must not tell which ids there are."""
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def noted(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", noted)
    text = world.make()
    door = world.door()
    unknown = f"hkd_{'0' * 12}_{'A' * 43}"
    for key in (text, text[:-1] + "!", unknown, "junk"):
        compared.clear()
        try:
            world.enter(door, key)
        except UnauthenticatedError:
            assert key != text
        ((sent, kept),) = compared
        assert sent == keys.digest(key)
        assert len(kept) == len(sent) == 32


def test_a_key_that_was_revoked_lets_nobody_in_at_the_next_look(world: World) -> None:
    text, other = world.make(), world.make()
    door = world.door()
    world.enter(door, text)
    world.change(text, revoked_at=NOW)
    world.seconds += LOOK_S
    with pytest.raises(UnauthenticatedError, match="is not valid"):
        world.enter(door, text)
    assert world.enter(door, other)


def test_a_key_that_was_just_made_is_good_at_once(world: World) -> None:
    world.make()
    door = world.door()
    assert world.enter(door, world.make())


def test_the_end_of_the_last_key_does_not_open_the_door(world: World) -> None:
    text = world.make()
    world.change(text, revoked_at=NOW)
    door = world.door()
    assert (door.required, door.valid) == (True, 0)
    world.file.path.unlink()
    door.look()
    assert door.required
    with pytest.raises(UnauthenticatedError):
        world.enter(door, None)


def test_a_file_without_a_key_closes_the_door_as_well(world: World) -> None:
    with world.file.change():
        pass
    door = world.door()
    with pytest.raises(UnauthenticatedError):
        world.enter(door, None)


def test_the_first_key_closes_a_door_that_was_open(world: World) -> None:
    door = world.door()
    world.enter(door, None)
    text = world.make()
    world.seconds += LOOK_S
    with pytest.raises(UnauthenticatedError):
        world.enter(door, None)
    assert world.enter(door, text)


def test_a_file_that_is_damaged_leaves_the_keys_as_they_were(world: World) -> None:
    text = world.make()
    door = world.door()
    whole = world.file.path.read_text()
    world.file.path.write_text(whole[:-10])
    door.look()
    assert world.enter(door, text)
    world.file.path.write_text(whole.replace('"blue"', '"green"'))
    door.look()
    assert world.enter(door, text).project == "green"


def test_a_door_is_not_made_on_a_damaged_file(world: World) -> None:
    world.make()
    world.file.path.write_text("{")
    with pytest.raises(KeyFileError):
        world.door()


def test_a_key_expires_on_time(world: World) -> None:
    text = world.make(expires_at=NOW + timedelta(seconds=10))
    door = world.door()
    world.now_ms += 9_999
    assert world.enter(door, text)
    world.now_ms += 1
    with pytest.raises(UnauthenticatedError):
        world.enter(door, text)
    assert door.valid == 0


async def _stay(caller: Caller, event: asyncio.Event) -> str:
    try:
        with caller.stay():
            event.set()
            await asyncio.sleep(60)
    except UnauthenticatedError:
        # The task itself is not cancelled, and can go on to tell its caller.
        await asyncio.sleep(0)
        return "ended"
    return "done"


async def _staying(caller: Caller) -> asyncio.Task[str]:
    event = asyncio.Event()
    task = asyncio.create_task(_stay(caller, event))
    await event.wait()
    return task


async def test_a_wait_ends_with_its_key_and_no_other_does(world: World) -> None:
    text, other = world.make(), world.make()
    door = world.door()
    tasks = [await _staying(world.enter(door, key)) for key in (text, other)]
    world.change(text, revoked_at=NOW)
    door.look()
    assert await tasks[0] == "ended"
    # A change of another key, and a name, disturb nobody.
    world.make()
    door.look()
    await asyncio.sleep(0)
    assert not tasks[1].done()
    tasks[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]


async def test_a_wait_ends_when_its_key_expires(world: World) -> None:
    text = world.make(expires_at=NOW + timedelta(seconds=10))
    door = world.door()
    task = await _staying(world.enter(door, text))
    world.now_ms += 10_000
    door.look()
    assert await task == "ended"


async def test_waits_of_anybody_end_with_the_first_key(world: World) -> None:
    door = world.door()
    task = await _staying(world.enter(door, None))
    world.make()
    door.look()
    assert await task == "ended"


async def test_what_is_on_its_way_out_is_ended_when_it_comes_back(world: World) -> None:
    text = world.make()
    door = world.door()
    caller = world.enter(door, text)
    steps = []

    async def serve() -> None:
        with caller.stay() as stay:
            stay.leave()
            world.change(text, revoked_at=NOW)
            door.look()
            await asyncio.sleep(0)
            steps.append("not cancelled")
            stay.come_back()

    with pytest.raises(UnauthenticatedError):
        await asyncio.create_task(serve())
    assert steps == ["not cancelled"]
    assert not caller.stays


async def test_a_wait_that_is_cancelled_by_others_stays_cancelled(world: World) -> None:
    door = world.door()
    task = await _staying(world.enter(door, None))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_damaged_file_is_read_once_however_many_ask(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else those without a key could keep the daemon busy with it."""
    text = world.make()
    door = world.door()
    whole = world.file.path.read_text()
    world.file.path.write_text("{")
    reads = 0
    read = KeyFile.read

    def counted(file: KeyFile) -> list[Key]:
        nonlocal reads
        reads += 1
        return read(file)

    monkeypatch.setattr(KeyFile, "read", counted)
    for _ in range(10):
        with pytest.raises(UnauthenticatedError):
            world.enter(door, "junk")
        door.look()
    assert reads == 1
    world.file.path.write_text(whole.replace('"blue"', '"green"'))
    assert door.look()
    assert world.enter(door, text).project == "green"


def test_a_file_that_could_not_be_read_is_read_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it has not changed since: else a key that was revoked would stay good for ever."""
    text = world.make()
    door = world.door()
    world.change(text, revoked_at=NOW)

    def unreadable(_: Path) -> bytes:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as short:
        short.setattr(Path, "read_bytes", unreadable)
        for _ in range(2):
            assert not door.look()
        # It is not known what has changed.
        assert world.enter(door, text)
    world.seconds += LOOK_S
    with pytest.raises(UnauthenticatedError):
        world.enter(door, text)
