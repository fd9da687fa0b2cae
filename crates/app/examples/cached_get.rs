//! How long a cached `get` takes, with one thread and with eight: `cargo run --release -p coffre-app --example cached_get`.
//!
//! `cargo xtask bench` prints the same figures beside those of others.
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use coffre_app::{Error, Secrets, Settings, timing};

fn main() -> Result<(), Error> {
    let variables = [("COFFRE_SOURCE", "vault"), ("JWT_SECRET_KEY", "not-a-secret-but-as-long-as-one")];
    let lookup = move |name: &str| {
        variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    let directory = std::env::temp_dir().join(format!("coffre-cached-get-{}", std::process::id()));
    let manifest = directory.join("coffre.toml");
    let text =
        "app = \"bench\"\nenvironments = [\"prod\"]\n[secret.JWT_SECRET_KEY]\npath = \"jwt/secret_key\"\n";
    let written = std::fs::create_dir_all(&directory).and_then(|()| std::fs::write(&manifest, text));
    let secrets =
        written.map(|()| Secrets::open(Settings::from_lookup(lookup, &directory)?.manifest(&manifest)));
    let _ = std::fs::remove_dir_all(&directory);
    let Ok(secrets) = secrets else {
        println!("cannot write {}", manifest.display());
        return Ok(());
    };
    let secrets = secrets?;
    for threads in [1, 8] {
        let nanos = timing::cached_get(&secrets, "JWT_SECRET_KEY", threads, 2_000_000)?;
        println!("cached get, {threads} threads: {nanos:.1} ns of processor time each");
    }
    Ok(())
}
