"""Threads and tasks: one request for all who wait, and nobody blocks the event loop."""

import asyncio
import threading
import time

import pytest

import coffre
import coffre.aio
from application import Application, prepare

THREADS = 16
TASKS = 1000


@pytest.fixture(scope="module")
def vault(server):
    return prepare(server)


@pytest.fixture
def application(vault, tmp_path):
    return Application(vault, tmp_path / "app")


def opened(application):
    return coffre.aio.Secrets(application.environ(), directory=application.directory)


def test_a_thousand_tasks_and_one_flight(application):
    application.write("late/comer", {"value": "one flight"})

    async def ask():
        async with opened(application) as secrets:
            got = await asyncio.gather(*(secrets.get_secret("late/comer", "value") for _ in range(TASKS)))
            threads = threading.active_count()
            return got, threads

    got, threads = asyncio.run(ask())
    assert set(got) == {"one flight"} and len(got) == TASKS
    assert application.reads("late/comer") == 1
    assert threads < 8, "no thread for each call"


def test_threads_that_open_and_read_at_the_same_time_share_everything(application):
    shown = application.answer(
        f"""
        import coffre, json, threading
        got, start = [], threading.Barrier({THREADS})
        def work():
            start.wait()
            for _ in range(2000):
                value = coffre.get_secret("JWT_SECRET_KEY")
            got.append([value, coffre.get_secret("redis/creds", "value"), id(coffre._default.secrets())])
        threads = [threading.Thread(target=work) for _ in range({THREADS})]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        print(json.dumps(got))
        """
    )
    assert len(shown) == THREADS
    assert {value for value, _, _ in shown} == {application.jwt}
    assert {value for _, value, _ in shown} == {application.redis}
    assert len({instance for _, _, instance in shown}) == 1
    assert application.reads("redis/creds") == 1 and application.reads("jwt/secret_key") == 1


def test_everything_has_an_asynchronous_form(application):
    async def ask():
        async with opened(application) as secrets:
            assert await secrets.get_secret("JWT_SECRET_KEY") == application.jwt
            document = await secrets.get_document("database/creds")
            assert dict(document.items()) == application.database
            assert (await secrets.get_database_credentials()).password == application.password
            assert (await secrets.keyring("jwt/secret_key")).active.material == application.jwt
            assert secrets.source() == "vault" and secrets.health()["source"] == "vault"
            assert "coffre_secrets_get_total" in secrets.metrics()
            heard = asyncio.Event()
            stop = secrets.on_change(lambda change: heard.set())
            application.write("jwt/secret_key", {"value": "another"})
            await secrets.refresh("jwt/secret_key")
            await asyncio.wait_for(heard.wait(), 30)
            stop()
            assert await secrets.get_secret("JWT_SECRET_KEY") == "another"
            with pytest.raises(coffre.NotFound):
                await secrets.get_secret("NO_SUCH_VARIABLE")
            with pytest.raises(TypeError):
                await secrets.get_secret(7)
        with pytest.raises(RuntimeError):
            await secrets.get_secret("JWT_SECRET_KEY")

    asyncio.run(ask())


def test_the_loop_runs_on_while_the_server_is_slow(application, slow_server):
    """Opening and reading take as long as the server takes; the loop ticks meanwhile."""

    async def ask():
        ticks, done = 0, asyncio.Event()

        async def tick():
            nonlocal ticks
            while not done.is_set():
                ticks += 1
                await asyncio.sleep(0.01)

        ticking = asyncio.create_task(tick())
        environ = application.environ(VAULT_ADDR=slow_server.address)
        async with coffre.aio.Secrets(environ, directory=application.directory) as secrets:
            slow_server.delay = 0.5
            began = time.monotonic()
            assert await secrets.get_secret("database/creds", "username") == "app_a"
            application.write("late/two", {"value": "2"})
            assert await secrets.get_secret("late/two", "value") == "2"
            took = time.monotonic() - began
        done.set()
        await ticking
        return ticks, took

    ticks, took = asyncio.run(ask())
    assert took >= 0.5
    assert ticks > took / 0.01 / 4


def test_a_task_that_is_cancelled_takes_nothing_from_the_others(application, slow_server):
    application.write("late/three", {"value": "3"})

    async def ask():
        environ = application.environ(VAULT_ADDR=slow_server.address)
        async with coffre.aio.Secrets(environ, directory=application.directory) as secrets:
            slow_server.delay = 0.3
            first = asyncio.create_task(secrets.get_secret("late/three", "value"))
            second = asyncio.create_task(secrets.get_secret("late/three", "value"))
            await asyncio.sleep(0.1)
            first.cancel()
            assert await second == "3"
            with pytest.raises(asyncio.CancelledError):
                await first

    asyncio.run(ask())


def test_the_module_has_an_asynchronous_form_of_its_own(application):
    shown = application.answer(
        """
        import asyncio, coffre, coffre.aio, json
        async def ask():
            first = await coffre.aio.get_secret("JWT_SECRET_KEY")
            document = await coffre.aio.get_document("jwt/secret_key")
            return [first, document["value"], (await coffre.aio.get_database_credentials()).username]
        print(json.dumps(asyncio.run(ask()) + [coffre.get_secret("JWT_SECRET_KEY")]))
        """
    )
    assert shown == [application.jwt, application.jwt, "app_a", application.jwt]


def test_the_interpreter_is_free_while_a_thread_waits(application, slow_server):
    application.write("late/four", {"value": "4"})
    with coffre.Secrets(application.environ(VAULT_ADDR=slow_server.address), directory=application.directory) as secrets:
        slow_server.delay = 0.5
        got = []
        waiter = threading.Thread(target=lambda: got.append(secrets.get_secret("late/four", "value")))
        began = time.monotonic()
        waiter.start()
        while time.monotonic() - began < 0.3:
            pass
        assert waiter.is_alive(), "this thread ran all the while"
        waiter.join()
    assert got == ["4"]
