"""Who may write where is what the topics declare, and nothing more."""

from streams.kafka.acls import grants
from streams.kafka.topics import declared_topics


def test_only_declared_producers_may_write():
    """A topic is written by the producers it declares alone, so senders of events cannot invent results."""
    writers: dict[str, set[str]] = {}
    for grant in grants():
        if (grant.operation, grant.resource) == ("Write", "topic"):
            writers.setdefault(grant.name, set()).add(grant.principal)
    assert writers == {name: set(topic.producers) for name, topic in declared_topics().items()}
    assert writers["link.measurements"] == {"measure"}
    assert writers["link.outages"] == writers["link.windows"] == {"detect"}
    assert not writers["npd.lookups"] & {"measure", "detect", "record", "serve"}


def test_a_right_is_one_line_of_kafkas_own_tool():
    """Each right names principal, operation and resource, and none is given to everybody."""
    lines = [grant.command() for grant in grants()]
    measure = "--add --allow-principal User:portallink-measure --operation Write --topic link.measurements"
    assert f"{measure} --resource-pattern-type literal" in lines
    assert [line for line in lines if "*" in line] == []
    assert len(set(lines)) == len(lines) > 20
