"""gunicorn reads this file by itself: `gunicorn 'backend.app:create_app()'`."""

workers = 2
threads = 4
worker_class = "gthread"
# Room for a start that waits for the vault.
timeout = 60
graceful_timeout = 10
accesslog = None
