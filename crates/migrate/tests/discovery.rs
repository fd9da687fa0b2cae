//! Every file that the usual tools would read is found, with the dialect in which that tool reads it and with what wins;
//! a value that another program would see differently is a finding that must be decided.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::fs;
use std::path::Path;

use coffre_migrate::{
    Discovery, File, FileInput, Input, OddityKind, Reader, Sources, Tree, discover, hold_against, scan,
};
use coffre_secret::SecretText;

fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

fn discovered(root: &Path) -> Discovery {
    discover(&Tree::walk(root), &|name| (name == "STAGE").then(|| "prod".to_owned()))
}

fn shown(found: &Discovery, root: &Path) -> Vec<String> {
    let file = |file: &FileInput| {
        let path = file.path.strip_prefix(root).unwrap_or(&file.path).display().to_string();
        let marks = [(file.optional, "?"), (!file.present, "!"), (file.only_references, "$")];
        let marks: String = marks.iter().filter(|(on, _)| *on).map(|(_, mark)| *mark).collect();
        format!("{path}={}{marks}", file.syntax)
    };
    let input = |input: &Input| match input {
        Input::File(found) => file(found),
        Input::Inline { name, literal, .. } => format!("{name}{}", if *literal { "*" } else { "" }),
    };
    let consumer = |consumer: &coffre_migrate::Consumer| {
        let name = consumer.name.replace(&format!("{}/", root.display()), "");
        format!("{name}: {}", consumer.inputs.iter().map(input).collect::<Vec<_>>().join(" "))
    };
    found.consumers.iter().map(consumer).collect()
}

const COMPOSE: &str = "
x-common: &common
  env_file: .env
services:
  web:
    <<: *common
    env_file:
      - .env
      - path: ./web.${STAGE:-dev}.env
        required: false
      - {path: raw.env, format: raw}
    environment:
      DB_PASSWORD: ${DB_PASSWORD}
      LITERAL: hunter2
      PASSED:
  worker:
    <<: *common
    environment:
      - QUEUE=high
      - PASSED
  cache:
    image: redis
";

#[test]
fn compose_files_in_all_their_forms() {
    let directory = project(&[
        ("compose.yaml", COMPOSE),
        (".env", "DB_PASSWORD=x\n"),
        ("web.prod.env", "A=1\n"),
        ("node_modules/x/compose.yaml", "services: {a: {env_file: .env}}"),
        ("docker-compose.broken.yml", "services: ["),
    ]);
    assert_eq!(
        shown(&discovered(directory.path()), directory.path()),
        [
            "Compose, for the references in compose.yaml: .env=compose?$",
            "service web: .env=compose web.prod.env=compose? raw.env=docker! DB_PASSWORD LITERAL* PASSED",
            "service worker: .env=compose QUEUE* PASSED",
        ]
    );
}

#[test]
fn units_with_their_drop_ins() {
    let directory = project(&[
        (
            "deploy/api.service",
            "[Unit]\nEnvironmentFile=/no\n[Service]\nEnvironment=A=1 \"B=2 3\"\nEnvironmentFile=-/nowhere/a.env\nEnvironmentFile=/nowhere/b.env\n",
        ),
        (
            "deploy/api.service.d/10-more.conf",
            "[Service]\nEnvironmentFile=\nEnvironmentFile=/nowhere/c.env\n",
        ),
        ("deploy/plain.service", "[Service]\nExecStart=/bin/true\n"),
    ]);
    assert_eq!(
        shown(&discovered(directory.path()), directory.path()),
        ["unit api.service: A* B* /nowhere/c.env=systemd!"]
    );
}

#[test]
fn commands_procfiles_and_modules() {
    let directory = project(&[
        ("Procfile", "web: flask run\n"),
        ("Makefile", "up:\n\tdocker compose --env-file prod.env up\n\tdocker run --env-file=raw.env x\n"),
        ("package.json", "{\"scripts\":{\"start\":\"node --env-file=.env app.js\"}}"),
        ("start.sh", "# . ./no.env\nset -a; . ./.env\n. \"$DIR/.env\"\nuvicorn --env-file .env app\n"),
        (".env", "A=1\n"),
        (".flaskenv", "FLASK_APP=x\n"),
        ("backend/app.py", "import flask\nfrom dotenv import load_dotenv\nload_dotenv()\n"),
        ("backend/other.py", "load_dotenv('local.env')  # here\n"),
        ("backend/local.env", ""),
    ]);
    assert_eq!(
        shown(&discovered(directory.path()), directory.path()),
        [
            "docker compose --env-file: prod.env=compose!$",
            "docker --env-file: raw.env=docker!",
            "honcho: .env=honcho?",
            "node --env-file: .env=node",
            "the shell: .env=shell",
            "a command with --env-file: .env=python-dotenv",
            "load_dotenv(): .env=python-dotenv?",
            "load_dotenv(): backend/local.env=python-dotenv?",
            "the flask command: .flaskenv=python-dotenv? .env=python-dotenv?",
        ]
    );
}

