"""TLS for both ports: the server's certificate is read anew when it was renewed; connections made before go on."""

from typing import Any

import grpc

from fsmend_collector.errors import ConfigError
from fsmend_collector.pki.authority import Authority


class ServerCertificate:
    """Give gRPC the newest pair of key and certificate at each handshake."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        pair = authority.server_pair()
        if pair is None:
            raise ConfigError(f"{authority.directory}: server.crt and server.key are missing or do not match")
        self._pair = pair

    def credentials(self, *, clients: bool) -> grpc.ServerCredentials:
        """Return credentials for one port; with `clients` a certificate of our authority is required."""
        served = self._pair

        def fetch() -> Any:
            nonlocal served
            if self._pair == served:
                return None
            served = self._pair
            return self._configuration(clients=clients)

        return grpc.dynamic_ssl_server_credentials(
            self._configuration(clients=clients), fetch, require_client_authentication=clients
        )

    def reload(self) -> bool:
        """Read the files again; say whether there is something new."""
        pair = self._authority.server_pair()
        if pair is None or pair == self._pair:
            return False
        self._pair = pair
        return True

    def _configuration(self, *, clients: bool) -> Any:
        roots = self._authority.pem if clients else None
        return grpc.ssl_server_certificate_configuration([self._pair], root_certificates=roots)
