"""`coffre explain`: where each variable comes from, with its version or its line, and never a value."""

import json

from test_flask_run import DEV, PROD, fill, identity, project, vault  # noqa: F401  (fixtures)


def explained(project, *names, **env):
    """What `coffre explain --json` says, by variable, after a look through everything it printed."""
    done = project.coffre("explain", "--json", *names, **env)
    project.assert_no_secret("the output of coffre explain", done.stdout + done.stderr)
    return {entry["name"]: entry for entry in json.loads(done.stdout)}


def test_the_server_gives_versions_and_ages(project, vault):
    env, _ = identity(vault, "prod")
    said = explained(project, **(PROD | env))
    assert set(said) == set(project.secret_names)
    key = said["JWT_SECRET_KEY"]
    assert (key["source"], key["origin"], key["present"]) == ("vault", "server", True)
    [document] = key["documents"]
    assert document["path"] == f"atmr/data/prod/{project.paths['JWT_SECRET_KEY']}"
    assert document["version"] >= 1 and document["state"] == "fresh" and document["age"] < 60
    table = project.coffre("explain", "JWT_SECRET_KEY", **(PROD | env))
    project.assert_no_secret("the table of coffre explain", table.stdout + table.stderr)
    assert "Version" in table.stdout and "atmr/data/prod/" in table.stdout and "REDIS_URL" not in table.stdout


def test_a_developers_file_gives_lines(project):
    said = explained(project, "JWT_SECRET_KEY", **DEV)
    entry = said["JWT_SECRET_KEY"]
    assert entry["origin"] == ".env" and entry["file"].endswith("/.env")
    lines = (project.directory / ".env").read_text().splitlines()
    assert lines[entry["line"] - 1].removeprefix("export ").startswith("JWT_SECRET_KEY")


def test_what_cannot_be_told(project, vault):
    unknown = project.coffre("explain", "NOT_IN_THE_MANIFEST", code=None, **DEV)
    assert unknown.returncode != 0 and "[secret.NOT_IN_THE_MANIFEST]" in unknown.stderr
    env, _ = identity(vault, "prod", policy="default")
    denied = project.coffre("explain", code=None, **(PROD | env))
    assert denied.returncode != 0 and "permission denied" in denied.stderr
