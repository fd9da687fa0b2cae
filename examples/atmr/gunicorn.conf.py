"""gunicorn reads this file by itself: `gunicorn 'backend.app:create_app()'`."""

workers = 2
threads = 4
worker_class = "gthread"
# The application is built before the workers are forked: when it must not start, gunicorn ends at once and says why,
# instead of starting workers again and again.
preload_app = True
timeout = 60
graceful_timeout = 10
# It would be in the home directory, and the same for every gunicorn of this user.
control_socket_disable = True


def post_fork(server, worker):
    """Connections belong to the process that made them."""
    worker.app.wsgi().extensions["atmr"].database.forget_connections()