#[test]
fn another_reading_is_a_finding_until_it_is_decided() {
    let directory = project(&[
        ("compose.yaml", "services:\n  web:\n    env_file: [.env, web.env]\n    environment: {TOKEN: 'x'}\n"),
        (".env", "DB_PASSWORD=pa$word\nAPI_KEY='same'\nOTHER_SECRET=first\n"),
        ("web.env", "OTHER_SECRET=second\n"),
        ("Procfile", "web: x\n"),
    ]);
    let name = directory.path().join(".env").display().to_string();
    let file = File::dotenv(name.clone(), fs::read(directory.path().join(".env")).unwrap());
    let nothing = |_: &str| None::<SecretText>;
    let mut sources = Sources::read(vec![file], Reader::Unknown, &nothing).unwrap();
    let beyond = hold_against(&discovered(directory.path()), &mut sources, &nothing);
    let odd: Vec<_> = sources
        .oddities()
        .iter()
        .map(|odd| (odd.line, odd.name.clone().unwrap(), odd.kind, odd.blocks()))
        .collect();
    assert_eq!(
        odd,
        [
            (1, "DB_PASSWORD".to_owned(), OddityKind::Dialect, true),
            (3, "OTHER_SECRET".to_owned(), OddityKind::Elsewhere, true),
        ]
    );
    assert!(sources.oddities()[0].advice().contains("service web"), "{}", sources.oddities()[0].advice());
    let beyond: Vec<_> = beyond.iter().map(|beyond| beyond.what.as_str()).collect();
    assert!(
        beyond[0].starts_with("service web is given TOKEN here") && beyond[1].contains("-env-file=compose:"),
        "{beyond:?}"
    );
    sources.accept(&["DB_PASSWORD".to_owned(), format!("{name}:3")]);
    assert!(sources.oddities().iter().all(|odd| odd.decided && !odd.blocks()));
}

#[test]
fn files_of_other_tools_are_read_as_they_read_them() {
    use coffre_dotenv::Tool;
    let text = b"A=\"x\"\nB C=1\n".to_vec();
    let read = |syntax, bytes: &[u8]| {
        let file = File { name: "web.env".to_owned(), bytes: bytes.to_vec().into(), syntax };
        Sources::read(vec![file], Reader::Unknown, &|_: &str| None::<SecretText>)
    };
    let systemd = read(coffre_migrate::Syntax::Of(Tool::Systemd), &text).unwrap();
    // EXPOSE: the test's own.
    assert_eq!(systemd.variable("A").unwrap().value.as_ref().unwrap().expose(), "x");
    assert_eq!(systemd.oddities()[0].kind, OddityKind::Malformed);
    let docker = read(coffre_migrate::Syntax::Of(Tool::Docker), &text).unwrap();
    assert!(docker.variable("A").is_none(), "the tool refuses the whole file");
    assert!(
        docker.oddities().iter().any(|odd| odd.kind == OddityKind::Refused && odd.line == 2 && odd.blocks())
    );
    for syntax in [coffre_migrate::Syntax::PythonDotenv, coffre_migrate::Syntax::Of(Tool::Compose)] {
        let refused = read(syntax, b"A=1\nB=\xff\n").err().unwrap().to_string();
        assert!(refused.contains("web.env") && refused.contains("line 2"), "{refused}");
    }
}

#[test]
fn what_the_code_asks_for_is_held_against_the_files() {
    let directory = project(&[
        (
            "app.py",
            "import os\nos.environ['USED']\nos.environ['MISSING']\nos.getenv('SOFT')\nos.environ[name]\nos.environ['HOME']\n",
        ),
        ("web/index.ts", "fetch(process.env.API_URL)\n"),
        ("main.go", "package main\nfunc main() { os.Getenv(\"GO_TOKEN\") }\n"),
        ("src/main.rs", "fn main() { std::env::var(\"RUST_TOKEN\"); }\n"),
        ("start.sh", "echo ${SHELL_TOKEN:?}\n"),
        ("compose.yaml", "services: {a: {image: \"x:${TAG}\"}}\n"),
        ("gen.py", "# Code generated by x. DO NOT EDIT.\nos.environ['NO']\n"),
    ]);
    let file = File::dotenv(".env", b"USED=1\nUNUSED=2\nPART=3\nWHOLE=x${PART}\n".to_vec());
    let sources = Sources::read(vec![file], Reader::Unknown, &|_: &str| None::<SecretText>).unwrap();
    let usage = scan(&Tree::walk(directory.path())).against(&sources, None);
    let absent: Vec<_> = usage
        .read_but_absent
        .iter()
        .map(|(name, place)| (name.as_str(), place.line, place.default))
        .collect();
    assert_eq!(
        absent,
        [
            ("API_URL", 1, false),
            ("GO_TOKEN", 2, false),
            ("MISSING", 3, false),
            ("RUST_TOKEN", 1, false),
            ("SHELL_TOKEN", 1, false),
            ("SOFT", 4, true),
            ("TAG", 1, false),
        ]
    );
    assert_eq!(usage.present_but_unused, ["UNUSED", "WHOLE"]);
    assert_eq!(usage.dynamic.len(), 1);
}
