"""The certificate our listeners present: made at start, made anew while we run, long before it ends.

gRPC asks for it at each new connection, in threads of its own; streams that are open are not disturbed.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import grpc

from collector.ingest.ca import Authority
from collector.labels import NAME, Labels

EXPIRY = "czuwak_certificate_expiry_timestamp_seconds"
_LEFT = 1 / 3  # of its life: then it is made anew

log = logging.getLogger(__name__)


class Presented:
    """One certificate for both listeners. `now` is our clock."""

    def __init__(self, authority: Authority, names: Sequence[str], now: Callable[[], float]) -> None:
        self._authority = authority
        self._names = tuple(names)
        self._now = now
        self._lock = threading.Lock()
        self._made = authority.server_certificate(self._names, now())
        self._number = 0

    @property
    def ends(self) -> dict[str, float]:
        """When ours and the authority's certificate end, Unix seconds."""
        return {"server": self._made.not_after, "authority": self._authority.not_after}

    def series(self, collector: str) -> Mapping[Labels, float]:
        """The same for rules. Only our own certificate is this collector's; the authority is everybody's."""
        return {
            Labels.of({NAME: EXPIRY, "certificate": "server", "collector": collector}): self._made.not_after,
            Labels.of({NAME: EXPIRY, "certificate": "authority"}): self._authority.not_after,
        }

    def renew(self) -> bool:
        """Make it anew if little of its life is left; True if that was done."""
        if self._made.not_after - self._now() > self._authority.server_seconds * _LEFT:
            return False
        made = self._authority.server_certificate(self._names, self._now())
        if made.not_after <= self._made.not_after:
            return False  # the authority itself ends: a newer one would not live longer
        with self._lock:
            self._made, self._number = made, self._number + 1
        log.info("The listeners' certificate is made anew.", extra={"action": "certificate_renewed"})
        return True

    def credentials(self, *, mutual: bool) -> grpc.ServerCredentials:
        """For one listener; `mutual` asks agents for theirs."""
        given = [self._number]

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            with self._lock:
                if given[0] == self._number:
                    return None  # as before
                given[0] = self._number
            return self._configuration()

        # The stubs do not know that None is "as before".
        asked = cast("Callable[[], grpc.ServerCertificateConfiguration]", fetch)
        return grpc.dynamic_ssl_server_credentials(self._configuration(), asked, require_client_authentication=mutual)

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        pair = [(self._made.key_pem, self._made.chain_pem)]
        return grpc.ssl_server_certificate_configuration(pair, root_certificates=self._authority.ca_pem)
