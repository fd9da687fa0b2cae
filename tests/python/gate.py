"""A way to a server that can be made slow or closed: bytes pass through, when they may."""

import socket
import threading
import time


class Gate:
    """Listens on a port of its own and passes on to `port`. `delay` holds answers back; `closed` refuses and cuts."""

    def __init__(self, port: int):
        self.target, self.delay, self.closed = port, 0.0, False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> "Gate":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        # `shutdown` wakes the thread that accepts; `close` alone does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def close(self) -> None:
        """From here on nobody reaches the server."""
        self.closed = True
        self.cut()

    def open(self) -> None:
        self.closed = False

    def cut(self) -> None:
        """Ends every connection that is open."""
        with self._lock:
            for each in self._open:
                try:
                    each.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # It ended by itself.

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self.closed:
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self.target))
            with self._lock:
                self._open |= {near, far}
            threading.Thread(target=self._pass, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near, True), daemon=True).start()

    def _pass(self, source: socket.socket, to: socket.socket, answers: bool) -> None:
        try:
            while data := source.recv(65536):
                if answers and self.delay:
                    time.sleep(self.delay)
                to.sendall(data)
        except OSError:
            pass  # Either side went away.
        for each in (source, to):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # So did the other.
        with self._lock:
            self._open -= {source, to}
