"""What an agent tells of its host for people to read, bounded. Hostile text: shown escaped, never trusted."""

from czuwak.v1 import ingest_pb2 as pb

_MAX_TEXT = 200
_MAX_ADDRESSES = 32


def facts_of(facts: pb.HostFacts) -> dict[str, object]:
    """Plain data for the database; what the agent did not say is missing."""
    said: dict[str, object] = {}
    for field, value in facts.ListFields():
        if isinstance(value, str):
            said[field.name] = value[:_MAX_TEXT]
        elif isinstance(value, int | float):
            # Outside a signed 64-bit integer no database keeps it exactly.
            said[field.name] = min(value, 2**53)
        else:
            said[field.name] = [address[:_MAX_TEXT] for address in value[:_MAX_ADDRESSES]]
    return said
