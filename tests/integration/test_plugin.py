"""The pytest plugin as a user of the library meets it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from eoconsumer.servers.jars import cache_folder

pytestmark = pytest.mark.slow

pytest_plugins = ["pytester"]
# pytester gives the inner tests an empty home folder, and with it an empty cache.
CACHE = cache_folder()


def test_the_fixtures_give_a_users_tests_real_servers(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EOCONSUMER_CACHE", str(CACHE))
    pytester.makepyfile(
        """
        import pytest
        from confluent_kafka.admin import AdminClient
        from pymongo import MongoClient

        seen = []

        @pytest.mark.parametrize("topic", [3], indirect=True)
        def test_a_topic_with_the_asked_number_of_partitions(kafka_broker, topic):
            admin = AdminClient({"bootstrap.servers": kafka_broker.bootstrap_servers})
            assert len(admin.list_topics(topic).topics[topic].partitions) == 3
            seen.append(topic)

        def test_a_topic_of_its_own_for_every_test(topic, topic_factory):
            assert len({topic, topic_factory(), *seen}) == 3

        def test_a_replica_set_with_fail_points(mongo_replica_set):
            client = MongoClient(mongo_replica_set.url_for("shop"))
            client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
            assert len(client.admin.command("hello")["hosts"]) == 3
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=3)


def test_tests_that_use_no_fixture_start_no_server(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_nothing(): pass")
    result = pytester.runpytest_subprocess("--setup-show")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*kafka_broker*")


def test_loading_the_plugin_imports_nothing_heavy() -> None:
    subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, eoconsumer, pytest; before = set(sys.modules)\n"
            "import eoconsumer.testing.plugin\n"
            "new = set(sys.modules) - before\n"
            "assert not {name.split('.')[0] for name in new} & {'confluent_kafka', 'pymongo'}\n"
            "assert 'eoconsumer.servers' not in new, new",
        ],
        check=True,
    )
